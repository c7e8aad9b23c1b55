"""The settings of networks, checked without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reluviz.core.initial_state import ELBOW_PLACEMENTS
from reluviz.core.models.architecture import ACTIVATIONS, Architecture
from reluviz.core.models.relu import MODEL as RELU
from reluviz.data.ranges import Rule, check_value, number, numbers, one_of, optional, whole_number
from reluviz.errors import UserError

TRAIN = ("all", "output", "hidden", "ridge")
"""The values of the setting `model.train`."""
MAX_LAYERS = 20


def trained_names(architecture: Architecture, train: str) -> tuple[str, ...]:
    """Return the names of the parameters that a value of `train` trains: of all, the output or the hidden layers."""
    output = architecture.names[-1]
    if train == "all":
        return tuple(architecture.shapes)
    if train == "hidden":
        return tuple(name for name in architecture.shapes if name not in output)
    return output


def layer_widths(value: Any) -> list[int]:
    """Accept the widths of the hidden layers: a list of whole numbers, or one of them for a single layer."""
    expected = f"the widths of at most {MAX_LAYERS} layers, as in [20,20]"
    widths = list(value) if isinstance(value, list | tuple) else [value]
    if not 1 <= len(widths) <= MAX_LAYERS:
        raise ValueError(expected)
    try:
        return [whole_number(1, 1e4)(width) for width in widths]
    except ValueError as error:
        raise ValueError(f"{expected}, each {error}") from None


RULES: dict[str, Rule] = {
    "model.width": whole_number(1, 1e5),
    "model.hidden": layer_widths,
    "model.activation": one_of(*ACTIVATIONS),
    "model.slope": number(least=0, below=1),
    "model.elbows": one_of(*ELBOW_PLACEMENTS),
    "model.positions": optional(numbers),
    "model.train": one_of(*TRAIN),
    "model.ridge": number(least=0),
}
"""Key -> rule, of the settings of networks."""


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
    check_positions(found.elbows, found.positions, found.width, f"model.width={found.width}")
    return found


@dataclass(frozen=True)
class ChainSettings:
    """Settings of a chain as plain values, each of them within its rule; see `MLPModule`."""

    hidden: list[int]
    activation: str
    slope: float
    elbows: str
    positions: list[float] | None
    train: str

    @property
    def architecture(self) -> Architecture:
        """The layers; the slope counts only for leaky."""
        slope = {"slope": self.slope} if self.activation == "leaky" else {}
        return Architecture(tuple(self.hidden), self.activation, **slope)

    @property
    def model(self) -> str:
        """The name of the model: one hidden layer of ReLUs is the model of `ReLUModule`."""
        one_layer = Architecture(tuple(self.hidden[:1]))
        return RELU.name if self.architecture == one_layer else self.architecture.name


def check_chain_settings(
    hidden: Sequence[int] | int,
    activation: str,
    slope: float,
    elbows: str,
    positions: Sequence[float] | None,
    train: str,
) -> ChainSettings:
    """Return the arguments of `MLPModule` as plain values, which a checkpoint can store.

    Raises:
        UserError: for invalid or contradictory settings.
    """
    given = {
        "hidden": hidden,
        "activation": activation,
        "slope": slope,
        "elbows": elbows,
        "positions": None if positions is None else [float(beta) for beta in positions],
        "train": train,
    }
    found = ChainSettings(**{name: check_value(f"model.{name}", value, RULES) for name, value in given.items()})
    if found.train == "ridge":
        raise UserError(
            "model.train=ridge: solves a network with one hidden layer; use model=relu, or model.train=output"
        )
    check_positions(found.elbows, found.positions, found.hidden[0], f"model.hidden={found.hidden}")
    return found


def check_positions(elbows: str, positions: list[float] | None, width: int, shape: str) -> None:
    """Check that elbows are given where, and only where, they are placed by hand.

    Args:
        elbows: the setting `model.elbows`.
        positions: the setting `model.positions`.
        width: the number of units of the first hidden layer.
        shape: the setting that has this number, for the message.

    Raises:
        UserError: if they are missing, too many, or too few.
    """
    if (elbows == "given") != (positions is not None):
        raise UserError("model.elbows=given and model.positions=[...] need each other")
    if positions is not None and len(positions) != width:
        raise UserError(f"model.positions={positions}: {len(positions)} elbows for {shape}")
