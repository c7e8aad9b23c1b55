"""Rebuild the data set of a recorded run, including its true function if this version of reluviz has it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reluviz.data.dataset import Array, Dataset
from reluviz.data.scaling import IDENTITY, Scaling
from reluviz.data.targets import TARGETS


class InterpolatedTarget:
    """A function given by its values at some points, linear between them.

    Args:
        x: points [G], in any order.
        y: values there [G].
        reason: why the function itself is not known.
    """

    def __init__(self, x: Array, y: Array, reason: str) -> None:
        self.reason = reason
        self.x, first = np.unique(x, return_index=True)
        self.y = y[first]

    def __call__(self, x: Array) -> Array:
        """Return the values at x."""
        return np.interp(x, self.x, self.y)

    def __repr__(self) -> str:
        return f"<InterpolatedTarget of {len(self.x)} points: {self.reason}>"


@dataclass(frozen=True)
class RecordedPoints(Dataset):
    """A data set as it was recorded: recorded samples refer to this order, which versions up to 0.2.0 did not sort."""

    def __post_init__(self) -> None:
        """Leave the points as they are."""


def recorded_dataset(content: Mapping[str, Any], values: NDArray[Any]) -> tuple[Dataset, NDArray[np.int64]]:
    """Return the data set of a run, and the indices of its recorded samples [n].

    A run records the name of its true function in `TARGETS`, and its values. The data set gets the function of that
    name if it has these values, and otherwise an interpolation of them. Names are only looked up in `TARGETS`, so a
    run's folder cannot make other code run. Versions up to 0.2.0 recorded no name: their values are compared with
    those of every target.

    Args:
        content: plugin content of the tag reluviz/data.
        values: its tensor.

    Raises:
        KeyError, TypeError, ValueError: if content and values do not match.
    """
    fields = _fields(content["fields"], values)
    x, y, target = fields["x"], fields["y"], fields.get("target")
    x_test, y_test = fields.get("x_test"), fields.get("y_test")
    low, high = content["domain"]
    function: Callable[[Array], Array] | None = None
    if target is not None:
        function, reason = _registered_target(content, x, target)
        if function is None:
            # where the target is known, test outputs are free of noise
            points = [(x, target), *([(x_test, y_test)] if x_test is not None and y_test is not None else [])]
            places, heights = (np.concatenate(part) for part in zip(*points, strict=True))
            function = InterpolatedTarget(places, heights, reason)
    found = RecordedPoints(
        name=str(content["name"]),
        x=x,
        y=y,
        domain=(float(low), float(high)),
        x_test=x_test,
        y_test=y_test,
        target=function,
        target_is_interpolated=isinstance(function, InterpolatedTarget),
        # runs of versions up to 0.2.0 trained in the user's units
        scaling=Scaling(*map(float, content.get("scaling", IDENTITY.numbers()))),
    )
    recorded = fields["recorded"].astype(np.int64)
    if len(x) != len(y) or len(x) == 0 or recorded.min() < 0 or recorded.max() >= len(x):
        raise ValueError("x, y and the recorded samples do not fit together")
    return found, recorded


def _registered_target(
    content: Mapping[str, Any], x: Array, values: Array
) -> tuple[Callable[[Array], Array] | None, str]:
    """Return the function of a recorded target in `TARGETS`, and if it is not there, why."""
    if "target" not in content:
        candidates, reason = list(TARGETS.values()), "no target of this version has its values"
    elif (name := content["target"]) is None:
        candidates, reason = [], "the run's function has no name in TARGETS"
    elif name in TARGETS:
        candidates, reason = [TARGETS[name]], f"the target {name!r} of this version has other values"
    else:
        candidates, reason = [], f"this version has no target {name!r}"
    return next((known for known in candidates if _agree(known(x), values)), None), reason


def _agree(found: Array, wanted: Array) -> bool:
    return np.allclose(found, wanted, rtol=1e-12, atol=1e-12)


def _fields(fields: Sequence[tuple[str, int]], values: NDArray[Any]) -> dict[str, Array]:
    """Split the values into named fields of the given lengths."""
    ends = np.cumsum([count for _, count in fields])
    if values.ndim != 1 or ends[-1] != len(values):
        raise ValueError("the fields do not fill the tensor")
    parts = np.split(values.astype(np.float64), ends[:-1])
    return {str(name): part for (name, _), part in zip(fields, parts, strict=True)}
