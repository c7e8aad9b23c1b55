"""The largest stable step size that the page computes is the one that a diverged run reports."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from browser import javascript_modules, require_browser
from tab_runs import TRAINED, random_network

from reluviz.core.functions import PARAMETERS
from reluviz.data import Dataset
from reluviz.training.divergence import largest_stable_step

COMPUTE = """
  const {largestStableStep} = await import('./core/sharpness.js');
  const numbers = (values) => Float64Array.from(values), {w, b, v, c, theta} = given.p;
  const p = w ? {w: numbers(w), b: numbers(b), v: numbers(v), c} : {theta};
  const model = models.modelNamed(given.model), x = numbers(given.x), y = numbers(given.y);
  return largestStableStep(model, p, x, y, given.trained, given.momentum)
"""


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Iterator[Any]:
    require_browser()
    with javascript_modules(request.getfixturevalue("browser")) as run:
        yield run


def points(n: int) -> Dataset:
    random = np.random.default_rng(n)
    x = np.sort(random.uniform(size=n))
    return Dataset("test", x, np.sin(7 * x) + 0.3 * random.normal(size=n), (0.0, 1.0))


def compare(run: Any, model: str, p: dict[str, Any], trained: tuple[str, ...], momentum: float, data: Dataset) -> float:
    """Assert that both limits and formulas are the same, and return the limit."""
    settings = {"_target_": "torch.optim.SGD", "lr": 0.1, "momentum": momentum}
    values = dict(zip(PARAMETERS[model], ([np.asarray(value)] for value in p.values()), strict=True))
    start = {name: np.array(value) for name, value in values.items()}
    module = SimpleNamespace(model=model, trained=trained, optimizer_settings=settings, parameter_copies=lambda: start)
    wanted = largest_stable_step(module, data, start, precision="float32")
    assert wanted is not None
    given = {"model": model, "p": p, "trained": trained, "momentum": momentum}
    found = run(COMPUTE, given | {"x": data.x.tolist(), "y": data.y.tolist()})
    assert found["limit"] == pytest.approx(wanted[0], rel=1e-6)
    assert found["formula"] == wanted[1].removesuffix(" at the start")
    return float(wanted[0])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("model", ["constant", "linear"])
def test_of_models_with_one_parameter(run: Any, model: str, momentum: float) -> None:
    compare(run, model, {"theta": 0.3}, ("theta",), momentum, points(30))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("trained", ["all", "output", "hidden"])
@pytest.mark.parametrize(("width", "n"), [(1, 5), (8, 40), (20, 200), (100, 200), (8, 1)])
def test_of_networks(run: Any, width: int, n: int, trained: str, momentum: float) -> None:
    row = random_network(np.random.default_rng(width), width)[0]
    w, b, v, c = np.split(row, [width, 2 * width, 3 * width])
    p = {"w": w.tolist(), "b": b.tolist(), "v": v.tolist(), "c": float(c[0])}
    assert compare(run, "relu", p, TRAINED[trained], momentum, points(n)) > 0


def test_of_networks_without_a_limit(run: Any) -> None:
    """All units dead: H = 0. Not a number: no step size is stable. Too large: not computed."""
    dead = {"w": [1.0, 2.0], "b": [-9.0, -9.0], "v": [1.0, 1.0], "c": 0.5}
    given = {"model": "relu", "x": [0.0, 0.5], "y": [1.0, 0.0], "momentum": 0}
    hidden = list(TRAINED["hidden"])
    assert run(COMPUTE, given | {"p": dead, "trained": hidden})["limit"] == np.inf
    lost = dead | {"c": np.nan, "b": [1.0, 1.0]}
    assert run(COMPUTE, given | {"p": lost, "trained": list(TRAINED["all"])})["limit"] == 0
    # 2^18 hidden features are computed, and more are not
    wide = {name: [1.0] * 2**9 for name in "wbv"} | {"c": 0.0}
    for samples, computed in ((2**9, True), (2**9 + 1, False)):
        many = {"x": [0.5] * samples, "y": [0.0] * samples}
        found = run(COMPUTE, given | many | {"p": wide, "trained": hidden})
        assert (found is not None) == computed
