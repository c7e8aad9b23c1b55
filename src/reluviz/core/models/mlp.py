"""Chains of any depth: linear layers with a piecewise-linear activation phi between them; see `architecture`.

    h_0 = x,   z_l = W_l h_(l-1) + b_l,   h_l = phi(z_l),   f(x) = v . h_L + c

With delta_l = df/dz_l, computed backwards,

    delta_L = v phi'(z_L)     delta_(l-1) = (W_l^T delta_l) phi'(z_(l-1))
    df/dW_l = delta_l h_(l-1)^T     df/db_l = delta_l     df/dv = h_L     df/dc = 1

    |J_i|^2     = sum_l |delta_l|^2 (|h_(l-1)|^2 + 1) + |h_L|^2 + 1
    <J_i, G>    = sum_l delta_l . (G_W,l h_(l-1) + G_b,l) + h_L . G_v + G_c
    sum_i g_i   = (sum_i 2 r_i delta_l h_(l-1)^T, sum_i 2 r_i delta_l, sum_i 2 r_i h_L, sum_i 2 r_i)

where the terms of frozen parameters are 0: norms and inner products need no N x P matrix. Gates of the first layer are
decided in the precision of the run (`relu.is_active`), those of the others in float64: the order in which a run adds up
a pre-activation is not known here.

Legend of shapes: R replicas, N samples, L hidden layers, W_l units of layer l, P trained parameters. x is [N] or
[R, N].
"""

import functools
from collections.abc import Iterable

import numpy as np

from reluviz.core.models import relu
from reluviz.core.models.architecture import Architecture
from reluviz.core.models.model import Array, Model, Parameters, PerSampleGradients
from reluviz.core.products import product


def preactivations(architecture: Architecture, p: Parameters, x: Array) -> list[Array]:
    """Return z_1, ..., z_L, each [R, N, W_l]."""
    hidden, _, _ = architecture.layers(p)
    found: list[Array] = []
    for layer, (weight, bias) in enumerate(hidden):
        if layer == 0:
            z = weight[:, None, :, 0] * x[..., None]
        else:
            z = product(architecture.activate(found[-1]), weight.swapaxes(-1, -2))
        z += bias[:, None]
        found.append(z)
    return found


def last_hidden_layer(architecture: Architecture, p: Parameters, x: Array) -> Array:
    """Return h_L, the hidden features of the output layer, [R, N, W_L]."""
    return architecture.activate(preactivations(architecture, p, x)[-1])


def predict(architecture: Architecture, p: Parameters, x: Array) -> Array:
    """Return f(x), [R, N]."""
    return relu.output(last_hidden_layer(architecture, p, x), p)


