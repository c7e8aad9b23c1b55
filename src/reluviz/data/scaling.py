"""The units in which a run trains, and the user's units.

    u = (x - x0) / s_x          t = (y - y0) / s_y
    x = x0 + s_x u              y = y0 + s_y t

A run on scaled data trains on u and t. With x0 the least and s_x the range of the training inputs, u covers [0, 1].
With y0 the mean and s_y the standard deviation of the training outputs, t has mean 0 and standard deviation 1. The step
sizes of the course suit such data. Everything that a person reads is in the user's units, x and y.
"""

import math
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, TypeVar

import numpy as np

from reluviz.data.point_checks import Array

Value = TypeVar("Value")
"""A number, an array, or a tensor of float64."""


@dataclass(frozen=True)
class Scaling:
    """The offsets and scales between the user's units and the units of training; the identity by default.

    Every conversion is exact for the identity: it returns its argument.

    Attributes:
        x_offset: x0, in the user's units.
        x_scale: s_x, above 0.
        y_offset: y0, in the user's units.
        y_scale: s_y, above 0.

    Raises:
        ValueError: if a number is not finite, or a scale is not above 0.
    """

    x_offset: float = 0.0
    x_scale: float = 1.0
    y_offset: float = 0.0
    y_scale: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not (all(map(math.isfinite, self.numbers())) and self.x_scale > 0 and self.y_scale > 0):
            raise ValueError(f"offsets must be finite, and scales finite and above 0: {self}")

    def numbers(self) -> list[float]:
        """Return x0, s_x, y0, s_y."""
        return list(astuple(self))

    @classmethod
    def of(cls, x: Array, y: Array) -> "Scaling":
        """Return the units in which the training points x [N], y [N] cover [0, 1] and have mean 0 and deviation 1.

        A scale is 1 where all values are the same.

        Raises:
            ValueError: if the numbers are so large that their range overflows.
        """
        x_offset = float(x.min())
        if y.min() == y.max():
            # rounding would make their mean another number
            return cls(x_offset, float(x.max()) - x_offset or 1.0, float(y[0]), 1.0)
        with np.errstate(over="ignore"):
            # halves, because the sum of two numbers may overflow
            y_offset = 2 * float((y / 2).mean())
            return cls(x_offset, float(x.max()) - x_offset or 1.0, y_offset, float(np.std(y - y_offset)) or 1.0)

    @property
    def identity(self) -> bool:
        """Whether the run trains in the user's units."""
        return self == IDENTITY

    def trained_x(self, x: Value) -> Value:
        """Return u = (x - x0) / s_x."""
        return self._changed(x, lambda x: (x - self.x_offset) / self.x_scale)

    def trained_y(self, y: Value) -> Value:
        """Return t = (y - y0) / s_y."""
        return self._changed(y, lambda y: (y - self.y_offset) / self.y_scale)

    def user_x(self, u: Value) -> Value:
        """Return x = x0 + s_x u."""
        return self._changed(u, lambda u: self.x_offset + self.x_scale * u)

    def user_y(self, t: Value) -> Value:
        """Return y = y0 + s_y t."""
        return self._changed(t, lambda t: self.y_offset + self.y_scale * t)

    def user_residual(self, residual: Value) -> Value:
        """Return s_y r, a difference of outputs in the user's units."""
        return self._changed(residual, lambda residual: self.y_scale * residual)

    def user_loss(self, loss: Value) -> Value:
        """Return s_y^2 L, a mean of squared residuals in the user's units."""
        return self._changed(loss, lambda loss: self.y_scale * (self.y_scale * loss))

    def trained_loss(self, loss: Value) -> Value:
        """Return L / s_y^2, the inverse of `user_loss`."""
        return self._changed(loss, lambda loss: loss / self.y_scale / self.y_scale)

    def user_slope(self, slope: Value) -> Value:
        """Return (s_y / s_x) times a slope df/dx, such as a slope jump."""
        return self._changed(slope, lambda slope: self.y_scale / self.x_scale * slope)

    def user_input_slope(self, slope: Value) -> Value:
        """Return w / s_x, the slope of a unit's activation w u + b as a function of x."""
        return self._changed(slope, lambda slope: slope / self.x_scale)

    def _changed(self, value: Value, change: Callable[[Any], Any]) -> Value:
        """Return the changed value; the value itself for the identity."""
        if self.identity:
            return value
        found: Value = change(value)
        return found


IDENTITY = Scaling()
"""The user's own units."""
