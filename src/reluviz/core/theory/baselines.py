"""Reference values for a run: solutions in closed form, and the error that noise in the data leaves."""

from dataclasses import dataclass

import numpy as np

from reluviz.core.functions import mean_squared_error
from reluviz.core.models import MODELS, Array, Parameters
from reluviz.core.snapshot import MAX_SHOWN_REPLICAS
from reluviz.core.theory import linear, relu
from reluviz.core.theory.output_problem import OutputProblem
from reluviz.data.dataset import Dataset


@dataclass(frozen=True)
class Losses:
    """The losses of a solution, in the user's units.

    Attributes:
        train: over the training points, [R].
        test: over the test points, [R]; None without test points.
    """

    train: Array
    test: Array | None


@dataclass(frozen=True)
class LeastSquaresReference:
    """Least squares on the hidden features.

    Attributes:
        losses: of the network with this output layer.
        rank: the numerical rank of the features, R integers.
        condition_number: of the features as trained, [R].
    """

    losses: Losses
    rank: list[int]
    condition_number: Array


@dataclass(frozen=True)
class ReferenceValues:
    """The reference values of a run.

    Attributes:
        optimum: theta* of a model f = theta phi(x); None for other models.
        optimum_losses: the losses there, [R].
        least_squares: least squares on the last hidden layer of a network; None for other models, and if a parameter
            is not finite.
        ridge_losses: the losses of ridge regression on these features; None without ridge regression.
        noise_train: the realised mean(eps^2); None if the noise is unknown.
        noise_test: sigma^2 rank / N for each replica; None without least squares or noise.
    """

    optimum: Array | None = None
    optimum_losses: Losses | None = None
    least_squares: LeastSquaresReference | None = None
    ridge_losses: Losses | None = None
    noise_train: float | None = None
    noise_test: list[float | None] | None = None


def reference_values(model: str, parameters: Parameters, dataset: Dataset, ridge: float | None) -> ReferenceValues:
    """Return the reference values of a run.

    For a model f = theta phi(x): theta* and the losses there. For a network: least squares and ridge regression on its
    last hidden layer. They cover the first `MAX_SHOWN_REPLICAS` replicas only, because one solution takes as long as a
    thousand updates. For every model: the noise floor, if the noise is known.

    Args:
        model: the model's name.
        parameters: after the last update, as trained.
        dataset: the training and test points, with the units of training.
        ridge: the penalty lambda of ridge regression, in the units of training; None leaves ridge regression out.

    Raises:
        ValueError: if phi is 0 at every point, since then theta* does not exist.
    """
    record, points = MODELS[model], dataset.as_trained
    optimum = optimum_losses = least_squares = ridge_losses = None
    if record.feature is not None:
        optimum = np.full(len(parameters["theta"]), linear.optimum(record.feature(points.x), points.y))
        optimum_losses = _losses(model, {"theta": optimum}, dataset)
    shown = {name: value[:MAX_SHOWN_REPLICAS] for name, value in parameters.items()}
    if record.hidden_features is not None and all(np.isfinite(value).all() for value in shown.values()):
        problems = [
            OutputProblem.of(
                {name: value[[r]] for name, value in shown.items()}, points.x, points.y, hidden=record.hidden_features
            )
            for r in range(len(shown["bias"]))
        ]
        solved = [problem.least_squares() for problem in problems]
        solutions = np.stack([fit.solution for fit in solved])
        least_squares = LeastSquaresReference(
            _losses(model, shown | {"output_weight": solutions[:, :-1], "output_bias": solutions[:, -1]}, dataset),
            [int(fit.rank) for fit in solved],
            np.array([problem.condition_number() for problem in problems]),
        )
        if ridge is not None:
            v, c = (np.stack(part) for part in zip(*(problem.ridge(ridge) for problem in problems), strict=True))
            ridge_losses = _losses(model, shown | {"output_weight": v, "output_bias": c}, dataset)
    noise, noise_train, noise_test = dataset.noise, None, None
    if noise is not None:
        ranks = [0] if least_squares is None else least_squares.rank
        floors = [relu.noise_floor(noise, rank, dataset.sigma) for rank in ranks]
        noise_train = floors[0].training
        noise_test = None if least_squares is None else [floor.test for floor in floors]
    return ReferenceValues(optimum, optimum_losses, least_squares, ridge_losses, noise_train, noise_test)


def _losses(model: str, p: Parameters, dataset: Dataset) -> Losses:
    """Return the losses over the training and the test points."""
    test, points, user_loss = None, dataset.as_trained, dataset.scaling.user_loss
    if points.x_test is not None and points.y_test is not None:
        test = user_loss(mean_squared_error(model, p, points.x_test, points.y_test))
    return Losses(user_loss(mean_squared_error(model, p, points.x, points.y)), test)
