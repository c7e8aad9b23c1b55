"""Random numbers, minibatches, initial states and data sets of static/trainer have Python's bits in a real browser."""

import base64
import itertools
import math
from decimal import Decimal, localcontext
from functools import cache
from typing import Any

import numpy as np
import pytest
from browser import javascript_modules, require_browser
from numpy.typing import NDArray

from reluviz.core.initial_state import ELBOW_PLACEMENTS, initial_state
from reluviz.data import Epoch, WithoutReplacement, WithReplacement
from reluviz.data.samplers import fill_random, uniform
from reluviz.data.scaling import Scaling
from reluviz.data.targets import CORNERS, HEIGHTS, TARGETS, noisy_samples

Array = NDArray[np.float64]
MODULES = (
    *("philox", "mersenne_twister", "logarithm", "sine"),
    *("samplers", "initial_state", "data_sets", "scaling_choice"),
)
SAMPLERS = {"with_replacement": WithReplacement, "without_replacement": WithoutReplacement, "epoch": Epoch}
SEEDS = (0, 1, 2**31, 2**32 + 5, 2**53 - 1)
SIZES = (1, 2, 10, 200, 2000)
BATCHES = {"1": lambda n: 1, "7": lambda n: 7, "40": lambda n: 40, "N": lambda n: n}
HALF_PI = Decimal(
    "1.570796326794896619231321691639751442098584699687552910487472296153908203143104499314017412671058534"
)
BYTES = """
  const bytesOf = (array) => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    let text = "";
    for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
    return btoa(text);
  };
"""


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Any:
    require_browser()
    with javascript_modules(request.getfixturevalue("browser"), *(f"trainer/{name}" for name in MODULES)) as run:
        yield lambda code, argument=None: run(BYTES + code, argument)


def array(text: str, dtype: Any = np.float64) -> NDArray[Any]:
    """The array whose bytes JavaScript returned."""
    return np.frombuffer(base64.b64decode(text), dtype)


