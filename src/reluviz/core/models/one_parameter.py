"""Models with one parameter, f(x) = theta phi(x): the constant with phi = 1, the linear model with phi = x.

Legend of shapes: R replicas, N samples. theta is [R], x is [N] or [R, N].
"""

from collections.abc import Callable, Mapping

import numpy as np

from reluviz.core.models.model import Array, Model, Parameters


def one_parameter_model(
    name: str,
    formula: str,
    feature: Callable[[Array], Array],
    words: Mapping[str, str],
    straight: bool = False,
) -> Model:
    """Return the model f(x) = theta phi(x).

    Args:
        name: its name.
        formula: its equation.
        feature: phi, a function of an array of any shape.
        words: its formulas in `explain`; `cli/explain/one_parameter.py` names the keys.
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
        words=words,
    )
