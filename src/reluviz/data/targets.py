"""Data sets with a known target function: the course's piecewise-linear function, and a sine.

A further target is a function here with an entry in `TARGETS`, and a file conf/data/NAME.yaml.
"""

from collections.abc import Callable

import numpy as np

from reluviz.data.dataset import Array, Dataset
from reluviz.data.ranges import check_value

CORNERS = np.arange(11) / 10
HEIGHTS = np.sin(12345 * np.arange(11))


def piecewise_linear_target(x: Array) -> Array:
    """Return the linear interpolation of the points (k/10, sin(12345 k)), k = 0..10.

    (A common closed form with floor and ceil is wrong: it is 0 at every k/10.)
    """
    return np.interp(x, CORNERS, HEIGHTS)


def sine_target(x: Array) -> Array:
    """Return sin(20 x)."""
    return np.sin(20 * x)


TARGETS: dict[str, Callable[[Array], Array]] = {"piecewise_linear": piecewise_linear_target, "sine": sine_target}
"""Name -> target function. `reluviz.data.NAME(n, noise, seed)` draws a data set of each. A run records the name of its
target, and reading the run looks the name up here; the target of any other name is read as an interpolation."""


def target_name(target: Callable[[Array], Array]) -> str | None:
    """Return the name of a target function in `TARGETS`; None if it is not there."""
    return next((name for name, known in TARGETS.items() if known is target), None)


def piecewise_linear(n: int = 200, noise: float = 0.1, seed: int = 1) -> Dataset:
    """Return the course's data: n noisy samples of a piecewise-linear function on [0, 1].

    Args:
        n: number of training points N.
        noise: standard deviation sigma of the training noise.
        seed: seed of the generator that draws inputs and noise.

    Raises:
        UserError: if a value is out of its range.
    """
    return noisy_samples("piecewise_linear", n, noise, seed)


def sine(n: int = 200, noise: float = 0.1, seed: int = 1) -> Dataset:
    """Return n noisy samples of sin(20 x) on [0, 1]; arguments as for `piecewise_linear`."""
    return noisy_samples("sine", n, noise, seed)


def noisy_samples(name: str, n: int = 200, noise: float = 0.1, seed: int = 1) -> Dataset:
    """Return n noisy samples of a target on [0, 1]: sorted uniform inputs, and noise from the same generator.

    The test inputs are the training inputs and 1,000 evenly spaced points, without noise.

    Args:
        name: the target's name in `TARGETS`; for the other arguments and errors see `piecewise_linear`.
        n: number of training points.
        noise: standard deviation of the noise.
        seed: seed of the generator.
    """
    n, noise, seed = check_value("data.n", n), check_value("data.noise", noise), check_value("data.seed", seed)
    generator, target = np.random.RandomState(seed), TARGETS[name]
    x = np.sort(generator.uniform(size=n))
    y = target(x) + generator.normal(scale=noise, size=n)
    x_test = np.sort(np.concatenate([x, np.linspace(0, 1, 1000)]))
    return Dataset(name.replace("_", " "), x, y, (0.0, 1.0), x_test, target(x_test), target, noise)
