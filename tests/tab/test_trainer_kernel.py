"""The kernels that train in the page, run in a real browser, make the updates of the reference engine.

Legend of shapes: R replicas, K updates, B batch, N samples, W hidden units, P parameters.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import kernel_module
import numpy as np
import pytest
import torch
from browser import javascript_modules, require_browser
from numpy.typing import NDArray

from reluviz.core.functions import PARAMETERS
from reluviz.data import Epoch, Full, Sampler, WithoutReplacement, WithReplacement
from reluviz.data.samplers import fill_random
from reluviz.data.segments import Piece
from reluviz.engines.reference import Reference
from reluviz.models import ConstantModule, LinearModule, RegressionModule, ReLUModule

Array = NDArray[np.float64]
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"_target_": "torch.optim.SGD", "lr": 0.02},
    "momentum": {"_target_": "torch.optim.SGD", "lr": 0.002, "momentum": 0.9},
    "nesterov": {"_target_": "torch.optim.SGD", "lr": 0.002, "momentum": 0.9, "nesterov": True},
    "adam": {"_target_": "torch.optim.Adam", "lr": 0.001},
}
UPDATES = 1000
PREPARE = """
  const {loadEngine, Session} = await import('./trainer/session.js');
  const numbers = (values) => Float64Array.from(values);
  const network = ([w, b, v, c]) => ({w: numbers(w), b: numbers(b), v: numbers(v), c});
  const create = (engine, {parameters, u, t, ...settings}) => new Session(engine, {
    ...settings, u: numbers(u), t: numbers(t),
    parameters: parameters.length === 4 ? network(parameters) : {theta: parameters[0]},
  });
  const written = (session) => {
    const {w} = session.parameters(), out = new Float64Array(w ? 3 * w.length + 1 : 1);
    session.write(out, 0);
    return Array.from(out);
  };
  // all that a session holds; -0 and 0 differ
  const content = (session) => {
    const {update, moments, powers} = session.state();
    return [update, ...written(session), ...moments.flatMap((row) => Array.from(row)), ...powers];
  };
  const isEqual = (a, b) => a.length === b.length && a.every((one, i) => Object.is(one, b[i]));
  const engines = [await loadEngine('wasm'), await loadEngine('javascript')];
