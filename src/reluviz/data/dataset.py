"""A data set: the training and the test points of a run."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from reluviz.data.point_checks import Array as Array
from reluviz.data.point_checks import checked_pair, sorted_points
from reluviz.data.ranges import check_value
from reluviz.data.scaling import IDENTITY, Scaling

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
        scale: "auto" if a run is to choose units in which the course's step sizes suit the points, see `Scaling.of`; or
            "none" if it is to train in the user's units.
        scaling: between the user's units, which are those of the points, and the units in which a run trains.

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
    scale: str = "none"
    scaling: Scaling = IDENTITY

    def __post_init__(self) -> None:
        where = f"data={self.name}"
        check_value("data.scale", self.scale)
        pairs = [("x", "y")] if self.x_test is None and self.y_test is None else [("x", "y"), ("x_test", "y_test")]
        for names in pairs:
            self._check(names, where)

    def _check(self, names: tuple[str, str], where: str) -> None:
        """Replace the columns of these names by checked and sorted ones."""
        found = checked_pair(getattr(self, names[0]), getattr(self, names[1]), where, names)
        for name, column in zip(names, sorted_points(*found), strict=True):
            # the class is frozen
            object.__setattr__(self, name, column)

    def chosen_scaling(self) -> Scaling:
        """Return the units in which a network trains on these points, as `scale` says."""
        return IDENTITY if self.scale == "none" else Scaling.of(self.x, self.y)

    @cached_property
    def as_trained(self) -> "Dataset":
        """The points in the units of training, without the target; the data set itself if those are the user's."""
        scaling = self.scaling
        if scaling.identity:
            return self
        x_test, y_test = self.x_test, self.y_test
        if x_test is not None and y_test is not None:
            x_test, y_test = scaling.trained_x(x_test), scaling.trained_y(y_test)
        low, high = self.domain
        return replace(
            self,
            x=scaling.trained_x(self.x),
            y=scaling.trained_y(self.y),
            domain=(scaling.trained_x(low), scaling.trained_x(high)),
            x_test=x_test,
            y_test=y_test,
            target=None,
            sigma=None,
            scale="none",
            scaling=IDENTITY,
        )

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
