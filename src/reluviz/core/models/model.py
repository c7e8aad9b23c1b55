"""What a model is: a record of its parameters, its function, its gradients and its words.

    f(x) the model,   r_i = f(x_i) - y_i,   J_i = df(x_i)/dtheta,   g_i = grad(r_i^2) = 2 r_i J_i

Legend of shapes: R replicas, N samples, W hidden units, P trained parameters. Parameters are a mapping from name to
array with a leading replica axis. x is [N], shared by the replicas, or [R, N].
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from reluviz.core.models.architecture import Architecture
from reluviz.core.models.arrays import Array as Array
from reluviz.core.models.arrays import Parameters as Parameters
from reluviz.data.scaling import Scaling


class PerSampleGradients(ABC):
    """The per-sample gradients g_i = grad(r_i^2) = 2 r_i J_i at some samples, of the trained parameters.

    Args:
        residual: r_i, [R, N].

    Attributes:
        residual: r_i, [R, N].
        twice: 2 r_i, the factor of J_i, [R, N].
    """

    def __init__(self, residual: Array) -> None:
        self.residual = residual
        self.twice = 2 * residual

    @abstractmethod
    def squared_norms(self) -> Array:
        """Return |g_i|^2, [R, N]."""

    def squared_norms_by_layer(self) -> dict[str, Array]:
        """Return the part of each layer in |g_i|^2, [R, N]; empty for a model with fewer than two hidden layers."""
        return {}

    @abstractmethod
    def total(self) -> Array:
        """Return sum_i g_i, the trained parameters concatenated, [R, P]."""

    @abstractmethod
    def inner_products(self, gradient: Array) -> Array:
        """Return <g_i, G>, [R, N], from G [R, P]."""

    @abstractmethod
    def by_name(self, rows: Array) -> dict[str, Array]:
        """Split [R, P] by parameter: name -> [R] or [R, W]."""

    @abstractmethod
    def gradients(self) -> dict[str, Array]:
        """Return g_i, name -> [R, N] or [R, N, W]."""


GradientFunction = Callable[[Parameters, Array, Array, Iterable[str], str], PerSampleGradients]
"""Returns per-sample gradients from parameters, x, y, names of the trained parameters, and the run's precision."""


@dataclass(frozen=True)
class Model:
    """What a model is.

    Attributes:
        name: its name in configurations, records and messages.
        formula: its equation.
        parameters: name of a parameter -> its axes after the replica axis: (), ("W",), or sizes that the model fixes.
        predict: f(x), [R, N], from the parameters and x.
        tangent: J_i, name -> [R, N] or [R, N, W], from the parameters, x and the run's precision.
        largest_input: a number from x that `bound` needs, the same for all parameters.
        bound: a bound on |f(x_i)| over all samples, [R], from the absolute parameters and `largest_input`.
        describe: the model in a few words, from the parameters.
        straight: whether f is a straight line, or straight between the elbows.
        has_units: whether it is a ReLU network with one hidden layer, whose units have elbows.
        feature: phi(x) of a model f(x) = theta phi(x); None for other models.
        factored_gradients: per-sample gradients without the N x P matrix; None for a model with few parameters.
        in_user_units: the parameters of the same function of the user's inputs and outputs, float64, from the
            parameters as trained and the units of training; None for a model whose family of functions is not closed
            under change of offset and scale, which trains in the user's units.
        in_trained_units: the inverse of `in_user_units`.
        hidden_features: the activations of the last hidden layer, [R, N, W], on which the output layer is linear; None
            for a model without hidden layers.
        architecture: the layers of a chain with a name of its own; None for other models, also for the network with
            one hidden layer of ReLUs.
        words: the model's formulas in `explain`.
    """

    name: str
    formula: str
    parameters: Mapping[str, tuple[str, ...] | tuple[int, ...]]
    predict: Callable[[Parameters, Array], Array]
    tangent: Callable[[Parameters, Array, str], dict[str, Array]]
    largest_input: Callable[[Array], float]
    bound: Callable[[Parameters, float], Array]
    describe: Callable[[Parameters], str]
    straight: bool = False
    has_units: bool = False
    feature: Callable[[Array], Array] | None = None
    factored_gradients: GradientFunction | None = None
    in_user_units: Callable[[Parameters, Scaling], dict[str, Array]] | None = None
    in_trained_units: Callable[[Parameters, Scaling], dict[str, Array]] | None = None
    hidden_features: Callable[[Parameters, Array], Array] | None = None
    architecture: Architecture | None = None
    words: Mapping[str, str] = field(default_factory=dict)

    def shape(self, name: str, count: int) -> tuple[int, ...]:
        """Return the shape of a parameter of one replica that has this many numbers.

        Raises:
            KeyError: if the model has no such parameter.
        """
        axes = self.parameters[name]
        return tuple(axis if isinstance(axis, int) else count for axis in axes)

    def per_sample_gradients(
        self, p: Parameters, x: Array, y: Array, trained: Iterable[str], precision: str = "float64"
    ) -> PerSampleGradients:
        """Return the per-sample gradients at the samples (x, y); y is [N] or [R, N].

        Args:
            p: the parameters.
            x: inputs.
            y: targets.
            trained: names of the trained parameters; the others are frozen.
            precision: the precision in which a run decides on which side of a kink a sample lies.
        """
        if self.factored_gradients is not None:
            return self.factored_gradients(p, x, y, trained, precision)
        features = self.tangent(p, x, precision)
        return DenseGradients(self.predict(p, x) - y, {name: features[name] for name in features if name in trained})


class DenseGradients(PerSampleGradients):
    """Per-sample gradients of a model with few parameters, each with one value per replica.

    Args:
        residual: r_i, [R, N].
        features: J_i of the trained parameters, name -> [R, N].
    """

    def __init__(self, residual: Array, features: Mapping[str, Array]) -> None:
        super().__init__(residual)
        self._gradients = {name: self.twice * value for name, value in features.items()}

    def squared_norms(self) -> Array:  # noqa: D102
        first, *rest = (np.square(value) for value in self._gradients.values())
        return sum(rest, start=first)

    def total(self) -> Array:  # noqa: D102
        return np.stack([value.sum(-1) for value in self._gradients.values()], axis=-1)

    def inner_products(self, gradient: Array) -> Array:  # noqa: D102
        first, *rest = (value * gradient[:, [p]] for p, value in enumerate(self._gradients.values()))
        return sum(rest, start=first)

    def by_name(self, rows: Array) -> dict[str, Array]:  # noqa: D102
        return {name: rows[:, p] for p, name in enumerate(self._gradients)}

    def gradients(self) -> dict[str, Array]:  # noqa: D102
        return dict(self._gradients)
