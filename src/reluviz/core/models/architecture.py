"""The architecture of a chain: linear layers of one input and one output, with a piecewise-linear activation between.

    h_0 = x,   z_l = W_l h_(l-1) + b_l,   h_l = phi(z_l) for l = 1..L,   f(x) = v . h_L + c
    phi(z) = z where z > 0, s z elsewhere:  s = 0 for relu, the given slope for leaky, -1 for abs

Legend of shapes: R replicas, N samples, L hidden layers, W_l units of layer l.
"""

import functools
import re
from dataclasses import dataclass

import numpy as np

from reluviz.core.models.arrays import Array, Parameters

ACTIVATIONS = ("relu", "leaky", "abs")
"""The values of the setting `model.activation`."""
FAMILY = "mlp"
"""The names of all chains begin with it."""
_NAME = re.compile(rf"{FAMILY}((?:-[1-9]\d*)+)(?:-(abs)|-(leaky)(-?\d[\d.e+-]*))?")


@dataclass(frozen=True)
class Architecture:
    """The architecture of a chain.

    Attributes:
        hidden: the widths W_1, ..., W_L of the hidden layers.
        activation: one of `ACTIVATIONS`.
        slope: the slope of leaky where z <= 0; not used by the other activations.
    """

    hidden: tuple[int, ...]
    activation: str = "relu"
    slope: float = 0.01

    @property
    def name(self) -> str:
        """The name of the chain in records and messages: mlp-20-20, mlp-20-20-abs, mlp-20-20-leaky0.01."""
        kind = {"relu": "", "abs": "-abs", "leaky": f"-leaky{self.slope!r}"}[self.activation]
        return "-".join([FAMILY, *map(str, self.hidden)]) + kind

    @classmethod
    def of_name(cls, name: str) -> "Architecture | None":
        """Return the architecture of a chain of this name; None if it is not the name of a chain."""
        if (found := _NAME.fullmatch(name)) is None:
            return None
        hidden = tuple(int(width) for width in found[1].split("-")[1:])
        if found[3] is None:
            return cls(hidden, found[2] or "relu")
        try:
            return cls(hidden, found[3], float(found[4]))
        except ValueError:
            return None

    @property
    def negative_slope(self) -> float:
        """s, the slope of phi where z < 0."""
        return {"relu": 0.0, "leaky": self.slope, "abs": -1.0}[self.activation]

    def activate(self, z: Array) -> Array:
        """Return phi(z)."""
        if self.activation == "relu":
            return np.maximum(z, 0)
        if self.activation == "abs":
            return np.abs(z)
        return np.where(z > 0, z, self.slope * z)

    def gate(self, z: Array) -> Array:
        """Return phi'(z): 1 where z > 0, s where z < 0; at z = 0 what torch takes: 0 for relu and abs, s for leaky."""
        if self.activation == "relu":
            return (z > 0).astype(np.float64)
        if self.activation == "abs":
            return np.sign(z)
        return np.where(z > 0, 1.0, self.slope)

    @functools.cached_property
    def names(self) -> tuple[tuple[str, str], ...]:
        """The names of the weight and the bias of each layer: L hidden layers and the output layer.

        The first and the last layer have the names of a network with one hidden layer.
        """
        between = [(f"weight_{layer}", f"bias_{layer}") for layer in range(2, len(self.hidden) + 1)]
        return (("input_slope", "bias"), *between, ("output_weight", "output_bias"))

    @functools.cached_property
    def layer_names(self) -> dict[str, tuple[str, str]]:
        """The names of the layers, as in tags -> the names of their parameters: layer_1, ..., layer_L, output."""
        keys = [f"layer_{layer}" for layer in range(1, len(self.hidden) + 1)]
        return dict(zip((*keys, "output"), self.names, strict=True))

    @functools.cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter of one replica: input_slope (W_1,), weight_2 (W_2, W_1), ..., output_bias ()."""
        found: dict[str, tuple[int, ...]] = {}
        before: tuple[int, ...] = ()
        for (weight, bias), width in zip(self.names[:-1], self.hidden, strict=True):
            found |= {weight: (width, *before), bias: (width,)}
            before = (width,)
        weight, bias = self.names[-1]
        return found | {weight: before, bias: ()}

    @property
    def parameters(self) -> int:
        """The number P of parameters."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    def layers(self, p: Parameters) -> tuple[list[tuple[Array, Array]], Array, Array]:
        """Return W_l [R, W_l, W_(l-1)] and b_l [R, W_l] of the hidden layers, v [R, W_L] and c [R]; W_0 = 1."""
        (first, first_bias), *between, (output, output_bias) = self.names
        hidden = [(p[first][..., None], p[first_bias]), *((p[weight], p[bias]) for weight, bias in between)]
        return hidden, p[output], p[output_bias]

    def in_words(self) -> str:
        """Return the hidden layers in words: "20 ReLUs", "20 + 20 ReLUs", "20 + 20 units abs"."""
        units = {"relu": "ReLUs", "leaky": f"leaky ReLUs of slope {self.slope:g}", "abs": "units |z|"}[self.activation]
        return f"{' + '.join(f'{width:,}' for width in self.hidden)} {units}"
