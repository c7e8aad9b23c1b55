"""A data set: the training and the test points of a run."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from reluviz.data.point_checks import Array as Array
from reluviz.data.point_checks import checked_pair, sorted_points

TARGET_CURVE_POINTS = 1001
"""Number of points of the curve that pictures show of the true function."""


@dataclass(frozen=True)
class Dataset:
    """Training and test points of a one-input regression, float64.

    Points may be given as arrays or lists of numbers of any type, of shape [N] or [N, 1], in any order.

    Attributes:
        name: the name of the data set in titles.
        x: training inputs [N], sorted.
        y: training outputs [N], in the order of x.
        domain: the interval on which elbows are placed and functions are plotted.
        x_test: test inputs [M]; None without test points.
        y_test: test outputs [M], without noise if the target is known.
        target: the true function; None for the user's own data.
        sigma: standard deviation of the training noise; None if unknown.
        target_is_interpolated: whether `target` only interpolates the recorded values of the true function, because
            this version of reluviz does not have the function itself; it is exact at the recorded points.
        notes: lines for the user about how the points were read.

    Raises:
        UserError: if the points are no finite numbers, or x and y differ in length.
    """

    name: str
    x: Array
    y: Array
    domain: tuple[float, float]
    x_test: Array | None = None
    y_test: Array | None = None
    target: Callable[[Array], Array] | None = field(default=None, repr=False)
    sigma: float | None = None
    target_is_interpolated: bool = False
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        where = f"data={self.name}"
        pairs = [("x", "y")] if self.x_test is None and self.y_test is None else [("x", "y"), ("x_test", "y_test")]
        for names in pairs:
            self._check(names, where)

    def _check(self, names: tuple[str, str], where: str) -> None:
        """Replace the columns of these names by checked and sorted ones."""
        found = checked_pair(getattr(self, names[0]), getattr(self, names[1]), where, names)
        for name, column in zip(names, sorted_points(*found), strict=True):
            # the class is frozen
            object.__setattr__(self, name, column)

    @property
    def interval(self) -> tuple[float, float]:
        """The interval on which functions are plotted: it covers the domain and all training inputs."""
        ends = [*self.domain, self.x.min(), self.x.max()]
        low, high = float(min(ends)), float(max(ends))
        return (low, high) if high > low else span(low, high, 0)

    def truth(self) -> tuple[Array, Array] | None:
        """Return the curve of the true function, x [G] and target(x) [G]; None if it is unknown."""
        if self.target is None:
            return None
        grid = np.linspace(*self.interval, TARGET_CURVE_POINTS)
        return grid, np.asarray(self.target(grid), dtype=np.float64)

    @property
    def noise(self) -> Array | None:
        """The realised noise eps_i = y_i - target(x_i), [N]; None if the target is unknown."""
        return None if self.target is None else self.y - self.target(self.x)


def span(low: float, high: float, pad: float) -> tuple[float, float]:
    """Return the interval widened on both sides by `pad` times its length; never empty."""
    if not high > low:
        half = 0.5 * abs(low) or 0.5
        return low - half, high + half
    return low - pad * (high - low), high + pad * (high - low)
