"""The one-parameter linear model f(x) = theta x."""

from reluviz.core.models.model import Array
from reluviz.core.models.one_parameter import one_parameter_model


def identity(x: Array) -> Array:
    """Return phi(x) = x."""
    return x


MODEL = one_parameter_model(
    "linear",
    "y = theta x",
    identity,
    {
        "f": "θ x",
        "r": "θ xᵢ − yᵢ",
        "gradient": "(2/N) Σ rᵢ xᵢ",
        "gradient from optimum": "2 mean(x²) (θ − θ*)",
        "contribution": "2 rᵢxᵢ/N",
        "optimum": "Σ xᵢyᵢ / Σ xᵢ²",
        "sum of products": "Σ xᵢyᵢ",
        "sum of squares": "Σ xᵢ²",
        "mean square": "mean(x²)",
        "candidate": "yᵢ/xᵢ",
        "weight": "xᵢ²/Σ xⱼ²",
        "weight of a point": "xᵢ²",
        "size of a point": "|xᵢ|",
        "no weight": "x = 0",
        "factor": "1 − 2η mean(x²)",
        "limit": "1 / mean(x²)",
        "limit with momentum": "(1 + μ) / mean(x²)",
        "limit in ASCII": "1/mean(x^2)",
        "limit in ASCII with momentum": "(1 + momentum)/mean(x^2)",
        "variance": "η mean(x²ε²) / (B′ mean(x²) (1 − η/η₂))",
    },
    straight=True,
)