def same_bits(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    return found.dtype == expected.dtype and found.tobytes() == np.ascontiguousarray(expected).tobytes()


# a block holds four numbers; the last starts are where the counter's lower half overflows, and the largest
@pytest.mark.parametrize("start", [0, 1, 2, 3, 4, 12345, 4 * 2**32 - 6, 2**53 - 50, 2**53])
def test_the_numbers_of_a_stream(run: Any, start: int) -> None:
    cases = list(itertools.product(SEEDS, (1, 2, 3, 4), (0, 1, 5, 41)))
    found = run(
        """return given.cases.map(([seed, stream, count]) => {
          const integers = new Int32Array(count), words = new Float64Array(count);
          philox.fillRandom(seed, stream, given.start, 1, words);
          philox.fillRandomIntegers(seed, stream, given.start, 1000, integers);
          return [words, philox.uniform(seed, stream, given.start, count), integers].map(bytesOf);
        })""",
        {"cases": cases, "start": start},
    )
    for (seed, stream, count), (words, reals, integers) in zip(cases, found, strict=True):
        expected = np.empty(count)
        fill_random(seed, stream, start, 1, expected)
        assert same_bits(array(words), expected), (seed, stream, count)
        assert same_bits(array(reals), uniform(seed, stream, start, count))
        assert array(integers, np.int32).tolist() == np.floor(1000 * uniform(seed, stream, start, count)).tolist()


DRAW = """
  const draw = (sampler, batch, seed, start, stop, samples, fill) => {
    const out = new Int32Array((stop - start) * batch);
    samplers.drawIndices(sampler, batch, seed, start, stop, samples, out, fill);
    return out;
  };
"""


def draw_cases(name: str) -> list[tuple[Any, ...]]:
    """Arguments of draws, about 300 numbers each or one update."""
    found = set()
    for samples, size, start, seed in itertools.product(SIZES, BATCHES.values(), (0, 1, 12345, 10**9), SEEDS):
        batch = size(samples)
        if name == "with_replacement" or batch <= samples:
            found.add((name, batch, seed, start, start + max(1, 300 // batch), samples))
    return sorted(found)


@pytest.mark.parametrize("name", SAMPLERS)
def test_minibatches(run: Any, name: str) -> None:
    cases = draw_cases(name)
    found = [array(one, np.int32) for one in run(DRAW + "return given.map((one) => bytesOf(draw(...one)))", cases)]
    for (_, batch, seed, start, stop, samples), indices in zip(cases, found, strict=True):
        expected = SAMPLERS[name](batch).draw([seed], start, stop, samples)
        assert expected.ravel().tolist() == indices.tolist(), (batch, seed, start, samples)
    assert sum(map(len, found)) > 50_000


def test_long_draws(run: Any) -> None:
    cases = [(name, batch, 3, 5, 1005, 200) for name in SAMPLERS for batch in (7, 40, 41)]
    found = run(DRAW + "return given.map((one) => bytesOf(draw(...one)))", cases)
    for (name, batch, *rest), indices in zip(cases, found, strict=True):
        expected = SAMPLERS[name](batch).draw([rest[0]], *rest[1:])
        assert expected.ravel().tolist() == array(indices, np.int32).tolist(), (name, batch)


@pytest.mark.parametrize("name", SAMPLERS)
def test_draws_do_not_depend_on_earlier_draws(run: Any, name: str) -> None:
    # twelve runs by turns, more than there are orders kept
    code = """
      const runs = Array.from({length: 12}, (_, seed) => [seed, seed < 6 ? 30 : 31]), found = runs.map(() => []);
      for (let update = 0; update < 40; update++) {
        runs.forEach(([seed, samples], i) => found[i].push(...draw(given, 7, seed, update, update + 1, samples)));
      }
      return found;
    """
    found = run(DRAW + code, name)
    for seed, indices in enumerate(found):
        expected = SAMPLERS[name](7).draw([seed], 0, 40, 30 if seed < 6 else 31)
        assert indices == expected.ravel().tolist()


def test_equal_keys_of_an_epoch_are_ordered_by_index(run: Any) -> None:
    def coarse(seed: int, stream: int, start: int, scale: float, out: NDArray[Any]) -> None:
        fill_random(seed, stream, start, scale, out)
        np.floor(8 * out, out=out)
        out /= 8

    code = """
      const coarse = (seed, stream, start, scale, out) => {
        philox.fillRandom(seed, stream, start, scale, out);
        out.forEach((u, i) => { out[i] = Math.floor(8 * u) / 8; });
      };
      return Array.from(draw("epoch", 40, 77, 0, 30, 200, coarse));
    """
    found = run(DRAW + code)
    assert found == Epoch(40).draw([77], 0, 30, 200, coarse).ravel().tolist()
    assert found != Epoch(40).draw([77], 0, 30, 200).ravel().tolist()


def test_full_batches_need_no_indices_and_batches_without_replacement_hold_at_most_all_points(run: Any) -> None:
    code = """
      const out = new Int32Array(3).fill(-1);
      samplers.drawIndices("full", 3, 0, 0, 1, 3, out);
      return {out: Array.from(out), largest: samplers.SAMPLERS.map((name) => String(samplers.largestBatch(name, 9)))};
    """
    # of with_replacement, without_replacement, epoch and full
    assert run(DRAW + code) == {"out": [-1, -1, -1], "largest": ["Infinity", "9", "9", "9"]}


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**31, 2**32 - 1])
def test_the_mersenne_twister(run: Any, seed: int) -> None:
    code = """
      const one = new mersenne_twister.RandomState(given), other = new mersenne_twister.RandomState(given);
      return {words: bytesOf(Uint32Array.from({length: 2000}, () => one.word())),
        uniform: bytesOf(Float64Array.from({length: 2000}, () => other.uniform()))};
    """
    found = run(code, seed)
    expected = np.random.RandomState(seed).randint(0, 2**32, size=2000, dtype=np.uint32)
    assert same_bits(array(found["words"], np.uint32), expected)
    assert same_bits(array(found["uniform"]), np.random.RandomState(seed).uniform(size=2000))


def decimal_log(x: float) -> float:
    """The correctly rounded logarithm."""
    with localcontext(prec=40):
        return float(Decimal(x).ln())


def decimal_sine(x: float) -> float:
    """The correctly rounded sine, by its Taylor series."""
    with localcontext(prec=60):
        rest = Decimal(x) % (4 * HALF_PI)
        term = total = rest
        for n in itertools.count(2, 2):
            term *= -rest * rest / (n * (n + 1))
            total += term
            if abs(term) < Decimal("1e-55"):
                return float(total)
    raise AssertionError


def test_the_logarithm_is_correctly_rounded(run: Any) -> None:
    random = np.random.default_rng(0)
    u = random.uniform(size=20_000)
    # the whole range, both sides of 1, and the least and the largest numbers
    given = np.concatenate([u[:10_000], 1 - u[10_000:14_000] * 1e-3, u[14_000:17_000] ** 40, 1 / u[17_000:]])
    given = [*given.tolist(), 1.0, 0.5, 2.0, 1 - 2**-53, 1 + 2**-52, 5e-324, 2.2e-308, 1.7e308, 2**-0.5, 2**0.5]
    found = array(run("return bytesOf(Float64Array.from(given, logarithm.log))", given))
    assert found.tolist() == [decimal_log(x) for x in given]


def test_the_sine_is_correctly_rounded(run: Any) -> None:
    random = np.random.default_rng(0)
    turns = np.arange(-40, 41) * (math.pi / 2)
    given = [
        *random.uniform(-20, 20, size=3000).tolist(),
        *turns.tolist(),
        *random.uniform(-1e-9, 1e-9, 50).tolist(),
        1e6,
    ]
    found = array(run("return bytesOf(Float64Array.from(given, sine.sin))", given))
    assert found.tolist() == [decimal_sine(x) for x in given]


def test_the_targets(run: Any) -> None:
    near_corners = [math.nextafter(x, toward) for x in CORNERS.tolist() for toward in (-9, 9)]
    x = np.array([*CORNERS, *near_corners, -3, 4, *np.random.default_rng(0).uniform(-0.1, 1.1, 5000)])
    code = """
      const values = Object.entries(data_sets.TARGETS).map(([name, f]) => [name, bytesOf(Float64Array.from(given, f))]);
      return {values, none: String(data_sets.TARGETS.piecewise_linear(NaN))}"""
    answer = run(code, x.tolist())
    found = {name: array(values) for name, values in answer["values"]}
    assert list(found) == list(TARGETS)
    assert same_bits(found["piecewise_linear"], TARGETS["piecewise_linear"](x))
    assert found["piecewise_linear"][:11].tolist() == HEIGHTS.tolist()
    assert answer["none"] == "NaN"
    assert found["sine"].tolist() == [decimal_sine(one) for one in (20 * x).tolist()]
    # numpy.sin is not always correctly rounded
    np.testing.assert_array_max_ulp(found["sine"], TARGETS["sine"](x), 1)


@cache
def normal_numbers(seed: int, n: int) -> tuple[Array, Array]:
    """n normal numbers that follow n uniform ones; and where the C library's logarithm is correctly rounded."""
    generator = np.random.RandomState(seed)
    generator.uniform(size=n)
    found, same = [], []
    while len(found) < n:
        a, b = (2 * float(generator.random_sample()) - 1 for _ in range(2))
        square = a * a + b * b
        if 0 < square < 1:
            logarithm = decimal_log(square)
            factor = math.sqrt(-2 * logarithm / square)
            found += [factor * b, factor * a]
            same += [math.log(square) == logarithm] * 2
    return np.array(found[:n]), np.array(same[:n])


def read_samples(found: dict[str, Any]) -> dict[str, Any]:
    return {key: array(value) if key in ("x", "y", "xTest", "yTest") else value for key, value in found.items()}


SAMPLES = """return given.cases.map((one) => {
  const {x, y, xTest, yTest, name, domain, target} = data_sets.noisySamples(given.name, ...one);
  return {x: bytesOf(x), y: bytesOf(y), xTest: bytesOf(xTest), yTest: bytesOf(yTest), name, domain, at: target(0.37)};
})"""


@pytest.mark.parametrize("n", [2, 3, 10, 200, 2000])
def test_the_courses_data(run: Any, n: int) -> None:
    cases = list(itertools.product([n], (0, 0.1, 1), range(21)))
    answer = run(SAMPLES, {"name": "piecewise_linear", "cases": cases})
    for (_, noise, seed), each in zip(cases, answer, strict=True):
        found, expected = read_samples(each), noisy_samples("piecewise_linear", n, noise, seed)
        assert (found["name"], tuple(found["domain"])) == (expected.name, expected.domain)
        assert found["at"] == TARGETS["piecewise_linear"](0.37)
        for key, value in {"x": expected.x, "xTest": expected.x_test, "yTest": expected.y_test}.items():
            assert same_bits(found[key], value), (key, noise, seed)
        normal, same = normal_numbers(seed, n)
        assert same_bits(found["y"], TARGETS["piecewise_linear"](found["x"]) + noise * normal), (noise, seed)
        # NumPy's normal numbers have the logarithm of the C library, which is hardly ever rounded the other way
        assert same_bits(found["y"][same], expected.y[same]), (noise, seed)
        assert (~same).sum() <= 1 + n / 200


def test_the_courses_own_data_set_equals_pythons(run: Any) -> None:
    (answer,) = run(SAMPLES, {"name": "piecewise_linear", "cases": [(200, 0.1, 1)]})
    assert same_bits(array(answer["y"]), noisy_samples("piecewise_linear").y)


def test_data_of_the_sine(run: Any) -> None:
    cases = [(200, 0.1, seed) for seed in range(5)]
    for case, each in zip(cases, run(SAMPLES, {"name": "sine", "cases": cases}), strict=True):
        found, expected = read_samples(each), noisy_samples("sine", *case)
        assert found["name"] == "sine"
        assert same_bits(found["x"], expected.x)
        assert same_bits(found["xTest"], expected.x_test)
        for key, value in {"y": expected.y, "yTest": expected.y_test}.items():
            np.testing.assert_allclose(found[key], value, rtol=0, atol=3e-16)
            assert (found[key] == value).mean() > 0.97


STATES = """return given.map((one) => {
  const {w, b, v, c} = initial_state.initialState({...one, x: one.x && Float64Array.from(one.x)});
  return bytesOf(Float64Array.of(...w, ...b, ...v, c));
})"""


@pytest.mark.parametrize("width", [1, 2, 3, 20, 100, 1000])
@pytest.mark.parametrize("elbows", ELBOW_PLACEMENTS)
def test_initial_states(run: Any, elbows: str, width: int) -> None:
    random = np.random.default_rng(width)
    seeds = (0, 1, 2, 3, 7, 12345, 2**31, 2**32 - 1, 2**32 + 5, 2**53 - 1)
    domains = [(0.0, 1.0), (-1.3, 2.7), (0.1, 0.1 + 1e-6)]
    cases = []
    for seed, domain, n in zip(seeds, itertools.cycle(domains), itertools.cycle([200, 2, 41, 2000]), strict=False):
        x, positions = random.uniform(*domain, size=n), random.uniform(*domain, size=width)
        cases.append((width, elbows, seed, domain, positions.tolist(), x))
    names = "width", "elbows", "seed", "domain", "positions"
    given = [
        {
            **dict(zip(names, case, strict=False)),
            "precision": precision,
            "x": x.tolist() if elbows == "at_data" else None,
        }
        for *case, x in cases
        for precision in ("float32", "float64")
    ]
    found = iter(run(STATES, given))
    for *case, x in cases:
        for precision in ("float32", "float64"):
            state = initial_state(*case, x, precision)
            expected = np.concatenate([value.astype(np.float64).ravel() for value in state.values()])
            assert same_bits(array(next(found)), expected), (case[2:4], precision)


@pytest.mark.parametrize(
    ("width", "seed", "domain"),
    [
        (6, 6, (-1.296917985702301, 1.4314638547413545)),
        (20, 6, (-1.0659119195283429, 1.3812005287254918)),
        (6, 5, (-0.7992632591499804, 1.4266192075346227)),
        (20, 1, (-1.3308730940595153, 1.4974907958021426)),
        (4, 0, (-0.20406950105508845, 0.8742438334784708)),
        (2, 6, (0.1771310437579709, 0.928572904298462)),
        (4, 7, (-0.44307225722849913, 1.371139149793589)),
    ],
)
def test_the_last_bit_of_an_even_elbow(run: Any, width: int, seed: int, domain: tuple[float, float]) -> None:
    # in these domains it decides how a bias halfway between two numbers of float32 is rounded
    given = {"width": width, "elbows": "even", "seed": seed, "domain": domain}
    found = array(run(STATES, [given])[0])
    expected = initial_state(width, "even", seed, domain, None, np.zeros(1))["bias"]
    assert found[width : 2 * width].tolist() == expected.tolist()


def test_elbow_placements_have_pythons_names_and_elbows_at_the_data_are_placed_in_float64(run: Any) -> None:
    assert run("return initial_state.ELBOW_PLACEMENTS") == list(ELBOW_PLACEMENTS)
    x = noisy_samples("piecewise_linear").x.tolist()
    given = {"width": 5, "elbows": "at_data", "seed": 0, "domain": [0, 1], "x": x}
    by_default, in_float32 = map(array, run(STATES, [given, {**given, "precision": "float32"}]))
    assert same_bits(in_float32[5:10], by_default[5:10].astype(np.float32).astype(np.float64))
    assert (in_float32 != by_default).any()


def test_the_units_of_training(run: Any) -> None:
    random = np.random.default_rng(0)
    sizes = [*range(1, 40), 127, 128, 129, 136, 137, 255, 256, 257, 1000, 1999, 2000]
    cases = []
    for n in sizes:
        x = np.sort(random.uniform(-1e3, 1e5, size=n))
        cases += [(x, random.normal(3e4, 1e3, size=n)), (x, np.full(n, 0.1)), (np.full(n, x[0]), random.normal(size=n))]
    code = """return given.map(([x, y]) =>
      bytesOf(Float64Array.from(scaling_choice.scalingFor(Float64Array.from(x), Float64Array.from(y)))))"""
    found = run(code, [(x.tolist(), y.tolist()) for x, y in cases])
    for (x, y), numbers in zip(cases, found, strict=True):
        assert array(numbers).tolist() == Scaling.of(x, y).numbers(), len(x)
