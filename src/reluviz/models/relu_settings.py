"""The settings of a ReLU network, checked without torch."""

from collections.abc import Sequence

from reluviz.core.initial_state import ELBOW_PLACEMENTS
from reluviz.core.models.relu import PARAMETERS
from reluviz.data.ranges import Rule, check_value, number, one_of, whole_number
from reluviz.errors import UserError

TRAINED = {
    "all": tuple(PARAMETERS),
    "output": ("output_weight", "output_bias"),
    "hidden": ("input_slope", "bias"),
    "ridge": ("output_weight", "output_bias"),
}
"""The parameters that each value of `train` trains."""


RULES: dict[str, Rule] = {
    "model.width": whole_number(1, 1e5),
    "model.elbows": one_of(*ELBOW_PLACEMENTS),
    "model.train": one_of(*TRAINED),
    "model.ridge": number(least=0),
}
"""Key -> rule, of the settings of a ReLU network."""


def check_settings(width: int, elbows: str, positions: Sequence[float] | None, train: str, ridge: float) -> None:
    """Check the arguments of `ReLUModule`.

    Raises:
        UserError: for invalid or contradictory settings.
    """
    for (key, rule), value in zip(RULES.items(), (width, elbows, train, ridge), strict=True):
        check_value(key, value, rule)
    if (elbows == "given") != (positions is not None):
        raise UserError("model.elbows=given and model.positions=[...] need each other")
    if positions is not None and len(positions) != width:
        raise UserError(f"model.positions={positions}: {len(positions)} elbows for model.width={width}")
