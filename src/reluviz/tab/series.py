"""A run as the view reads it: three byte strings (see `wire_format`), made from what TensorBoard has loaded.

    data      x, y, target, x_test, y_test (float64), recorded (int32); model, name, domain, trained, seeds, settings
    params    update, wall (float64 [S]), values (float32 [S, V, P]); fields [[name, count], ...]
    scalars   u0, v0, u1, v1, ... (float64, float32); tags

Votes, elbows and everything else follow from these, and are computed where they are looked at.

Legend of shapes: S snapshots, R replicas, P parameters, N points, V replicas that are shown: the first ones, all of
them up to `core.snapshot.MOST_SHOWN`.
"""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reluviz.core.snapshot import MOST_SHOWN
from reluviz.record import tags
from reluviz.tab import wire_format

MOST_SNAPSHOTS = 25_000
"""Snapshots of a run that are shown, at most: every second, fourth, ... of longer runs."""
MOST_VALUES = 2**24
"""Parameters of a run that are sent, at most: 64 MB."""
MOST_READ = 2**27
"""Bytes of a tag that are read at once, at most: TensorBoard's own reader gives up at 256 MiB."""
MOST_POINTS = 2_000
MOST_TEST_POINTS = 4_000
SCALARS = (tags.LOSS_TRAIN, tags.LOSS_TEST, tags.LOSS_BATCH, tags.THETA_OPTIMUM)
SHOWN_SCALARS = (*SCALARS, *(f"{tag}/{q}" for tag in SCALARS[:3] for q in tags.QUARTILES))


class Damaged(ValueError):
    """What a run has left cannot be read; the message says what, in one line."""


@dataclass(frozen=True)
class Snapshots:
    """The parameters of a run over its snapshots.

    Attributes:
        update: strictly increasing, [S].
        wall: when each was written, in seconds since 1970, [S].
        values: float32 [S, V, P].
        fields: [[name, count], ...] of the last axis.
        total: how many snapshots the run has left.
        stride: every how manieth of them is here, besides the last.
    """

    update: NDArray[np.float64]
    wall: NDArray[np.float64]
    values: NDArray[np.float32]
    fields: list[list[Any]]
    total: int
    stride: int

    def encode(self, after: int | None = None) -> bytes:
        """Return the snapshots later than update `after`, or all, as bytes.

        The header tells how many there are `before`, and when the last of those was written: a reader whose own
        do not match has seen a run that was resumed, or thinned further, and starts anew.
        """
        start = 0 if after is None else int(np.searchsorted(self.update, after, "right"))
        arrays: dict[str, NDArray[Any]] = {
            "update": self.update[start:],
            "wall": self.wall[start:],
            "values": self.values[start:],
        }
        return wire_format.encode(
            arrays,
            fields=self.fields,
            total=self.total,
            stride=self.stride,
            before=start,
            wall_before=float(self.wall[start - 1]) if start else None,
        )


def content(raw: bytes) -> dict[str, Any]:
    """Return what a tensor's plugin content says of it.

    Raises:
        Damaged: if it is not ours.
    """
    try:
        found = json.loads(raw)
        fields = [[str(name), int(count)] for name, count in found["fields"]]
    except (ValueError, TypeError, KeyError, UnicodeDecodeError):
        raise Damaged("its tensors do not say how to read them") from None
    return {**found, "fields": fields}


def increasing(step: Sequence[int], wall: Sequence[float]) -> list[int]:
    """Return the indices of what is to be kept so that steps strictly increase.

    Whoever writes a step for a second time has taken the run up again before it: the later writing wins, and
    what the earlier one left beyond it is gone.
    """
    if all(a < b for a, b in itertools.pairwise(step)):
        return list(range(len(step)))
    kept: list[int] = []
    for i in sorted(range(len(step)), key=lambda i: (wall[i], step[i])):
        while kept and step[kept[-1]] >= step[i]:
            kept.pop()
        kept.append(i)
    return kept


