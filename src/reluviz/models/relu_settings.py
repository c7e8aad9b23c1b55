"""The settings of a ReLU network, checked without torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from reluviz.core.initial_state import ELBOW_PLACEMENTS
from reluviz.core.models.relu import PARAMETERS
from reluviz.data.ranges import Rule, check_value, number, numbers, one_of, optional, whole_number
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
    "model.positions": optional(numbers),
    "model.train": one_of(*TRAINED),
    "model.ridge": number(least=0),
}
"""Key -> rule, of the settings of a ReLU network."""


@dataclass(frozen=True)
class ReLUSettings:
    """Settings of a ReLU network as plain values, each of them within its rule; see `ReLUModule`."""

    width: int
    elbows: str
    positions: list[float] | None
    train: str
    ridge: float


def check_settings(
    width: int, elbows: str, positions: Sequence[float] | None, train: str, ridge: float
) -> ReLUSettings:
    """Return the arguments of `ReLUModule` as plain values, which a checkpoint can store.

    Raises:
        UserError: for invalid or contradictory settings.
    """
    given = {
        "width": width,
        "elbows": elbows,
        "positions": None if positions is None else [float(beta) for beta in positions],
        "train": train,
        "ridge": ridge,
    }
    found = ReLUSettings(**{name: check_value(f"model.{name}", value, RULES) for name, value in given.items()})
    if (found.elbows == "given") != (found.positions is not None):
        raise UserError("model.elbows=given and model.positions=[...] need each other")
    if found.positions is not None and len(found.positions) != found.width:
        count = len(found.positions)
        raise UserError(f"model.positions={found.positions}: {count} elbows for model.width={found.width}")
    return found