"""


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Iterator[Any]:
    require_browser()
    with javascript_modules(request.getfixturevalue("browser")) as run:
        yield lambda code, given=None: run(PREPARE + code, given)


def points(n: int = 200) -> tuple[Array, Array]:
    random = np.random.default_rng(1)
    x = np.sort(random.uniform(size=n))
    return x, np.sin(7 * x) + 0.1 * random.normal(size=n)


def settings(
    model: str = "relu", width: int = 20, optimizer: str = "sgd", train: str = "all", samples: int = 200, seed: int = 0
) -> dict[str, Any]:
    """Settings of a session for JavaScript, with a random start."""
    u, t = points(samples)
    random = np.random.default_rng(seed)
    w = random.normal(size=width)
    b, v = -w * random.uniform(size=width), random.normal(size=width) / np.sqrt(width)
    parameters = [w.tolist(), b.tolist(), v.tolist(), 0.1] if model == "relu" else [0.3]
    return {
        "model": model,
        "parameters": parameters,
        "u": u.tolist(),
        "t": t.tolist(),
        "train": train,
        "optimizer": optimizer,
        "stepSize": OPTIMIZERS[optimizer]["lr"],
        "sampler": "with_replacement",
        "batch": 40,
        "seed": seed,
    }


def test_the_module_that_the_page_holds_is_its_source_assembled() -> None:
    held = (kernel_module.TRAINER / "kernel_wasm.js").read_text(encoding="utf-8")
    assert held == kernel_module.assembled(), "kernel.wat has changed: run `python tests/tab/kernel_module.py`"


def test_random_numbers_equal_those_of_numpy(run: Any) -> None:
    starts = [0, 1, 2, 3, 12345, 2**40 + 1, 2**53 - 5000]
    cases = list(itertools.product([0, 2**31, 2**32 + 5, 2**53 - 1], [1], starts, [1, 5, 8]))
    cases += [(3, 4, start, 2500) for start in starts]
    found = run(
        """return given.flatMap(([seed, stream, start, length]) => engines.map((engine) => {
          const kernel = engine.createKernel(), memory = kernel.reserve(65536);
          // arrays outside of the kernel's memory, and one within
          const outs = [new Float64Array(length), new Int32Array(length), new Int32Array(memory, 144, length)];
          const scales = [2 ** -53, 200 * 2 ** -53, 2000 * 2 ** -53];
          outs.forEach((out, i) => kernel.fill(seed, stream, start, scales[i], out));
          return outs.map((out) => Array.from(out));
        }))""",
        cases,
    )
    assert len(found) == 2 * len(cases)
    for j, (seed, stream, start, length) in enumerate(cases):
        outs = [np.empty(length), np.empty(length, dtype=np.int64), np.empty(length, dtype=np.int64)]
        for out, limit in zip(outs, (1, 200, 2000), strict=True):
            fill_random(seed, stream, start, limit * 2.0**-53, out)
        for one in found[2 * j : 2 * j + 2]:
            assert one == [out.tolist() for out in outs]


def module_for(model: str, optimizer: str, train: str, width: int, replicas: int) -> RegressionModule:
    common: dict[str, Any] = {"seeds": list(range(replicas)), "optimizer": OPTIMIZERS[optimizer]}
    if model == "constant":
        return ConstantModule(0.3, **common).double()
    if model == "linear":
        return LinearModule(0.3, **common).double()
    return ReLUModule(width, train=train, domain=(0.0, 1.0), **common).double()


def reference_updates(
    module: RegressionModule, samplers: list[Sampler], x: Array, y: Array
) -> tuple[list[Array], list[float]]:
    """Parameters [P] and the last losses of replicas that draw with one sampler each."""
    optimizer = module.configure_optimizers()
    drawn = [one.draw([r], 0, UPDATES, len(x)) for r, one in enumerate(samplers)]
    full = drawn[0] is None
    indices = None if full else torch.from_numpy(np.concatenate(drawn))  # type: ignore[arg-type]
    rates = np.full((UPDATES, 1), optimizer.param_groups[0]["lr"])
    piece = Piece(0, UPDATES, indices)
    loss = Reference().run(module.model_state(), optimizer, piece, rates, torch.from_numpy(x), torch.from_numpy(y))
    values = [value.numpy().reshape(len(samplers), -1) for value in module.values().values()]
    return list(np.concatenate(values, axis=1)), loss.tolist()


def reference_cases() -> list[Any]:
    """Model, trained layers, width, optimiser, and batch size; 0 is a full batch."""
    networks = [("relu", train, 20, batch) for train, batch in itertools.product(("all", "output", "hidden"), (0, 40))]
    others = [(model, "all", 1, batch) for model, batch in itertools.product(("constant", "linear"), (0, 40))]
    cases = [(*one, optimizer) for one, optimizer in itertools.product(networks + others, OPTIMIZERS)]
    cases += [("relu", "all", width, 7, optimizer) for width in (1, 100) for optimizer in ("sgd", "adam")]

    def is_quick(model: str, train: str, width: int, batch: int, optimizer: str) -> bool:
        return optimizer == "sgd" or (batch == 40 and (optimizer == "adam" or (model, train) == ("relu", "all")))

    marks = {True: (), False: (pytest.mark.exhaustive,)}
    return [pytest.param(*one, id="-".join(map(str, one)), marks=marks[is_quick(*one)]) for one in cases]


@pytest.mark.parametrize(("model", "train", "width", "batch", "optimizer"), reference_cases())
def test_a_thousand_updates_are_those_of_the_reference_engine(
    run: Any, model: str, train: str, width: int, batch: int, optimizer: str
) -> None:
    x, y = points()
    samplers: list[Sampler] = [WithReplacement(batch), WithoutReplacement(batch), Epoch(batch)] if batch else [Full()]
    module = module_for(model, optimizer, train, width, len(samplers))
    given = []
    for r, sampler in enumerate(samplers):
        start = [module.values()[name][r].tolist() for name in PARAMETERS[model]]
        given.append(
            settings(model, width, optimizer, train)
            | {"parameters": start, "sampler": sampler.name, "batch": batch, "seed": r}
        )
    found = run(
        """return given.map((one) => {
          const session = create(engines[0], one), loss = session.run(1000);
          return {parameters: written(session), loss, update: session.update};
        })""",
        given,
    )
    wanted, losses = reference_updates(module, samplers, x, y)
    for r, one in enumerate(found):
        assert one["update"] == UPDATES
        np.testing.assert_allclose(one["parameters"], wanted[r], rtol=0, atol=1e-11 * np.abs(wanted[r]).max())
        assert one["loss"] == pytest.approx(losses[r], rel=1e-9)
        assert np.abs(wanted[r] - np.concatenate([np.ravel(value) for value in given[r]["parameters"]])).max() > 1e-3


COMPARE = """
  const {cases, updates} = given, failed = [];
  let finite = 0;
  for (const one of cases) {
    const wasm = create(engines[0], one), javascript = create(engines[1], one), split = create(engines[0], one);
    const losses = [wasm.run(updates), javascript.run(updates)];
    split.run(1);
    split.run(2);
    losses.push(split.run(updates - 3));
    const all = [wasm, javascript, split].map((session, i) => [losses[i], ...content(session)]);
    if (!isEqual(all[0], all[1]) || !isEqual(all[0], all[2])) failed.push(one.name);
    finite += all[0].every(Number.isFinite);
  }
  return {failed, finite};
