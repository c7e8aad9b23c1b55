"""The facts of a run from which `findings` tells what became of it, and the figures that follow from them.

    R^2 = 1 - L / var(y)    var(y) = (1/N) sum_i (y_i - mean y)^2

R^2 is 1 for a perfect fit and 0 for the best constant, in any unit of x and y.

Legend of shapes: S snapshots, R replicas, V replicas with reference losses (the first ones), N samples, F features.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reluviz.core.models import Array

MIN_WINDOW = 5
"""A line through fewer snapshots than this says nothing about their noise."""


@dataclass(frozen=True)
class SettingNames:
    """How advice writes settings.

    Attributes:
        rate: the name of the step size.
        model: what precedes the names of the model's settings.
        scaling: the setting that has the data scaled.
        none: the value that unsets a setting.
    """

    rate: str = "lr"
    model: str = ""
    scaling: str = 'scale="auto" for the data set'
    none: str = "None"


@dataclass(frozen=True)
class OutputLayer:
    """The output layer of one replica, as gradient descent on it alone sees it, in the units of training.

    Attributes:
        phi: features, the column of ones last, or rows that stand for them, [M, F]; see `theory.output_problem`.
        y: targets, or what stands for them, [M].
        samples: N.
        variance: var(y).
        theta: output weights and bias at the end, [F].
        lr: the constant learning rate.
    """

    phi: Array
    y: Array
    samples: int
    variance: float
    theta: Array
    lr: float


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run at its end.

    Attributes:
        updates: the number of updates at each snapshot, [S], strictly increasing.
        planned: the number of updates that the run was to make.
        loss: training loss at each snapshot, [S, R].
        diverged: which replicas have diverged, [R].
        variance: var(y) of the training points; 0 if all y are equal.
        noise: an estimate of the variance of the noise in y; see `neighbour_noise`.
        width: the number of hidden units of all layers; 0 for a model without units.
        hidden: the widths of the hidden layers of a chain with several; empty for other models.
        dead: the number of dead units at each snapshot, [S, R]; None without units.
        linear: the number of linear units at each snapshot, [S, R]; None without units.
        hidden_trained: whether the hidden layer is trained.
        output_trained: whether the output layer is trained.
        ridge: lambda of a run whose output layer is solved in closed form; None for other runs.
        optimum: the training loss at theta*, of a model f = theta phi(x); None for other models.
        contraction: rho in theta' - theta* = rho (theta - theta*) for a full batch; None where theory knows none.
        least_squares: the training loss of least squares on the hidden features at the end, [V]; None without it.
        output_layer: returns the output layer of a replica, if it alone is trained, by plain gradient descent with a
            constant rate; None for other runs.
        placed_by: settings that fix the elbows at the start, and would have to be unset for others.
        rate: the learning rate; None if unknown.
        stable_step: returns the largest stable step size, None where theory knows none. It may take a second.
        divergence_advice: advice for a run that has diverged.
        scaled: whether the run was trained on scaled data.
        x_range: the smallest and largest training input.
        y_range: the smallest and largest training output.
        names: how advice writes settings.
    """

    updates: NDArray[np.int64]
    planned: int
    loss: Array
    diverged: NDArray[np.bool_]
    variance: float
    noise: float = 0.0
    width: int = 0
    hidden: tuple[int, ...] = ()
    dead: NDArray[np.int64] | None = None
    linear: NDArray[np.int64] | None = None
    hidden_trained: bool = False
    output_trained: bool = False
    ridge: float | None = None
    optimum: float | None = None
    contraction: float | None = None
    least_squares: Array | None = None
    output_layer: Callable[[int], OutputLayer] | None = None
    placed_by: tuple[str, ...] = ()
    rate: float | None = None
    stable_step: Callable[[], float | None] = lambda: None
    divergence_advice: str = ""
    scaled: bool = False
    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (-1.0, 1.0)
    names: SettingNames = SettingNames()

    @property
    def r_squared(self) -> Array:
        """R^2 = 1 - L / var(y), [S, R]; NaN if all y are equal."""
        if self.variance == 0:
            return np.full(self.loss.shape, np.nan)
        with np.errstate(all="ignore"):
            return 1 - self.loss / self.variance


@dataclass(frozen=True)
class LastTenth:
    """The last tenth of a curve [S, R], by a straight line through its snapshots.

    Attributes:
        rise: how much the line rises over the last tenth of the run, [R].
        error: the standard error of `rise`, [R]; 0 if it is unknown.
        swing: the standard deviation of the snapshots about the line, [R]; 0 if it is unknown.
    """

    rise: Array
    error: Array
    swing: Array


def last_tenth(updates: NDArray[np.int64], curve: Array) -> LastTenth:
    """Return how a curve behaves in the last tenth of the run.

    `rise` is that of the least-squares line through its snapshots, or through the last `MIN_WINDOW` of the run if there
    are fewer and these lie in its second half. Otherwise nothing is known about noise, and `rise` is the curve's own
    rise, interpolated between snapshots. It counts as 0 unless the last three snapshots are in order.
    """
    length = updates[-1] - updates[0]
    tenth = length / 10
    window = updates >= updates[-1] - tenth
    if len(updates) > MIN_WINDOW and updates[-MIN_WINDOW] >= updates[-1] - length / 2:
        window[-MIN_WINDOW:] = True
    count = int(window.sum())
    zero = np.zeros(curve.shape[1])
    with np.errstate(all="ignore"):
        if count < MIN_WINDOW:
            before = [np.interp(updates[-1] - tenth, updates, column) for column in curve.T]
            steps = np.diff(curve[-3:], axis=0)
            in_order = (steps > 0).all(0) | (steps < 0).all(0)
            return LastTenth(np.where(in_order, curve[-1] - before, 0.0), zero, zero)
        at = updates[window] - updates[window].mean()
        values = curve[window]
        slope = (at[:, None] * (values - values.mean(0))).sum(0) / np.square(at).sum()
        squares = np.square(values - values.mean(0) - slope * at[:, None]).sum(0)
        error = np.sqrt(squares / (count - 2) / np.square(at).sum())
        return LastTenth(slope * tenth, error * tenth, np.sqrt(squares / count))


def first_of_last_stretch(updates: NDArray[np.int64], holds: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the first update from which a condition [S, R] holds at every snapshot up to the last, [R].

    Where it does not hold at the last snapshot, the result is the last update.
    """
    length = np.cumprod(holds[::-1], axis=0).sum(0)
    found: NDArray[np.int64] = updates[np.minimum(len(updates) - length, len(updates) - 1)]
    return found


def neighbour_noise(y: Array) -> float:
    """Return mean (y_{i+1} - y_i)^2 / 2, an estimate of the variance of the noise in y, from y in the order of x.

    A target that changes little from one point to the next drops out. If it changes more, the estimate is too large.

    Source: J. Rice, Bandwidth choice for nonparametric regression, Annals of Statistics 12, 1984.
    """
    return float(np.square(np.diff(y)).mean() / 2)
