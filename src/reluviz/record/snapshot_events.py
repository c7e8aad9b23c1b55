"""The events of snapshots: what stands in them, and their bytes.

All scalars, histograms and tensors of a snapshot travel in one event, which costs a tenth of single ones; and the
events of several snapshots are made together, see `forms`.

Legend of shapes: S snapshots, R replicas, T tags, H histograms, Q quantities that each replica has one number of.
"""

import functools
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

from reluviz.core.functions import PARAMETERS, STATUS, Array
from reluviz.core.snapshot import MOST_SHOWN, Snapshots
from reluviz.record import tags, vote_histograms
from reluviz.record.event_templates import (
    DOUBLE,
    FLOAT,
    MESSAGE,
    VARINT,
    EventTemplate,
    Part,
    blank,
    field,
    key,
    row,
    varint,
)
from reluviz.record.histograms import BINS, Counted, count

MOST_COUNTED = 2**18
"""Numbers of all votes in histograms, at most: those of the first replicas, as many as fit."""


class SnapshotEvents:
    """Makes the events of one run's snapshots.

    Args:
        model: constant, linear or relu.
        dtype: of the run's parameters.
        most_units: units that get scalars of their own, at most; spread evenly over the units.
    """

    def __init__(self, model: str, dtype: np.dtype[Any], most_units: int) -> None:
        self.model = model
        self.dtype = dtype
        self.most_units = most_units

    def events(
        self,
        album: Snapshots,
        histograms: bool,
        contributed: Collection[int] = (),
        optimum: float | None = None,
    ) -> list[bytes]:
        """Return the event of each snapshot.

        Args:
            album: snapshots of one run.
            histograms: whether to count elbows, slopes and votes.
            contributed: updates whose event gets the matrix of all contributions.
            optimum: theta* of the constant and the linear model.
        """
        found: list[bytes] = []
        # there is no minibatch before the first update, and one quantity less
        first = sum(update == 0 for update in album.updates)
        for some in (album.some(slice(0, first)), album.some(slice(first, None))):
            if not len(some):
                continue
            summaries = self._summaries(some, histograms, optimum)
            matrices = some.gradients(MOST_SHOWN) if set(some.updates) & set(contributed) else {}
            for s, (update, moment, summary) in enumerate(zip(some.updates, some.times, summaries, strict=True)):
                if update in contributed:
                    # contributions are g_i / N
                    own = {name: value[s] / len(album.dataset.x) for name, value in matrices.items()}
                    summary += field(1, Part(_contributions(own).SerializeToString())).data
                found.append(_event(update, moment, summary))
        return found

    def _summaries(self, album: Snapshots, histograms: bool, optimum: float | None) -> list[bytes]:
        names, table = self._quantities(album)
        fields, losses = _of_replicas(names, table)
        scalars, values, there = self._scalars(album, names, table, optimum)
        params, votes = self._tensors(album)
        with np.errstate(over="ignore"):
            scalars_32 = values.astype(np.float32)
        counted = self._histograms(album) if histograms else {}
        numbers: dict[str, NDArray[Any]] = {
            "scalars": scalars_32,
            "histograms": np.stack([_numbers(one) for one in counted.values()], 1) if counted else there,
            "replicas": losses,
            "params": params,
            "votes": votes,
        }
        present = np.concatenate([there, *(one.count[:, None] > 0 for one in counted.values())], axis=1)
        parameters = tuple((name, album.parameters[name][0, 0].size) for name in PARAMETERS[self.model])
        found = [b""] * len(album)
        alike = (present == present[0]).all()
        for which in present[:1] if alike else np.unique(present, axis=0):
            own = np.flatnonzero((present == which).all(1))
            form = _form(
                tuple(tag for tag, has in zip(scalars, which, strict=False) if has),
                tuple(tag for tag, has in zip(counted, which[len(scalars) :], strict=True) if has),
                (fields, losses.shape[1:]),
                (self.model, parameters, params.shape[1:], str(self.dtype)),
                votes.shape[1:],
            )
            some = {name: value[own] for name, value in numbers.items()}
            some["scalars"] = some["scalars"][:, which[: len(scalars)]]
            if counted:
                some["histograms"] = some["histograms"][:, which[len(scalars) :]]
            for place, summary in zip(own, form.fill(some), strict=True):
                found[place] = summary
        return found

    def _quantities(self, album: Snapshots) -> tuple[list[str], Array]:
        """Return the tags of what each replica has one number of, and the numbers, [Q, S, R]."""
        named = {tags.LOSS_TRAIN: album.loss_train}
        if album.loss_test is not None:
            named[tags.LOSS_TEST] = album.loss_test
        if album.updates[0] > 0:
            named[tags.LOSS_BATCH] = album.loss_batch
        named |= {
            tags.GRAD_NORM: album.votes.gradient_norm,
            tags.NOISE_SCALE: album.votes.noise_scale,
            tags.VOTES_EFFECTIVE: album.votes.effective,
        }
        if album.units is not None:
            counts = album.units.counts.astype(float)
            named |= {f"{tags.UNITS}/{name}": counts[..., code] for code, name in enumerate(STATUS)}
        else:
            named[tags.THETA] = album.parameters["theta"]
        return list(named), np.array(list(named.values()))

    def _scalars(
        self, album: Snapshots, names: Sequence[str], table: Array, optimum: float | None
    ) -> tuple[list[str], Array, NDArray[np.bool_]]:
        """Return the tags of all scalars, their values [S, T], and which of them there are."""
        names, rows = list(names), [table]
        if album.units is not None:
            width = album.units.elbow.shape[-1]
            own = range(width)
            if width > self.most_units:
                own = np.linspace(0, width - 1, self.most_units).round().astype(int).tolist()
            for kind, each in _of_units(album).items():
                names += tags.units(kind, tuple(own), width)
                rows.append(each[:, :, own].transpose(2, 0, 1))
        values, there = spread(names, np.concatenate(rows))
        if values.shape[2] > 1:
            names = [f"{tag}{end}" for tag in names for end in ("", *(f"/{q}" for q in tags.QUARTILES))]
        flat, known = (
            values.swapaxes(0, 1).reshape(len(album), -1),
            there.swapaxes(0, 1).reshape(len(album), -1),
        )
        if optimum is not None:
            names.append(tags.THETA_OPTIMUM)
            flat = np.insert(flat, flat.shape[1], optimum, axis=1)
            known = np.insert(known, known.shape[1], True, axis=1)
        return names, flat, known

    def _histograms(self, album: Snapshots) -> dict[str, Counted]:
        """Return the histograms of each tag, M = S of them."""
        found = {tag: count(list(each)) for tag, each in _of_units(album).items()}
        parameters = sum(album.parameters[name][0, 0].size for name in album.trained)
        counted = max(1, MOST_COUNTED // (album.votes.norm.shape[-1] * parameters))
        voted = vote_histograms.count(album, counted)
        if not voted:
            # contributions are g_i / N
            samples = len(album.dataset.x)
            voted = {name: count(list(each), samples) for name, each in album.gradients(counted).items()}
        return found | {f"{tags.VOTES_HISTOGRAM}/{name}": one for name, one in voted.items()}

    def _tensors(self, album: Snapshots) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return the parameters, [S, R, P], and residuals, norms and shares of the samples, [S, V, 3, n]."""
        params, _ = rows({name: album.parameters[name] for name in PARAMETERS[self.model]}, 2)
        figures = (album.votes.residual, album.votes.norm, album.votes.share)
        votes = np.stack([part[:, :MOST_SHOWN] for part in figures], axis=2)
        with np.errstate(over="ignore"):
            return params.astype(self.dtype), votes.astype(np.float32)


def _of_units(album: Snapshots) -> dict[str, Array]:
    """Return what each hidden unit has a number of, tag -> [S, R, W]."""
    if album.units is None:
        return {}
    slopes = album.parameters["input_slope"]
    return {tags.ELBOW: album.units.elbow, tags.INPUT_SLOPE: slopes, tags.SLOPE_JUMP: album.units.slope_jump}


def _contributions(matrices: Mapping[str, Array]) -> Any:
    values, fields = rows(matrices, 2)
    return tensor(tags.CONTRIBUTIONS, values.astype(np.float32), {"fields": fields})


def tensor(tag: str, values: NDArray[Any], content: Mapping[str, Any]) -> Any:
    """Return a tensor as a summary's value."""
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    value = Summary.Value(tag=tag, metadata=_metadata(content))
    value.tensor.CopyFrom(_head(values.shape, str(values.dtype)))
    value.tensor.tensor_content = little.tobytes()
    return value


def rows(named: Mapping[str, NDArray[Any]], axes: int) -> tuple[NDArray[Any], list[list[Any]]]:
    """Join parameters along a last axis: name -> [..., W] or [...] with `axes` leading axes."""
    flat = {name: value.reshape(*value.shape[:axes], -1) for name, value in named.items()}
    return np.concatenate(list(flat.values()), axis=-1), [[name, value.shape[-1]] for name, value in flat.items()]


def spread(names: Sequence[str], values: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return the scalars of quantities [T, ..., R]: the value of one replica, or median and quartiles of several.

    A quantity that no replica has (the elbow of a unit with w = 0) has no scalar, and no quartiles where only one has
    it; a loss that is no number counts as infinite, so that diverged replicas cannot flatter the median.

    Returns:
        the scalars, [T, ..., 1 or 3], and which of them there are.
    """
    known = ~np.isnan(values)
    losses = np.array([tag.startswith("loss/") for tag in names])
    unknown = ~known[losses]
    if unknown.any():
        values = values.copy()
        values[losses] = np.where(unknown, np.inf, values[losses])
        known[losses] = True
    if values.shape[-1] == 1:
        return values, known
    ends = three(values)
    some = known.any(-1)
    for place in zip(*np.nonzero(some & ~known.all(-1)), strict=True):
        ends[place] = three(values[place][known[place]])
    several = known.sum(-1) > 1
    return ends, np.stack([some, several, several], axis=-1)


def three(values: Array) -> Array:
    """Return median, lower and upper quartile over the last axis, [..., 3]."""
    # numpy.quantile, which sorts no more than it must, takes four times as long
    ordered = np.sort(values, axis=-1)
    place = np.array([0.5, 0.25, 0.75]) * (values.shape[-1] - 1)
    below, above = (ordered[..., end(place).astype(int)] for end in (np.floor, np.ceil))
    with np.errstate(invalid="ignore"):
        between = below + (above - below) * (place % 1)
    # between infinity and infinity there is no number
    return np.where(np.isnan(between), above, between)


def _of_replicas(names: Sequence[str], table: Array) -> tuple[tuple[str, ...], Array]:
    """Return the tags of losses and units, and those of every replica, [S, R, F].

    A loss that is no number is infinite; that of a minibatch is NaN where there is none yet.
    """
    fields = [tag for tag in names if tag.startswith(("loss/", f"{tags.UNITS}/"))]
    own = table[[names.index(tag) for tag in fields]]
    losses = sum(tag.startswith("loss/") for tag in fields)
    np.copyto(own[:losses], np.inf, where=np.isnan(own[:losses]))
    if tags.LOSS_BATCH not in fields:
        # the first snapshot has the fields of the others
        fields.insert(losses, tags.LOSS_BATCH)
        own = np.insert(own, losses, np.nan, axis=0)
    return tuple(fields), np.ascontiguousarray(own.transpose(1, 2, 0))


def _numbers(counted: Counted) -> Array:
    """Return the numbers of a HistogramProto in the order of its fields, [M, 7 + 2 BINS]."""
    # an empty first bucket marks where the values begin
    buckets = np.insert(counted.counts.astype(float), 0, 0, axis=1)
    single = [counted.low, counted.high, counted.count.astype(float), counted.total, counted.squares]
    return np.concatenate([np.stack(single, axis=1), counted.edges, buckets], axis=1)


def _event(update: int, moment: float, summary: bytes) -> bytes:
    """Return an Event(wall_time=1, step=2, summary=5)."""
    head = key(1, DOUBLE) + np.array(moment, "<f8").tobytes() + key(2, VARINT) + varint(update)
    return head + key(5, MESSAGE) + varint(len(summary)) + summary


@functools.lru_cache(maxsize=16)
def _form(
    scalars: tuple[str, ...],
    histograms: tuple[str, ...],
    replicas: tuple[tuple[str, ...], tuple[int, ...]],
    params: tuple[str, tuple[tuple[str, int], ...], tuple[int, ...], str],
    votes: tuple[int, ...],
) -> EventTemplate:
    """Return the form of a snapshot's Summary(value=1).

    Args:
        scalars: tags.
        histograms: tags.
        replicas: the fields of the tensor, and its shape.
        params: the model, names and sizes of its parameters, the tensor's shape and precision.
        votes: the tensor's shape.
    """
    model, parameters, shape, dtype = params
    told = {"fields": [list(one) for one in parameters], "model": model}
    values = [
        # first, where a reader of many runs finds it without looking at the rest
        _tensor("replicas", tags.REPLICAS, replicas[1], "float64", {"fields": list(replicas[0])}),
        *(row([_named(tag), key(2, FLOAT), blank("scalars", 4)]) for tag in scalars),
        _tensor("params", tags.PARAMS, shape, dtype, told),
        _tensor("votes", tags.VOTE_SERIES, votes, "float32", {"fields": ["residual", "norm", "share"]}),
        *(row([_named(tag), _HISTOGRAM]) for tag in histograms),
    ]
    return EventTemplate(row(field(1, value) for value in values))


def _named(tag: str) -> bytes:
    named: bytes = Summary.Value(tag=tag).SerializeToString()
    return named


def _packed(number: int) -> Part:
    return field(number, blank("histograms", 8 * (BINS + 1)))


_HISTOGRAM = field(
    5,
    # min, max, num, sum, sum_squares; bucket_limit, bucket
    row([*(row([key(number, DOUBLE), blank("histograms", 8)]) for number in range(1, 6)), _packed(6), _packed(7)]),
)
"""The field histo of a Summary.Value."""


def _tensor(name: str, tag: str, shape: tuple[int, ...], dtype: str, content: Mapping[str, Any]) -> Part:
    """Return a Summary.Value(tensor=8) whose numbers are a blank."""
    value: bytes = Summary.Value(tag=tag, metadata=_metadata(content)).SerializeToString()
    head: bytes = _head(shape, dtype).SerializeToString()
    numbers = blank(name, int(np.prod(shape)) * np.dtype(dtype).itemsize)
    # tensor_content=4
    return row([value, field(8, row([head, field(4, numbers)]))])


def _metadata(content: Mapping[str, Any]) -> Any:
    plugin = SummaryMetadata.PluginData(plugin_name=tags.PLUGIN, content=json.dumps(content).encode())
    return SummaryMetadata(plugin_data=plugin, data_class=DATA_CLASS_TENSOR)


def _head(shape: Sequence[int], dtype: str) -> Any:
    """Return a TensorProto without its numbers."""
    dims = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in shape])
    return TensorProto(dtype="DT_DOUBLE" if dtype == "float64" else "DT_FLOAT", tensor_shape=dims)
