"""The constant model f(x) = theta."""

import numpy as np

from reluviz.core.models.one_parameter import one_parameter_model

MODEL = one_parameter_model(
    "constant",
    "y = theta",
    np.ones_like,
    {
        "f": "θ",
        "r": "θ − yᵢ",
        "gradient": "(2/N) Σ rᵢ",
        "gradient from optimum": "2 (θ − θ*)",
        "contribution": "2 rᵢ/N",
        "optimum": "Σ yᵢ / N",
        "candidate": "yᵢ",
        "weight": "1/N",
        "same weight": "point i asks for yᵢ, and every point has the same weight, 1/N",
        "factor": "1 − 2η",
        "limit": "1",
        "limit with momentum": "1 + μ",
        "limit in ASCII": "1 + momentum",
        "limit in ASCII with momentum": "1 + momentum",
        "variance": "η Var(y) / (B′ (1 − η))",
    },
    straight=True,
)
