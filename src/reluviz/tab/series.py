"""A run as the view reads it: three byte strings (see `wire_format`), made from the tensors TensorBoard has loaded.

    data      x, y, target, x_test, y_test (float64), recorded (int32); model, name, domain, trained, seeds, settings,
              and if the run trained on scaled data scaling [x0, s_x, y0, s_y]
    params    update, wall (float64 [S]), values (float32 [S, V, P]); fields [[name, count], ...]
    scalars   u0, v0, u1, v1, ... (float64, float32); tags, findings [{name, text, advice, replicas, total}, ...]
    kinks     of a chain: update (float64 [S]), start (int32 [S + 1]) of the rows of each snapshot; replica (uint8),
              layer, unit (int32), x (float64), value and jump (float32) of each row, as in `tags.KINK_SERIES`,
              without crossings at which f does not bend

The view computes votes, elbows and everything else from these.

Legend of shapes: S snapshots, R replicas, P parameters, N points, V replicas that are shown: the first
`core.snapshot.MAX_SHOWN_REPLICAS`, or all if there are fewer.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reluviz.core.findings import Finding
from reluviz.core.models import MODELS
from reluviz.core.snapshot import MAX_SHOWN_REPLICAS
from reluviz.files import parse_json
from reluviz.record import tags
from reluviz.tab import wire_format

MAX_SNAPSHOTS = 25_000
"""The view gets at most this many snapshots of a run: every second, fourth, ... snapshot of longer runs."""
MAX_VALUES = 2**24
"""The view gets at most this many parameter values of a run: 64 MB."""
MAX_CHAIN_VALUES = 2**23
"""The view gets at most this many parameter values of a chain of several layers: 32 MB. Where this leaves out
snapshots, it gets the kinks of all of them."""
MAX_READ_BYTES = 2**27
"""At most this many bytes of a tag are read at once: TensorBoard's own reader fails at 256 MiB."""
MAX_COUNT = 2**40
"""No field has more numbers than this."""
MAX_UNITS = 2**31
KINK_DTYPES = ("u1", "i4", "i4", "f8", "f4", "f4")
"""The types of `tags.KINK_FIELDS` in the view."""
MAX_POINTS = 2_000
MAX_TEST_POINTS = 4_000
SCALARS = (tags.LOSS_TRAIN, tags.LOSS_TEST, tags.LOSS_BATCH, tags.THETA_OPTIMUM)
SHOWN_SCALARS = (*SCALARS, *(f"{tag}/{q}" for tag in SCALARS[:3] for q in tags.QUARTILES))


UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What reading a damaged record may raise."""


class UnreadableRun(ValueError):
    """The record of a run cannot be read; the message says why, in one line."""


@dataclass(frozen=True)
class SnapshotSeries:
    """The parameters of a run over its snapshots.

    Attributes:
        update: updates of the snapshots, strictly increasing, [S].
        wall: when each was written, in seconds since 1970, [S].
        values: parameters, float32 [S, V, P].
        fields: [[name, count], ...] of the last axis.
        total: number of snapshots that the run has recorded.
        stride: every stride-th recorded snapshot is included, and the last one.
    """

    update: NDArray[np.float64]
    wall: NDArray[np.float64]
    values: NDArray[np.float32]
    fields: list[list[Any]]
    total: int
    stride: int

    def encode(self, after: int | None = None) -> bytes:
        """Return the snapshots later than update `after`, or all, as bytes.

        The header holds the number of snapshots `before` these, and when the last of those was written. If a reader's
        own snapshots do not match, the run was resumed or thinned further, and the reader must read all of it again.
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


def parse_content(raw: bytes) -> dict[str, Any]:
    """Return a tensor's plugin content, which describes its fields.

    Raises:
        UnreadableRun: if reluviz did not write it.
    """
    try:
        found = parse_json(raw)
        fields = [[str(name), int(count)] for name, count in found["fields"]]
        if not all(0 <= int(count) <= MAX_COUNT for _, count in found["fields"]):
            raise ValueError
    except UNREADABLE:
        raise UnreadableRun("its tensors lack a valid list of their fields") from None
    return {**found, "fields": fields}


