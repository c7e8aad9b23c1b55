"""Models with one parameter, f(x) = theta phi(x): the constant with phi = 1, the linear model with phi = x.

Legend of shapes: R replicas, N samples. theta is [R], x is [N] or [R, N].
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from reluviz.core.models.model import Array, Model, Parameters

WORDS = {
    "f": "θ φ(x)",
    "r": "θ φᵢ − yᵢ",
    "gradient": "(2/N) Σ rᵢ φᵢ",
    "gradient from optimum": "2 mean(φ²) (θ − θ*)",
    "contribution": "2 rᵢφᵢ/N",
    "optimum": "Σ φᵢyᵢ / Σ φᵢ²",
    "sum of products": "Σ φᵢyᵢ",
    "sum of squares": "Σ φᵢ²",
    "mean square": "mean(φ²)",
    "candidate": "yᵢ/φᵢ",
    "weight": "φᵢ²/Σ φⱼ²",
    "weight of a point": "φᵢ²",
    "size of a point": "|φᵢ|",
    "no weight": "φ = 0",
    "factor": "1 − 2η mean(φ²)",
    "limit": "1 / mean(φ²)",
    "limit with momentum": "(1 + μ) / mean(φ²)",
    "limit in ASCII": "1/mean(phi^2)",
    "limit in ASCII with momentum": "(1 + momentum)/mean(phi^2)",
    "variance": "η mean(φ²ε²) / (B′ mean(φ²) (1 − η/η₂))",
}
"""The formulas of a model f(x) = theta phi(x) in `explain` and in advice on its step size."""


def one_parameter_model(
    name: str,
    formula: str,
    feature: Callable[[Array], Array],
    words: Mapping[str, str] = MappingProxyType({}),
    straight: bool = False,
) -> Model:
    """Return the model f(x) = theta phi(x).

    Args:
        name: its name.
        formula: its equation.
        feature: phi, a function of an array of any shape.
        words: its own formulas for some keys of `WORDS`. The key "same weight" is the answer that all points have the
            same weight, for a constant phi.
        straight: whether phi is a straight line.
    """

    def predict(p: Parameters, x: Array) -> Array:
        return p["theta"][:, None] * feature(x)

    def tangent(p: Parameters, x: Array, precision: str = "float64") -> dict[str, Array]:
        return {"theta": np.ones_like(p["theta"])[:, None] * feature(x)}

    return Model(
        name=name,
        formula=formula,
        parameters={"theta": ()},
        predict=predict,
        tangent=tangent,
        largest_input=lambda x: float(np.abs(feature(x)).max()),
        bound=lambda p, largest: p["theta"] * largest,
        describe=lambda p: f"{name} model",
        straight=straight,
        feature=feature,
        words=WORDS | dict(words),
    )