class ChainGradients(PerSampleGradients):
    """Per-sample gradients of a chain, without the N x P matrix.

    Args:
        architecture: of the chain.
        p: the parameters.
        x: inputs.
        y: targets.
        trained: names of the trained parameters.
        precision: the run's precision.

    Attributes:
        delta: delta_l = df/dz_l of each hidden layer, [R, N, W_l].
    """

    def __init__(
        self, architecture: Architecture, p: Parameters, x: Array, y: Array, trained: Iterable[str], precision: str
    ) -> None:
        z = preactivations(architecture, p, x)
        # h_0, ..., h_L
        self._inputs = [np.broadcast_to(x, z[0].shape[:2])[..., None], *(architecture.activate(one) for one in z)]
        super().__init__(relu.output(self._inputs[-1], p) - y)
        gates = [architecture.gate(one) for one in z]
        if architecture.activation != "abs":
            active = relu.gates(p, x, precision)
            gates[0] = active + architecture.negative_slope * (1 - active)
        hidden, v, _ = architecture.layers(p)
        delta = v[:, None] * gates[-1]
        # delta_1, ..., delta_L
        self.delta = [delta]
        for (weight, _), gate in zip(hidden[:0:-1], gates[-2::-1], strict=True):
            delta = product(delta, weight) * gate
            self.delta.insert(0, delta)
        wanted = set(trained)
        self._keys = tuple(architecture.layer_names)
        self._layers = [(w if w in wanted else None, b if b in wanted else None) for w, b in architecture.names]
        self.shapes = {name: shape for name, shape in architecture.shapes.items() if name in wanted}

    def squared_norms(self) -> Array:  # noqa: D102
        found: Array = np.sum(list(self.squared_norms_by_layer().values()), axis=0)
        return found

    def squared_norms_by_layer(self) -> dict[str, Array]:  # noqa: D102
        found = {}
        scale = np.square(self.twice)
        # df/df = 1
        deltas = [*self.delta, np.ones_like(self.residual)[..., None]]
        for key, (weight, bias), delta, before in zip(self._keys, self._layers, deltas, self._inputs, strict=True):
            if weight is not None or bias is not None:
                factor = np.zeros_like(self.residual) if weight is None else _squares(before)
                found[key] = scale * _squares(delta) * (factor + float(bias is not None))
        return found

    def total(self) -> Array:  # noqa: D102
        parts: dict[str, Array] = {}
        for (weight, bias), delta, before in zip(self._layers[:-1], self.delta, self._inputs, strict=False):
            scaled = self.twice[..., None] * delta
            if weight is not None:
                parts[weight] = product(scaled.swapaxes(-1, -2), before)
            if bias is not None:
                parts[bias] = scaled.sum(1)
        weight, bias = self._layers[-1]
        if weight is not None:
            parts[weight] = np.einsum("rn,rnk->rk", self.twice, self._inputs[-1])
        if bias is not None:
            parts[bias] = self.twice.sum(-1)
        return np.concatenate([parts[name].reshape(len(self.twice), -1) for name in self.shapes], axis=-1)

    def inner_products(self, gradient: Array) -> Array:  # noqa: D102
        parts = self.by_name(gradient)
        found: Array = np.zeros_like(self.residual)
        for layer, ((weight, bias), delta, before) in enumerate(
            zip(self._layers[:-1], self.delta, self._inputs, strict=False)
        ):
            if weight is not None:
                along = parts[weight][..., None] if layer == 0 else parts[weight]
                found += np.einsum("rnk,rnk->rn", delta, product(before, along.swapaxes(-1, -2)))
            if bias is not None:
                found += np.einsum("rnk,rk->rn", delta, parts[bias])
        weight, bias = self._layers[-1]
        if weight is not None:
            found += np.einsum("rnk,rk->rn", self._inputs[-1], parts[weight])
        if bias is not None:
            found += parts[bias][:, None]
        found *= self.twice
        return found

    def by_name(self, rows: Array) -> dict[str, Array]:  # noqa: D102
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes.values()])
        parts = np.split(rows, ends[:-1], axis=-1)
        return {
            name: part.reshape(len(rows), *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def gradients(self) -> dict[str, Array]:  # noqa: D102
        found: dict[str, Array] = {}
        for layer, ((weight, bias), delta, before) in enumerate(
            zip(self._layers[:-1], self.delta, self._inputs, strict=False)
        ):
            scaled = self.twice[..., None] * delta
            if weight is not None:
                found[weight] = scaled * before if layer == 0 else scaled[..., None] * before[..., None, :]
            if bias is not None:
                found[bias] = scaled
        weight, bias = self._layers[-1]
        if weight is not None:
            found[weight] = self.twice[..., None] * self._inputs[-1]
        if bias is not None:
            found[bias] = self.twice.copy()
        return found


def _squares(values: Array) -> Array:
    """Return the squared norms over the units, [R, N]."""
    found: Array = np.einsum("rnk,rnk->rn", values, values)
    return found


def tangent(architecture: Architecture, p: Parameters, x: Array, precision: str = "float64") -> dict[str, Array]:
    """Return J_i = df(x_i)/dtheta, name -> [R, N, ...]."""
    # 2 r_i = 1 for the targets f(x_i) - 1/2
    y = predict(architecture, p, x) - 0.5
    return ChainGradients(architecture, p, x, y, architecture.shapes, precision).gradients()


def bound(architecture: Architecture, p: Parameters, largest: float) -> Array:
    """Return a bound on |f(x_i)|, [R], from the absolute parameters: |phi(z)| <= max(1, |s|) |z| in every layer."""
    factor = max(1.0, abs(architecture.negative_slope))
    layers, v, c = architecture.layers(p)
    hidden = factor * (largest * layers[0][0][..., 0] + layers[0][1])
    for weight, bias in layers[1:]:
        hidden = factor * (np.einsum("rkj,rj->rk", weight, hidden) + bias)
    found: Array = c + (v * hidden).sum(-1)
    return found


@functools.cache
def model_named(name: str) -> Model | None:
    """Return the model of a chain from its name; None if it is not the name of a chain."""
    architecture = Architecture.of_name(name)
    if architecture is None:
        return None
    return Model(
        name=name,
        formula=f"y = chain of {architecture.in_words()}",
        parameters=architecture.shapes,
        predict=functools.partial(predict, architecture),
        tangent=functools.partial(tangent, architecture),
        largest_input=lambda x: float(np.abs(x).max()),
        bound=functools.partial(bound, architecture),
        describe=lambda p: architecture.in_words(),
        straight=True,
        factored_gradients=functools.partial(ChainGradients, architecture),
        in_user_units=relu.in_user_units,
        in_trained_units=relu.in_trained_units,
        hidden_features=functools.partial(last_hidden_layer, architecture),
        architecture=architecture,
    )