def thin(count: int, size: int) -> int:
    """Return the stride, a power of two, that keeps `count` snapshots of `size` numbers within bounds."""
    stride = 1
    while count > stride and (count > stride * MOST_SNAPSHOTS or (count // stride) * size > MOST_VALUES):
        stride *= 2
    return stride


def snapshots(
    step: Sequence[int], wall: Sequence[float], at: Callable[[int], NDArray[Any]], fields: list[list[Any]]
) -> Snapshots:
    """Return the snapshots of a run, thinned where there are too many.

    Args:
        step: their updates, as TensorBoard has them.
        wall: when they were written.
        at: gives the parameters of one of them, [R, P].
        fields: of the last axis.

    Raises:
        Damaged: if the parameters are not what `fields` says.
    """
    kept = increasing(step, wall)
    size = sum(count for _, count in fields)
    if kept:
        shape = at(kept[-1]).shape
        if len(shape) != 2 or shape[1] != size:
            raise Damaged(f"its parameters have the shape {list(shape)}, not [replicas, {size}]")
        kept = [i for i in kept if at(i).shape == shape]
        shape = min(shape[0], MOST_SHOWN), size
    else:
        shape = (0, size)
    stride = thin(len(kept), shape[0] * size)
    shown = kept[::stride]
    if kept and shown[-1] != kept[-1]:
        shown.append(kept[-1])
    with np.errstate(over="ignore"):
        values = np.array([at(i)[: shape[0]] for i in shown], dtype=np.float32).reshape(len(shown), *shape)
    return Snapshots(
        np.array([step[i] for i in shown], dtype=np.float64),
        np.array([wall[i] for i in shown], dtype=np.float64),
        values,
        fields,
        len(kept),
        stride,
    )


def encode_data(values: NDArray[np.float64], told: Mapping[str, Any]) -> bytes:
    """Return the data set of a run as bytes; of many points an even sample.

    Args:
        values: the fields one after another.
        told: the tensor's plugin content.

    Raises:
        Damaged: if the two do not fit.
    """
    lengths = [count for _, count in told["fields"]]
    if values.ndim != 1 or sum(lengths) != len(values) or min(lengths, default=0) < 0:
        raise Damaged("its data set is not as long as it says")
    parts = np.split(values.astype(np.float64), np.cumsum(lengths)[:-1])
    named = {name: part for (name, _), part in zip(told["fields"], parts, strict=True)}
    if not {"x", "y"} <= named.keys() or len(named["x"]) != len(named["y"]) or not len(named["x"]):
        raise Damaged("its data set has no points")
    points, test_points = len(named["x"]), len(named.get("x_test", ()))
    for names, count, most in (
        (("x", "y", "target"), points, MOST_POINTS),
        (("x_test", "y_test"), test_points, MOST_TEST_POINTS),
    ):
        if count > most:
            some = np.linspace(0, count - 1, most).round().astype(np.int64)
            named |= {name: named[name][some] for name in names if name in named}
    arrays: dict[str, NDArray[Any]] = {n: v for n, v in named.items() if n in ("x", "y", "target", "x_test", "y_test")}
    arrays["recorded"] = np.arange(len(named["x"]), dtype=np.int32)
    keys = ("model", "name", "domain", "trained", "seeds", "settings")
    header = {key: finite(told.get(key)) for key in keys}
    return wire_format.encode(arrays, points=points, test_points=test_points, **header)


def encode_scalars(series: Mapping[str, tuple[Sequence[int], Sequence[float], Sequence[float]]]) -> bytes:
    """Return scalars, tag -> (steps, wall times, values), as bytes."""
    arrays: dict[str, NDArray[Any]] = {}
    found = [tag for tag in SHOWN_SCALARS if tag in series]
    for i, tag in enumerate(found):
        step, wall, value = series[tag]
        kept = increasing(step, wall)
        arrays[f"u{i}"] = np.array([step[j] for j in kept], dtype=np.float64)
        arrays[f"v{i}"] = np.array([value[j] for j in kept], dtype=np.float32)
    return wire_format.encode(arrays, tags=found)


def finite(value: Any) -> Any:
    """Return a value that JSON can hold: numbers that are none become text."""
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): finite(one) for key, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, (list, tuple)) else value