def increasing_steps(step: Sequence[int], wall: Sequence[float]) -> list[int]:
    """Return the indices to keep so that steps strictly increase.

    A step that was written twice belongs to a run that was resumed before it: the later event wins, and the earlier
    events from that step on are dropped.
    """
    if all(a < b for a, b in itertools.pairwise(step)):
        return list(range(len(step)))
    kept: list[int] = []
    for i in sorted(range(len(step)), key=lambda i: (wall[i], step[i])):
        while kept and step[kept[-1]] >= step[i]:
            kept.pop()
        kept.append(i)
    return kept


def thinning_stride(count: int, size: int, most: int | None = None) -> int:
    """Return the stride, a power of two, that keeps `count` snapshots of `size` numbers within the limits.

    Args:
        count: the number of snapshots.
        size: the numbers of a snapshot.
        most: the largest number of numbers; `MAX_VALUES` by default.
    """
    most = MAX_VALUES if most is None else most
    stride = 1
    while count > stride and (count > stride * MAX_SNAPSHOTS or (count // stride) * size > most):
        stride *= 2
    return stride


def snapshots(
    step: Sequence[int],
    wall: Sequence[float],
    parameters_at: Callable[[int], NDArray[Any]],
    fields: list[list[Any]],
    most: int | None = None,
) -> SnapshotSeries:
    """Return the snapshots of a run, thinned if there are too many.

    Args:
        step: updates of the snapshots, as TensorBoard has them.
        wall: when they were written.
        parameters_at: returns the parameters of the snapshot with an index, [R, P].
        fields: [[name, count], ...] of the last axis.
        most: the largest number of parameter values; `MAX_VALUES` by default.

    Raises:
        UnreadableRun: if the parameters do not have the shape that `fields` gives.
    """
    kept = increasing_steps(step, wall)
    size = sum(count for _, count in fields)
    if kept:
        shape = parameters_at(kept[-1]).shape
        if len(shape) != 2 or shape[1] != size:
            raise UnreadableRun(f"its parameters have the shape {list(shape)}, not [replicas, {size}]")
        kept = [i for i in kept if parameters_at(i).shape == shape]
        shape = min(shape[0], MAX_SHOWN_REPLICAS), size
    else:
        shape = (0, size)
    stride = thinning_stride(len(kept), shape[0] * size, most)
    shown = kept[::stride]
    if kept and shown[-1] != kept[-1]:
        shown.append(kept[-1])
    with np.errstate(over="ignore"):
        values = np.array([parameters_at(i)[: shape[0]] for i in shown], dtype=np.float32).reshape(len(shown), *shape)
    return SnapshotSeries(
        np.array([step[i] for i in shown], dtype=np.float64),
        np.array([wall[i] for i in shown], dtype=np.float64),
        values,
        fields,
        len(kept),
        stride,
    )


def most_values(model: object) -> int:
    """Return the largest number of parameter values that the view gets of a run of this model."""
    record = MODELS.get(model) if isinstance(model, str) else None
    return MAX_VALUES if record is None or record.architecture is None else MAX_CHAIN_VALUES


def encode_kinks(step: Sequence[int], rows_at: Callable[[int], NDArray[np.float64]]) -> bytes:
    """Return the kinks of a chain at all snapshots as bytes.

    Args:
        step: updates of the snapshots, strictly increasing.
        rows_at: returns the rows of `tags.KINK_SERIES` of the snapshot with an index, [K, 6].

    Raises:
        UnreadableRun: if the rows have another shape or name no layer or unit.
    """
    parts = []
    for i in range(len(step)):
        rows = rows_at(i)
        if rows.ndim != 2 or rows.shape[1] != len(tags.KINK_FIELDS):
            raise UnreadableRun(f"its kinks have the shape {list(rows.shape)}")
        if not ((rows[:, :3] >= 0).all() and (rows[:, :3] < [256, MAX_UNITS, MAX_UNITS]).all()):
            raise UnreadableRun("its kinks belong to no layer or unit")
        shown = rows[(rows[:, 5] != 0) | (rows[:, 1] == 0)]
        # where units of several layers change, the first row is that of the lowest
        same = (np.diff(shown[:, 3]) == 0) & (np.diff(shown[:, 0]) == 0) & (shown[1:, 1] > 0) & (shown[:-1, 1] > 0)
        parts.append(shown[np.concatenate([[True], ~same])] if len(shown) else shown)
    start = np.cumsum([0, *map(len, parts)])
    every = np.concatenate(parts) if parts else np.empty((0, len(tags.KINK_FIELDS)))
    with np.errstate(over="ignore"):
        columns = {
            name: every[:, column].astype(dtype)
            for column, (name, dtype) in enumerate(zip(tags.KINK_FIELDS, KINK_DTYPES, strict=True))
        }
    return wire_format.encode({"update": np.array(step, np.float64), "start": start.astype(np.int32), **columns})


def encode_data(values: NDArray[np.float64], content: Mapping[str, Any]) -> bytes:
    """Return the data set of a run as bytes; of a large one an even sample of its points.

    Args:
        values: the fields one after another.
        content: the tensor's plugin content.

    Raises:
        UnreadableRun: if the values and the content do not fit.
    """
    lengths = [count for _, count in content["fields"]]
    if values.ndim != 1 or sum(lengths) != len(values) or min(lengths, default=0) < 0:
        raise UnreadableRun("the length of its data set is not the one that its fields give")
    parts = np.split(values.astype(np.float64), np.cumsum(lengths)[:-1])
    named = {name: part for (name, _), part in zip(content["fields"], parts, strict=True)}
    if not {"x", "y"} <= named.keys() or len(named["x"]) != len(named["y"]) or not len(named["x"]):
        raise UnreadableRun("its data set has no points")
    points, test_points = len(named["x"]), len(named.get("x_test", ()))
    for names, count, limit in (
        (("x", "y", "target"), points, MAX_POINTS),
        (("x_test", "y_test"), test_points, MAX_TEST_POINTS),
    ):
        if count > limit:
            sample = np.linspace(0, count - 1, limit).round().astype(np.int64)
            named |= {name: named[name][sample] for name in names if name in named}
    arrays: dict[str, NDArray[Any]] = {n: v for n, v in named.items() if n in ("x", "y", "target", "x_test", "y_test")}
    arrays["recorded"] = np.arange(len(named["x"]), dtype=np.int32)
    keys = ("model", "name", "domain", "trained", "seeds", "settings")
    header = {key: json_safe(content.get(key)) for key in keys}
    if content.get("scaling") is not None:
        header["scaling"] = json_safe(content["scaling"])
    return wire_format.encode(arrays, points=points, test_points=test_points, **header)


def encode_scalars(
    scalars: Mapping[str, tuple[Sequence[int], Sequence[float], Sequence[float]]], findings: Sequence[Finding] = ()
) -> bytes:
    """Return scalars, tag -> (steps, wall times, values), and what became of the run, as bytes."""
    arrays: dict[str, NDArray[Any]] = {}
    found = [tag for tag in SHOWN_SCALARS if tag in scalars]
    for i, tag in enumerate(found):
        step, wall, value = scalars[tag]
        kept = increasing_steps(step, wall)
        arrays[f"u{i}"] = np.array([step[j] for j in kept], dtype=np.float64)
        arrays[f"v{i}"] = np.array([value[j] for j in kept], dtype=np.float32)
    return wire_format.encode(arrays, tags=found, findings=[finding.plain() for finding in findings])


def json_safe(value: Any) -> Any:
    """Return a value that JSON can hold: NaN and infinities become text."""
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {str(key): json_safe(item) for key, item in value.items()}
    return [json_safe(item) for item in value] if isinstance(value, (list, tuple)) else value