"""


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("stable", [True, False], ids=["stable", "diverging"])
def test_both_kernels_give_the_same_bits_however_the_updates_are_split(run: Any, optimizer: str, stable: bool) -> None:
    regimes = [("constant", "all", 1), ("linear", "all", 1)]
    regimes += [("relu", train, width) for train in ("all", "output", "hidden") for width in (1, 2, 3, 20, 101)]
    samplers = ["with_replacement", "without_replacement", "epoch", "full"] if stable else ["with_replacement", "full"]
    cases = []
    for (model, train, width), sampler, batch in itertools.product(regimes, samplers, (1, 7, 40)):
        if stable or (batch == 7 and width != 101):
            one = settings(model, width, optimizer, train, samples=43, seed=width)
            faster = {} if stable else {"stepSize": 1e290 if optimizer == "adam" else 1e4}
            name = f"{model}-{train}-W{width}-{sampler}-B{batch}"
            cases.append(one | faster | {"sampler": sampler, "batch": batch, "name": name})
    found = run(COMPARE, {"cases": cases, "updates": 300})
    assert found["failed"] == []
    # some networks stop at a finite state, because all their units are dead
    assert found["finite"] == len(cases) if stable else found["finite"] < len(cases) / 2


def test_parameters_that_are_not_trained_keep_their_bits(run: Any) -> None:
    cases = [settings(optimizer=optimizer, train=train) for optimizer in OPTIMIZERS for train in ("output", "hidden")]
    found = run(
        """return given.map((one) => engines.map((engine) => {
          const session = create(engine, one), before = written(session);
          session.run(100);
          const moved = written(session).map((value, i) => !Object.is(value, before[i]));
          const moments = session.state().moments.map((row) => Array.from(row, (value) => value !== 0));
          return {moved, moments};
        }))""",
        cases,
    )
    for one, engines in zip(cases, found, strict=True):
        of_output = [False] * 40 + [True] * 21
        trained = of_output if one["train"] == "output" else [not value for value in of_output]
        moments = {"sgd": 0, "momentum": 1, "nesterov": 1, "adam": 2}[one["optimizer"]]
        for engine in engines:
            assert engine["moved"] == trained
            assert engine["moments"] == [trained] * moments + [[False] * 61] * (2 - moments)


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_moments_of_dead_units_become_zero_without_a_change_of_the_parameters(run: Any, optimizer: str) -> None:
    updates = 9000
    before, after = run(
        """const {one, updates} = given, session = create(engines[0], one);
        session.run(50);
        const dead = session.parameters();
        dead.b.fill(-9, 0, 3);
        session.setParameters(dead);
        const state = () => {
          const {moments, powers} = session.state();
          return {parameters: written(session), moments: moments.map((row) => Array.from(row)), powers};
        };
        const before = state();
        session.run(updates);
        return [before, state()]""",
        {"one": settings(optimizer=optimizer), "updates": updates},
    )
    units = [20 * row + k for row in range(3) for k in range(3)]
    theta, m, s = (np.array(one)[units] for one in (before["parameters"], *before["moments"]))
    assert (m != 0).all()
    b1t, b2t = before["powers"]
    rate = OPTIMIZERS[optimizer]["lr"]
    for _ in range(updates):
        if optimizer == "momentum":
            m = 0.9 * m
            theta = theta - rate * m
        else:
            m, s = m + (1 - 0.9) * (0 - m), 0.999 * s
            b1t, b2t = b1t * 0.9, b2t * 0.999
            theta = theta - rate / (1 - b1t) * m / (np.sqrt(s) * (1 / np.sqrt(1 - b2t)) + 1e-8)
    assert 0 < np.abs(m).max() < 1e-300
    assert (np.array(after["moments"][0])[units] == 0).all()
    assert np.array(after["parameters"])[units].tolist() == theta.tolist()


def test_a_restored_state_continues_with_the_same_bits(run: Any) -> None:
    cases = [settings(optimizer=one, width=width) for one in OPTIMIZERS for width in (5, 20)]
    cases += [settings("linear", optimizer=one) for one in OPTIMIZERS]
    found = run(
        """return given.flatMap((one) => engines.map((engine) => {
          const session = create(engine, one);
          session.run(70);
          const state = session.state(), first = [session.run(50), ...content(session)];
          session.restore(state);
          const again = [session.run(50), ...content(session)];
          // in a session with another start, and another number of units
          const fewer = one.parameters.map((p) => p.length ? p.slice(0, 3) : p);
          const other = create(engine, {...one, parameters: fewer, update: 7});
          other.run(5);
          other.restore(state);
          const moved = [other.run(50), ...content(other)];
          return isEqual(first, again) && isEqual(first, moved) && session.update === 120;
        }))""",
        cases,
    )
    assert found == [True] * (2 * len(cases))


def test_settings_change_from_the_next_update_on(run: Any) -> None:
    """Changed settings give what a session gives that had them from the start, in the same state."""
    one = settings(optimizer="adam")
    u, t = points(30)
    changes = [
        {"stepSize": 0.05},
        {"batch": 13},
        {"sampler": "epoch"},
        {"sampler": "full"},
        {"u": u.tolist(), "t": t.tolist(), "batch": 30, "sampler": "without_replacement"},
    ]
    found = run(
        """const {one, changes} = given;
        return changes.map((change) => engines.map((engine) => {
          const changed = create(engine, one), fresh = create(engine, {...one, ...change});
          changed.run(60);
          fresh.restore(changed.state());
          changed.change(change.u ? {...change, u: numbers(change.u), t: numbers(change.t)} : change);
          const unchanged = isEqual(content(changed), content(fresh));
          return [unchanged, Object.is(changed.run(40), fresh.run(40)), isEqual(content(changed), content(fresh))];
        }))""",
        {"one": one, "changes": changes},
    )
    assert found == [[[True] * 3] * 2] * len(changes)


def test_moments_of_layers_that_are_not_trained_any_more_become_zero(run: Any) -> None:
    found = run(
        """const session = create(engines[0], given);
        session.run(10);
        const zeros = () => session.state().moments.map((row) => Array.from(row, (value) => value === 0));
        const before = zeros();
        session.change({train: "output"});
        return [before, zeros()]""",
        settings(optimizer="adam", width=3),
    )
    assert found == [[[False] * 10] * 2, [[True] * 6 + [False] * 4] * 2]


def test_parameters_set_by_hand_keep_the_moments_unless_the_width_changes(run: Any) -> None:
    found = run(
        """const session = create(engines[0], given);
        session.run(10);
        const {moments, powers} = session.state(), p = session.parameters();
        p.b[1] = 0.25;
        session.setParameters(p);
        const same = session.state();
        const kept = isEqual([...same.moments[1], ...same.powers], [...moments[1], ...powers]);
        const cut = {w: p.w.slice(1), b: p.b.slice(1), v: p.v.slice(1), c: p.c};
        session.setParameters(cut);
        const {moments: rebuilt, powers: anew, update, parameters} = session.state();
        return [kept, same.parameters.b[1], rebuilt.map((row) => Array.from(row)), anew, update, parameters.b[0]]""",
        settings(optimizer="adam", width=3),
    )
    assert found == [True, 0.25, [[0.0] * 7] * 2, [1, 1], 10, 0.25]


def test_a_page_that_may_not_compile_trains_in_javascript(run: Any) -> None:
    found = run(
        """const compile = WebAssembly.compile;
        WebAssembly.compile = () => Promise.reject(new Error('refused by the page'));
        try {
          const refused = await loadEngine('wasm').then(() => 'compiled', (error) => error.message);
          return [(await loadEngine()).name, refused];
        } finally {
          WebAssembly.compile = compile;
        }"""
    )
    assert found == ["javascript", "refused by the page"]
    assert run("return [(await loadEngine()).name, (await loadEngine('javascript')).name]") == ["wasm", "javascript"]


def test_a_batch_with_more_points_than_there_are_is_refused(run: Any) -> None:
    found = run(
        """const refusal = (f) => { try { f(); } catch (error) { return error.message; } };
        const session = create(engines[0], {...given, sampler: 'epoch'});
        return [
          refusal(() => create(engines[0], {...given, sampler: 'without_replacement', batch: 201})),
          refusal(() => session.change({batch: 300})),
          refusal(() => session.change({batch: 300, sampler: 'with_replacement'})),
        ]""",
        settings(),
    )
    assert found == [f"A batch of {batch} is larger than the 200 points there are." for batch in (201, 300)] + [None]
