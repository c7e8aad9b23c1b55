"""Data sets with a known target function: the course's piecewise-linear function, and a sine."""

from collections.abc import Callable

import numpy as np

from reluviz.data.dataset import Array, Dataset

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


TARGETS: dict[str, Callable[[Array], Array]] = {"piecewise linear": piecewise_linear_target, "sine": sine_target}
"""Name of a data set -> its target function. A data set takes its function from here, and a recorded run is read back
with it; any other function is read back as an interpolation of its recorded values."""


def piecewise_linear(n: int = 200, noise: float = 0.1, seed: int = 1) -> Dataset:
    """Return the course's data: n noisy samples of a piecewise-linear function on [0, 1].

    Args:
        n: number of training points N.
        noise: standard deviation sigma of the training noise.
        seed: seed of the generator that draws inputs and noise.
    """
    return _on_unit_interval("piecewise linear", n, noise, seed)


def sine(n: int = 200, noise: float = 0.1, seed: int = 1) -> Dataset:
    """Return n noisy samples of sin(20 x) on [0, 1]; arguments as for `piecewise_linear`."""
    return _on_unit_interval("sine", n, noise, seed)


def _on_unit_interval(name: str, n: int, noise: float, seed: int) -> Dataset:
    """Return sorted uniform inputs with noise from the same generator.

    The test inputs are the training inputs and 1,000 evenly spaced points, without noise.
    """
    generator, target = np.random.RandomState(seed), TARGETS[name]
    x = np.sort(generator.uniform(size=n))
    y = target(x) + generator.normal(scale=noise, size=n)
    x_test = np.sort(np.concatenate([x, np.linspace(0, 1, 1000)]))
    return Dataset(name, x, y, (0.0, 1.0), x_test, target(x_test), target, noise)
