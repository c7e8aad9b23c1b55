"""Turn snapshots into serialized TensorBoard events.

All scalars, histograms and tensors of a snapshot are one event, which costs a tenth of one event for each. The events
of several snapshots are made together from a template (see `event_templates`).

Legend of shapes: S snapshots, R replicas, T tags, H histograms, Q quantities with one number per replica.
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

from reluviz.core.elbows import STATUS
from reluviz.core.functions import PARAMETERS
from reluviz.core.models import Array
from reluviz.core.snapshot import MAX_SHOWN_REPLICAS, Snapshots
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

MAX_HISTOGRAM_VALUES = 2**18
"""The histograms of votes count at most this many values: the votes of the first replicas, as many as fit."""


class SnapshotEvents:
    """Creates the events of one run's snapshots.

    Args:
        model: constant, linear or relu.
        dtype: of the run's parameters.
        max_units: at most this many units get scalars of their own, evenly spaced among the units.
    """

    def __init__(self, model: str, dtype: np.dtype[Any], max_units: int) -> None:
        self.model = model
        self.dtype = dtype
        self.max_units = max_units

    def events(
        self,
        snapshots: Snapshots,
        histograms: bool,
        contribution_updates: Collection[int] = (),
        optimum: float | None = None,
    ) -> list[bytes]:
        """Return the event of each snapshot.

        Args:
            snapshots: snapshots of the run.
            histograms: whether to count elbows, slopes and votes.
            contribution_updates: the events of these updates get the matrix of all contributions.
            optimum: theta* of the constant and the linear model.
        """
        found: list[bytes] = []
        # before the first update there is no minibatch, and therefore one quantity fewer
        first = sum(update == 0 for update in snapshots.updates)
        for some in (snapshots.subset(slice(0, first)), snapshots.subset(slice(first, None))):
            if not len(some):
                continue
            summaries = self._summaries(some, histograms, optimum)
            matrices = some.gradients(MAX_SHOWN_REPLICAS) if set(some.updates) & set(contribution_updates) else {}
            for s, (update, wall_time, summary) in enumerate(zip(some.updates, some.times, summaries, strict=True)):
                if update in contribution_updates:
                    # contributions are g_i / N
                    contributions = {name: value[s] / len(snapshots.dataset.x) for name, value in matrices.items()}
                    summary += field(1, Part(_contributions_value(contributions).SerializeToString())).data
                found.append(_event(update, wall_time, summary))
        return found

    def _summaries(self, snapshots: Snapshots, histograms: bool, optimum: float | None) -> list[bytes]:
        names, table = self._quantities(snapshots)
        fields, losses = _replica_values(names, table)
        scalars, values, exists = self._scalars(snapshots, names, table, optimum)
        params, votes = self._tensors(snapshots)
        with np.errstate(over="ignore"):
            scalars_32 = values.astype(np.float32)
        counted = self._histograms(snapshots) if histograms else {}
        numbers: dict[str, NDArray[Any]] = {
            "scalars": scalars_32,
            "histograms": np.stack([_histogram_numbers(one) for one in counted.values()], 1) if counted else exists,
            "replicas": losses,
            "params": params,
            "votes": votes,
        }
        present = np.concatenate([exists, *(one.count[:, None] > 0 for one in counted.values())], axis=1)
        parameters = tuple((name, snapshots.parameters[name][0, 0].size) for name in PARAMETERS[self.model])
        found = [b""] * len(snapshots)
        # snapshots with the same scalars and histograms share a template
        all_alike = (present == present[0]).all()
        for which in present[:1] if all_alike else np.unique(present, axis=0):
            places = np.flatnonzero((present == which).all(1))
            template = _template(
                tuple(tag for tag, has in zip(scalars, which, strict=False) if has),
                tuple(tag for tag, has in zip(counted, which[len(scalars) :], strict=True) if has),
                (fields, losses.shape[1:]),
                (self.model, parameters, params.shape[1:], str(self.dtype)),
                votes.shape[1:],
            )
            some = {name: value[places] for name, value in numbers.items()}
            some["scalars"] = some["scalars"][:, which[: len(scalars)]]
            if counted:
                some["histograms"] = some["histograms"][:, which[len(scalars) :]]
            for place, summary in zip(places, template.fill(some), strict=True):
                found[place] = summary
        return found

    def _quantities(self, snapshots: Snapshots) -> tuple[list[str], Array]:
        """Return the tags of the quantities with one number per replica, and the numbers, [Q, S, R]."""
        named = {tags.LOSS_TRAIN: snapshots.loss_train}
        if snapshots.loss_test is not None:
            named[tags.LOSS_TEST] = snapshots.loss_test
        if snapshots.updates[0] > 0:
            named[tags.LOSS_BATCH] = snapshots.loss_batch
        named |= {
            tags.GRAD_NORM: snapshots.votes.gradient_norm,
            tags.NOISE_SCALE: snapshots.votes.noise_scale,
            tags.VOTES_EFFECTIVE: snapshots.votes.effective,
        }
        if snapshots.units is not None:
            counts = snapshots.units.counts.astype(float)
            named |= {f"{tags.UNITS}/{name}": counts[..., code] for code, name in enumerate(STATUS)}
        else:
            named[tags.THETA] = snapshots.parameters["theta"]
        return list(named), np.array(list(named.values()))

    def _scalars(
        self, snapshots: Snapshots, names: Sequence[str], table: Array, optimum: float | None
    ) -> tuple[list[str], Array, NDArray[np.bool_]]:
        """Return the tags of all scalars, their values [S, T], and which of them exist [S, T]."""
        names, parts = list(names), [table]
        if snapshots.units is not None:
            width = snapshots.units.elbow.shape[-1]
            units = range(width)
            if width > self.max_units:
                units = np.linspace(0, width - 1, self.max_units).round().astype(int).tolist()
            for kind, each in _unit_values(snapshots).items():
                names += tags.unit_tags(kind, tuple(units), width)
                parts.append(each[:, :, units].transpose(2, 0, 1))
        values, exists = replica_statistics(names, np.concatenate(parts))
        if values.shape[2] > 1:
            names = [f"{tag}{end}" for tag in names for end in ("", *(f"/{q}" for q in tags.QUARTILES))]
        flat, known = (
            values.swapaxes(0, 1).reshape(len(snapshots), -1),
            exists.swapaxes(0, 1).reshape(len(snapshots), -1),
        )
        if optimum is not None:
            names.append(tags.THETA_OPTIMUM)
            flat = np.insert(flat, flat.shape[1], optimum, axis=1)
            known = np.insert(known, known.shape[1], True, axis=1)
        return names, flat, known

    def _histograms(self, snapshots: Snapshots) -> dict[str, Counted]:
        """Return the histograms of each tag, M = S of them."""
        found = {tag: count(list(each)) for tag, each in _unit_values(snapshots).items()}
        parameters = sum(snapshots.parameters[name][0, 0].size for name in snapshots.trained)
        replicas = max(1, MAX_HISTOGRAM_VALUES // (snapshots.votes.norm.shape[-1] * parameters))
        votes = vote_histograms.count(snapshots, replicas)
        if not votes:
            # contributions are g_i / N
            samples = len(snapshots.dataset.x)
            votes = {name: count(list(each), samples) for name, each in snapshots.gradients(replicas).items()}
        return found | {f"{tags.VOTES_HISTOGRAM}/{name}": one for name, one in votes.items()}

    def _tensors(self, snapshots: Snapshots) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """Return the parameters, [S, R, P], and residuals, norms and shares of the samples, [S, V, 3, n]."""
        params, _ = join_parameters({name: snapshots.parameters[name] for name in PARAMETERS[self.model]}, 2)
        per_sample = (snapshots.votes.residual, snapshots.votes.norm, snapshots.votes.share)
        votes = np.stack([part[:, :MAX_SHOWN_REPLICAS] for part in per_sample], axis=2)
        with np.errstate(over="ignore"):
            return params.astype(self.dtype), votes.astype(np.float32)


def _unit_values(snapshots: Snapshots) -> dict[str, Array]:
    """Return the quantities with one number per hidden unit, tag -> [S, R, W]."""
    if snapshots.units is None:
        return {}
    slopes = snapshots.parameters["input_slope"]
    return {tags.ELBOW: snapshots.units.elbow, tags.INPUT_SLOPE: slopes, tags.SLOPE_JUMP: snapshots.units.slope_jump}


def _contributions_value(matrices: Mapping[str, Array]) -> Any:
    values, fields = join_parameters(matrices, 2)
    return tensor_value(tags.CONTRIBUTIONS, values.astype(np.float32), {"fields": fields})


def tensor_value(tag: str, values: NDArray[Any], content: Mapping[str, Any]) -> Any:
    """Return a Summary.Value that holds a tensor.

    Args:
        tag: its tag.
        values: the numbers.
        content: plugin content, which describes the layout (see `tags`).
    """
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    value = Summary.Value(tag=tag, metadata=_metadata(content))
    value.tensor.CopyFrom(_tensor_head(values.shape, str(values.dtype)))
    value.tensor.tensor_content = little.tobytes()
    return value


def join_parameters(named: Mapping[str, NDArray[Any]], axes: int) -> tuple[NDArray[Any], list[list[Any]]]:
    """Return parameters concatenated along a last axis, and the name and count of each.

    Args:
        named: name -> [..., W] or [...].
        axes: the number of leading axes.
    """
    flat = {name: value.reshape(*value.shape[:axes], -1) for name, value in named.items()}
    return np.concatenate(list(flat.values()), axis=-1), [[name, value.shape[-1]] for name, value in flat.items()]


def replica_statistics(names: Sequence[str], values: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return the scalars of quantities [T, ..., R]: the value of a single replica, or median and quartiles of several.

    NaN means that a replica does not have the quantity (the elbow of a unit with w = 0). If no replica has it, there is
    no scalar; if only one has it, there are no quartiles. A loss that is NaN counts as infinite, so that diverged
    replicas cannot lower the median.

    Returns:
        the scalars, [T, ..., 1 or 3], and which of them exist.
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
    statistics = median_and_quartiles(values)
    some = known.any(-1)
    for place in zip(*np.nonzero(some & ~known.all(-1)), strict=True):
        statistics[place] = median_and_quartiles(values[place][known[place]])
    several = known.sum(-1) > 1
    return statistics, np.stack([some, several, several], axis=-1)


def median_and_quartiles(values: Array) -> Array:
    """Return median, lower and upper quartile over the last axis, [..., 3]."""
    # numpy.quantile, which sorts only partially, takes four times as long
    ordered = np.sort(values, axis=-1)
    place = np.array([0.5, 0.25, 0.75]) * (values.shape[-1] - 1)
    below, above = (ordered[..., end(place).astype(int)] for end in (np.floor, np.ceil))
    with np.errstate(invalid="ignore"):
        between = below + (above - below) * (place % 1)
    # inf - inf is NaN: between two infinities the quartile is infinite
    return np.where(np.isnan(between), above, between)


def _replica_values(names: Sequence[str], table: Array) -> tuple[tuple[str, ...], Array]:
    """Return the tags of losses and unit counts, and their values for every replica, [S, R, F].

    A loss that is NaN is replaced by infinity. The loss of a minibatch is NaN before the first update.
    """
    fields = [tag for tag in names if tag.startswith(("loss/", f"{tags.UNITS}/"))]
    values = table[[names.index(tag) for tag in fields]]
    losses = sum(tag.startswith("loss/") for tag in fields)
    np.copyto(values[:losses], np.inf, where=np.isnan(values[:losses]))
    if tags.LOSS_BATCH not in fields:
        # the first snapshot has the same fields as the later ones
        fields.insert(losses, tags.LOSS_BATCH)
        values = np.insert(values, losses, np.nan, axis=0)
    return tuple(fields), np.ascontiguousarray(values.transpose(1, 2, 0))


def _histogram_numbers(counted: Counted) -> Array:
    """Return the numbers of a HistogramProto in the order of its fields, [M, 7 + 2 BINS]."""
    # an empty first bucket marks where the values begin
    buckets = np.insert(counted.counts.astype(float), 0, 0, axis=1)
    single = [counted.low, counted.high, counted.count.astype(float), counted.total, counted.squares]
    return np.concatenate([np.stack(single, axis=1), counted.edges, buckets], axis=1)


def _event(update: int, wall_time: float, summary: bytes) -> bytes:
    """Return a serialized Event(wall_time=1, step=2, summary=5) around a serialized summary."""
    head = key(1, DOUBLE) + np.array(wall_time, "<f8").tobytes() + key(2, VARINT) + varint(update)
    return head + key(5, MESSAGE) + varint(len(summary)) + summary


@functools.lru_cache(maxsize=16)
def _template(
    scalars: tuple[str, ...],
    histograms: tuple[str, ...],
    replicas: tuple[tuple[str, ...], tuple[int, ...]],
    params: tuple[str, tuple[tuple[str, int], ...], tuple[int, ...], str],
    votes: tuple[int, ...],
) -> EventTemplate:
    """Return the template of a snapshot's Summary(value=1).

    Args:
        scalars: tags of the scalars.
        histograms: tags of the histograms.
        replicas: fields and shape of the tensor reluviz/replicas.
        params: the model, names and sizes of its parameters; shape and precision of the tensor reluviz/params.
        votes: shape of the tensor reluviz/votes.
    """
    model, parameters, shape, dtype = params
    content = {"fields": [list(one) for one in parameters], "model": model}
    values = [
        # first, so that a reader of many runs finds it without parsing the rest
        _tensor_template("replicas", tags.REPLICAS, replicas[1], "float64", {"fields": list(replicas[0])}),
        *(row([_tagged_value(tag), key(2, FLOAT), blank("scalars", 4)]) for tag in scalars),
        _tensor_template("params", tags.PARAMS, shape, dtype, content),
        _tensor_template("votes", tags.VOTE_SERIES, votes, "float32", {"fields": ["residual", "norm", "share"]}),
        *(row([_tagged_value(tag), _HISTOGRAM]) for tag in histograms),
    ]
    return EventTemplate(row(field(1, value) for value in values))


def _tagged_value(tag: str) -> bytes:
    value: bytes = Summary.Value(tag=tag).SerializeToString()
    return value


def _buckets(number: int) -> Part:
    return field(number, blank("histograms", 8 * (BINS + 1)))


_HISTOGRAM = field(
    5,
    # min, max, num, sum, sum_squares; bucket_limit, bucket
    row([*(row([key(number, DOUBLE), blank("histograms", 8)]) for number in range(1, 6)), _buckets(6), _buckets(7)]),
)
"""The field histo of a Summary.Value."""


def _tensor_template(name: str, tag: str, shape: tuple[int, ...], dtype: str, content: Mapping[str, Any]) -> Part:
    """Return a Summary.Value(tensor=8) whose numbers are filled in later."""
    value: bytes = Summary.Value(tag=tag, metadata=_metadata(content)).SerializeToString()
    head: bytes = _tensor_head(shape, dtype).SerializeToString()
    numbers = blank(name, int(np.prod(shape)) * np.dtype(dtype).itemsize)
    # tensor_content=4
    return row([value, field(8, row([head, field(4, numbers)]))])


def _metadata(content: Mapping[str, Any]) -> Any:
    plugin = SummaryMetadata.PluginData(plugin_name=tags.PLUGIN, content=json.dumps(content).encode())
    return SummaryMetadata(plugin_data=plugin, data_class=DATA_CLASS_TENSOR)


def _tensor_head(shape: Sequence[int], dtype: str) -> Any:
    """Return a TensorProto without its numbers."""
    dims = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in shape])
    return TensorProto(dtype="DT_DOUBLE" if dtype == "float64" else "DT_FLOAT", tensor_shape=dims)
