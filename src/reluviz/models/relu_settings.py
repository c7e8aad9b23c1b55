"""The settings of a ReLU network, checked without torch."""

from collections.abc import Sequence

from reluviz.core.initial_state import ELBOW_PLACEMENTS
from reluviz.core.models.relu import PARAMETERS
from reluviz.errors import UserError

TRAINED = {
    "all": tuple(PARAMETERS),
    "output": ("output_weight", "output_bias"),
    "hidden": ("input_slope", "bias"),
    "ridge": ("output_weight", "output_bias"),
}
"""The parameters that each value of `train` trains."""


def check_settings(width: int, elbows: str, positions: Sequence[float] | None, train: str, ridge: float) -> None:
    """Check the arguments of `ReLUModule`.

    Raises:
        UserError: for invalid or contradictory settings.
    """
    if width < 1:
        raise UserError(f"model.width={width}: must be a whole number of at least 1")
    if train not in TRAINED:
        raise UserError(f"model.train={train}: must be one of {', '.join(TRAINED)}")
    if elbows not in ELBOW_PLACEMENTS:
        raise UserError(f"model.elbows={elbows}: must be one of {', '.join(ELBOW_PLACEMENTS)}")
    if (elbows == "given") != (positions is not None):
        raise UserError("model.elbows=given and model.positions=[...] need each other")
    if positions is not None and len(positions) != width:
        raise UserError(f"model.positions={positions}: {len(positions)} elbows for model.width={width}")
    if ridge < 0:
        raise UserError(f"model.ridge={ridge}: must be at least 0")
