"""Turn snapshots into serialized TensorBoard events.

All scalars, histograms and tensors of a snapshot are one event, which costs a tenth of one event for each.

Legend of shapes: S snapshots, R replicas, V replicas whose votes are recorded, W hidden units, n recorded samples,
P parameters, T tags.
"""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

from reluviz.core.distribution import percentiles
from reluviz.core.elbows import STATUS
from reluviz.core.kinks import ChainPieces
from reluviz.core.models import MODELS, Array
from reluviz.core.snapshot import MAX_SHOWN_REPLICAS, Snapshots
from reluviz.record import tags

BINS = 30
MAX_COUNTED = 1e150
"""Histograms do not count values beyond this, because their squares overflow."""
KINK_CONTENT = {"fields": list(tags.KINK_FIELDS)}
MAX_HISTOGRAM_VALUES = 2**18
"""The histograms of votes count at most this many values: the votes of the first replicas, as many as fit."""


class SnapshotEvents:
    """Creates the events of one run's snapshots.

    Args:
        dtype: of the run's parameters.
        max_units: at most this many units get scalars of their own, evenly spaced among the units.
    """

    def __init__(self, dtype: np.dtype[Any], max_units: int) -> None:
        self.dtype = dtype
        self.max_units = max_units

    def events(
        self,
        snapshots: Snapshots,
        with_histograms: bool,
        contribution_updates: Collection[int] = (),
        optimum: float | None = None,
    ) -> list[bytes]:
        """Return the event of each snapshot.

        Args:
            snapshots: snapshots of the run.
            with_histograms: whether to count elbows, slopes and votes.
            contribution_updates: the events of these updates get the matrix of all contributions.
            optimum: theta* of the constant and the linear model.
        """
        names, scalars = self._scalars(snapshots)
        tensors = self._tensors(snapshots)
        counted = self._histograms(snapshots) if with_histograms else {}
        with_matrix = set(snapshots.updates).intersection(contribution_updates)
        matrix = snapshots.contributions(MAX_SHOWN_REPLICAS) if with_matrix else {}
        found = []
        for s, update in enumerate(snapshots.updates):
            event = Event(step=update, wall_time=snapshots.times[s])
            values = event.summary.value
            replicas, *others = (tensor_value(tag, array[s], content) for tag, array, content in tensors)
            if snapshots.pieces:
                others.append(tensor_value(tags.KINK_SERIES, kink_rows(snapshots.pieces[s]), KINK_CONTENT))
            # first, so that a reader of many runs finds it without parsing the rest
            values.append(replicas)
            for tag, scalar in zip(names, scalars[s].tolist(), strict=True):
                if not math.isnan(scalar):
                    values.add(tag=tag, simple_value=scalar)
            if optimum is not None:
                values.add(tag=tags.THETA_OPTIMUM, simple_value=optimum)
            values.extend(others)
            for tag, of_snapshots in counted.items():
                if (histogram := of_snapshots[s]) is not None:
                    values.add(tag=tag, histo=histogram)
            if update in with_matrix:
                contributions, fields = join_parameters({name: value[s] for name, value in matrix.items()})
                values.append(tensor_value(tags.CONTRIBUTIONS, contributions.astype(np.float32), {"fields": fields}))
            found.append(event.SerializeToString())
        return found

    def _scalars(self, snapshots: Snapshots) -> tuple[list[str], NDArray[np.float32]]:
        """Return the tags of the scalars and their values, [S, T]; NaN where a snapshot does not have the scalar."""
        named = _quantities(snapshots)
        if snapshots.units is not None:
            width = snapshots.units.elbow.shape[-1]
            units = range(width)
            if width > self.max_units:
                units = np.linspace(0, width - 1, self.max_units).round().astype(int).tolist()
            for kind, each in _unit_values(snapshots).items():
                named |= dict(zip(tags.unit_tags(kind, tuple(units), width), each.T[units].swapaxes(1, 2), strict=True))
        statistics = replica_statistics(np.array(list(named.values())))
        ends = ("",) if statistics.shape[-1] == 1 else ("", *(f"/{q}" for q in tags.QUARTILES))
        with np.errstate(over="ignore"):
            scalars = statistics.swapaxes(0, 1).reshape(len(snapshots), -1).astype(np.float32)
        return [tag + end for tag in named for end in ends], scalars

    def _tensors(self, snapshots: Snapshots) -> list[tuple[str, NDArray[Any], dict[str, Any]]]:
        """Return the tag, values and plugin content of three tensors.

        Losses and unit counts are [S, R, F], parameters [S, R, P]; residuals, norms and shares are [S, V, 3, n].
        """
        shown = _losses(snapshots) | _unit_counts(snapshots)
        params, fields = join_parameters(snapshots.parameters)
        per_sample = (snapshots.residual, snapshots.votes.norm, snapshots.votes.share)
        votes = np.stack([part[:, :MAX_SHOWN_REPLICAS] for part in per_sample], axis=2)
        with np.errstate(over="ignore"):
            return [
                (tags.REPLICAS, np.stack(list(shown.values()), axis=-1), {"fields": list(shown)}),
                (tags.PARAMS, params.astype(self.dtype), {"fields": fields, "model": snapshots.model}),
                (tags.VOTE_SERIES, votes.astype(np.float32), {"fields": ["residual", "norm", "share"]}),
            ]

    def _histograms(self, snapshots: Snapshots) -> dict[str, list[HistogramProto | None]]:
        """Return the histograms of the S snapshots for each tag."""
        parameters = sum(snapshots.parameters[name][0, 0].size for name in snapshots.trained)
        values = snapshots.votes.norm.shape[-1] * parameters
        # the matrix of a large chain would take longer than everything else
        too_large = MODELS[snapshots.model].architecture is not None and values > MAX_HISTOGRAM_VALUES
        votes = {} if too_large else snapshots.contributions(max(1, MAX_HISTOGRAM_VALUES // values))
        counted = _unit_values(snapshots) | {f"{tags.VOTES_HISTOGRAM}/{name}": value for name, value in votes.items()}
        return {tag: histograms(each) for tag, each in counted.items()}


def event_scalars(event: bytes) -> dict[str, float]:
    """Return the scalars of a serialized event, tag -> value."""
    values = Event.FromString(event).summary.value
    return {value.tag: value.simple_value for value in values if value.HasField("simple_value")}


def _quantities(snapshots: Snapshots) -> dict[str, Array]:
    """Return the quantities with one number per replica, tag -> [S, R]."""
    named = _losses(snapshots) | {
        tags.GRAD_NORM: snapshots.votes.gradient_norm,
        tags.NOISE_SCALE: snapshots.votes.noise_scale,
        tags.VOTES_EFFECTIVE: snapshots.votes.effective,
    }
    by_name = {tags.GRAD_NORM: "gradient_norm", tags.NOISE_SCALE: "noise_scale", tags.VOTES_EFFECTIVE: "effective"}
    for key, statistics in snapshots.votes.layers.items():
        for tag, name in by_name.items():
            named[tags.layer_tag(tag, key)] = statistics[name]
    if snapshots.units is None:
        return named | {tags.THETA: snapshots.parameters["theta"]}
    if snapshots.units.kinks is not None:
        named[tags.KINKS] = snapshots.units.kinks
    return named | _unit_counts(snapshots)


def _losses(snapshots: Snapshots) -> dict[str, Array]:
    """Return the losses, tag -> [S, R].

    A loss that is NaN is replaced by infinity, so that diverged replicas cannot lower the median. The loss of a
    minibatch is NaN before the first update.
    """
    named = dict(zip(tags.LOSSES, (snapshots.loss_train, snapshots.loss_test, snapshots.loss_batch), strict=True))
    found = {tag: np.where(np.isnan(loss), np.inf, loss) for tag, loss in named.items() if loss is not None}
    found[tags.LOSS_BATCH][np.array(snapshots.updates) == 0] = np.nan
    return found


def _unit_counts(snapshots: Snapshots) -> dict[str, Array]:
    """Return how many hidden units have each status, tag -> [S, R]; empty for a model without hidden units."""
    if snapshots.units is None:
        return {}
    counts = np.moveaxis(snapshots.units.counts, -1, 0).astype(float)
    return dict(zip(map(tags.count_tag, STATUS), counts, strict=True))


def _unit_values(snapshots: Snapshots) -> dict[str, Array]:
    """Return the quantities with one number per hidden unit, tag -> [S, R, W]."""
    if snapshots.units is None:
        return {}
    units = snapshots.units
    found = {tags.ELBOW: units.elbow, tags.INPUT_SLOPE: units.input_slope}
    return found if units.slope_jump is None else found | {tags.SLOPE_JUMP: units.slope_jump}


def kink_rows(pieces: Sequence[ChainPieces | None]) -> Array:
    """Return the crossings of chains as rows, [K, 6], see `tags.KINK_SERIES`; none of a function that is not finite."""
    found = [np.empty((0, len(tags.KINK_FIELDS)))]
    for r, one in enumerate(pieces):
        if one is None:
            continue
        end = np.concatenate([[0], one.crossing_end, [len(one.ends) - 1]])
        layer, unit = (np.concatenate([[0], part, [0]]) for part in (one.crossing_layer, one.crossing_unit))
        jump = np.concatenate([one.slope[:1], one.jump, one.slope[-1:]])
        jump[1:-1][~one.bends[1:-1]] = 0
        found.append(
            np.stack([np.full(len(end), float(r)), layer, unit, one.ends[end], one.value[end], jump[end]], axis=-1)
        )
    return np.concatenate(found)


def replica_statistics(values: Array) -> Array:
    """Return the scalars of quantities [..., R]: the value of a single replica, or median and quartiles of several.

    NaN means that a replica does not have the quantity (the elbow of a unit with w = 0). If no replica has it, there is
    no scalar; if only one has it, there are no quartiles.

    Returns:
        [..., 1] or [..., 3]: median, lower and upper quartile; NaN where there is no scalar.
    """
    if values.shape[-1] == 1:
        return values
    median, *quartiles = percentiles(np.moveaxis(values, -1, 0), (50, 25, 75))
    several = (~np.isnan(values)).sum(-1) > 1
    return np.stack([median, *(np.where(several, quartile, np.nan) for quartile in quartiles)], axis=-1)


def histograms(values: Array) -> list[HistogramProto | None]:
    """Return the histogram of each row's finite values up to `MAX_COUNTED`; None for a row without any.

    It has `BINS` equal bins from the smallest value to the largest; almost equal values get bins of total width 1. A
    value at an edge belongs to the bin on its right, the largest value to the last bin.

    Args:
        values: [S, ...], a row for each of S snapshots.
    """
    rows = values.reshape(len(values), -1)
    low, high = rows.min(-1), rows.max(-1)
    if not ((low > -MAX_COUNTED) & (high < MAX_COUNTED)).all():
        kept = [row[np.abs(row) < MAX_COUNTED] for row in rows]
        return [histograms(row[None])[0] if len(row) else None for row in kept]
    total, squares = rows.sum(-1), np.einsum("sn,sn->s", rows, rows)
    equal = high - low <= 1e-300
    # 0.5 is lost beside a large number
    half = np.maximum(0.5, 1e-6 * np.abs(low))
    edges = np.linspace(np.where(equal, low - half, low), np.where(equal, high + half, high), BINS + 1, axis=-1)
    found = []
    for s, row in enumerate(rows):
        # `numpy.histogram` takes several times as long, because it compares every value with the edges next to it
        place = row - edges[s, 0]
        place *= BINS / (edges[s, -1] - edges[s, 0])
        # so that rounding does not move a value from an edge to the bin on its left
        place += 1e-12
        counts = np.bincount(place.astype(np.intp), minlength=BINS + 1).tolist()
        largest = counts.pop()
        counts[-1] += largest
        proto = HistogramProto(min=low[s], max=high[s], num=len(row), sum=total[s], sum_squares=squares[s])
        proto.bucket_limit.extend(edges[s].tolist())
        # an empty first bucket marks where the values begin
        proto.bucket.extend([0, *counts])
        found.append(proto)
    return found


def tensor_value(tag: str, values: NDArray[Any], content: Mapping[str, Any]) -> Any:
    """Return a Summary.Value that holds a tensor.

    Args:
        tag: its tag.
        values: the numbers, float32 or float64.
        content: plugin content, which describes the layout (see `tags`).
    """
    plugin = SummaryMetadata.PluginData(plugin_name=tags.PLUGIN, content=json.dumps(content).encode())
    tensor = TensorProto(
        dtype="DT_DOUBLE" if values.dtype.itemsize == 8 else "DT_FLOAT",
        tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in values.shape]),
        tensor_content=values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes(),
    )
    metadata = SummaryMetadata(plugin_data=plugin, data_class=DATA_CLASS_TENSOR)
    return Summary.Value(tag=tag, metadata=metadata, tensor=tensor)


def join_parameters(named: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], list[list[Any]]]:
    """Return parameters concatenated along a last axis, and the name and count of each.

    Args:
        named: name -> [A, B] or [A, B, ...].
    """
    flat = {name: value.reshape(*value.shape[:2], -1) for name, value in named.items()}
    return np.concatenate(list(flat.values()), axis=-1), [[name, value.shape[-1]] for name, value in flat.items()]
