"""The points a run learns from and is tested on."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Dataset:
    """Training and test points of a one-input regression, float64.

    Attributes:
        name: what the set is called in titles.
        x: training inputs [N], sorted.
        y: training outputs [N].
        domain: the interval on which elbows are placed and functions are drawn.
        x_test: test inputs [M]; None where there are none.
        y_test: test outputs [M], free of noise where the target is known.
        target: the true function; None for the user's own data.
        sigma: standard deviation of the training noise; None where unknown.
    """

    name: str
    x: Array
    y: Array
    domain: tuple[float, float]
    x_test: Array | None = None
    y_test: Array | None = None
    target: Callable[[Array], Array] | None = field(default=None, repr=False)
    sigma: float | None = None

    @property
    def noise(self) -> Array | None:
        """The realised noise eps_i = y_i - target(x_i), [N]; None where the target is unknown."""
        return None if self.target is None else self.y - self.target(self.x)
