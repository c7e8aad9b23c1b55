"""How quantities become TensorBoard summaries. Nothing else in the package knows.

All scalars, histograms and tensors of a snapshot travel in one event, which costs a tenth of single ones.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.histogram_pb2 import HistogramProto
from tensorboard.compat.proto.summary_pb2 import DATA_CLASS_TENSOR, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from torch import Tensor
from torch.utils.tensorboard import summary as summaries

from reluviz import hparams, tags
from reluviz.data.dataset import Dataset
from reluviz.functions import PARAMETERS
from reluviz.geometry import STATUS
from reluviz.snapshot import Snapshot, recorded

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

BINS = 30
STEPS = np.arange(BINS + 1.0)
MOST_COUNTED = 2**18
"""Numbers of all votes in histograms, at most: those of the first replicas, as many as fit."""
BLOCK = 2**13
"""Values counted at a time: more would leave the fastest memory."""


class Recorder:
    """Writes one run's summaries.

    Args:
        writer: the run's SummaryWriter.
        model: constant, linear or relu.
        dtype: of the run's parameters, as NumPy names it.
        most_units: units that get scalars of their own, at most; spread evenly over the units.
    """

    def __init__(self, writer: "SummaryWriter", model: str, dtype: str, most_units: int) -> None:
        self.writer = writer
        # the part of SummaryWriter that takes a whole Summary
        self.files: Any = writer.file_writer
        self.model = model
        self.dtype = np.dtype(dtype)
        self.most_units = most_units

    def data(self, dataset: Dataset, trained: Sequence[str], seeds: Sequence[int], settings: Mapping[str, Any]) -> None:
        """Write the data set, and what a reader needs to know of the run, once, at update 0."""
        fields: dict[str, Any] = {"x": dataset.x, "y": dataset.y}
        if dataset.target is not None:
            fields["target"] = dataset.target(dataset.x)
        if dataset.x_test is not None and dataset.y_test is not None:
            fields |= {"x_test": dataset.x_test, "y_test": dataset.y_test}
        fields["recorded"] = recorded(len(dataset.x)).numpy()
        content: dict[str, Any] = {"fields": [[name, len(value)] for name, value in fields.items()]}
        content |= {"model": self.model, "name": dataset.name, "domain": list(dataset.domain)}
        content |= {"trained": list(trained), "seeds": list(seeds), "settings": dict(settings)}
        whole = np.concatenate([np.asarray(value, dtype=np.float64) for value in fields.values()])
        self._write([_tensor(tags.DATA, whole, content)], 0)

    def snapshot(self, snapshot: Snapshot, histograms: bool, contributions: bool, optimum: float | None) -> None:
        """Write everything but the pictures of a snapshot as one event."""
        named = self._quantities(snapshot)
        table = np.stack([value.numpy() for value in named.values()]).astype(float)
        values = [
            # first, where a reader of many runs finds it without looking at the rest
            self._replicas(list(named), table),
            *self._scalars(snapshot, list(named), table, optimum),
            *self._tensors(snapshot),
        ]
        if histograms:
            values += self._histograms(snapshot)
        if contributions:
            values.append(self._contributions(snapshot))
        self._write(values, snapshot.update)

    def image(self, tag: str, png: bytes, update: int) -> None:
        """Write a picture."""
        width, height = (int.from_bytes(png[i : i + 4], "big") for i in (16, 20))
        # the header's colour type, 2 for RGB and 6 with alpha, in the channels that a summary counts
        channels = {2: 3, 6: 4}[png[25]]
        image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=png)
        self._write([Summary.Value(tag=tag, image=image)], update)

    def text(self, markdown: str, update: int) -> None:
        """Write the run's summary in Markdown."""
        self._write(summaries.text(tags.TEXT, markdown).value, update)

    def open_session(self, settings: Mapping[str, Any], metrics: Sequence[str]) -> None:
        """Write the settings for the HParams tab; the results there are the last values of the tags `metrics`."""
        self._write(hparams.start(settings, metrics), 0)

    def close_session(self, settings: Mapping[str, Any]) -> None:
        """Tell the HParams tab that the run has ended."""
        self._write(hparams.end(settings), 0)

    def layout(self, width: int, replicas: int, test: bool) -> None:
        """Lay out the custom-scalars tab: losses, votes, and every unit's lines in one chart each."""
        losses = [tags.LOSS_TRAIN, *([tags.LOSS_TEST] if test else []), tags.LOSS_BATCH]
        charts: dict[str, dict[str, list[Any]]] = {
            "losses": {"train, test and batch": ["Multiline", [f"^{tag}$" for tag in losses]]},
            "gradient": {
                "norm of the gradient": ["Multiline", [f"^{tags.GRAD_NORM}$"]],
                "noise scale": ["Multiline", [f"^{tags.NOISE_SCALE}$"]],
                "effective votes": ["Multiline", [f"^{tags.VOTES_EFFECTIVE}$"]],
            },
        }
        if self.model == "relu":
            charts["units"] = {
                "elbows": ["Multiline", [rf"^{tags.ELBOW}/\d+$"]],
                "slope jumps": ["Multiline", [rf"^{tags.SLOPE_JUMP}/\d+$"]],
                "input slopes": ["Multiline", [rf"^{tags.INPUT_SLOPE}/\d+$"]],
                "dead, linear and bent units": ["Multiline", [f"^{tags.UNITS}/({'|'.join(STATUS)})$"]],
            }
        else:
            charts["theta"] = {"theta and its optimum": ["Multiline", [f"^{tags.THETA}$", f"^{tags.THETA_OPTIMUM}$"]]}
        if replicas > 1:
            charts["replicas"] = {
                f"{tag}: median and quartiles": ["Margin", [tag, *(f"{tag}/{q}" for q in tags.QUARTILES)]]
                for tag in losses
            }
        self._write(summaries.custom_scalars(charts).value, 0)

    def flush(self) -> None:
        """Make everything written so far visible to readers."""
        self.writer.flush()

    def _write(self, values: Iterable[Any], update: int) -> None:
        event = Event()
        # a Summary made from the values and an Event made from that would copy all of them twice
        event.summary.value.extend(values)
        self.files.add_event(event, update)

    def _quantities(self, s: Snapshot) -> dict[str, Tensor]:
        """Return what each replica has one number of, tag -> [R]."""
        named = {tags.LOSS_TRAIN: s.loss_train}
        if s.loss_test is not None:
            named[tags.LOSS_TEST] = s.loss_test
        if s.update > 0:
            named[tags.LOSS_BATCH] = s.loss_batch
        named |= {
            tags.GRAD_NORM: s.votes.gradient_norm,
            tags.NOISE_SCALE: s.votes.noise_scale,
            tags.VOTES_EFFECTIVE: s.votes.effective,
        }
        if self.model == "relu":
            named |= {f"{tags.UNITS}/{name}": count for name, count in s.unit_counts.items()}
        else:
            named[tags.THETA] = s.parameters["theta"]
        return named

    def _replicas(self, names: Sequence[str], table: NDArray[np.float64]) -> Any:
        """Return losses and units of every replica, of which a loss that is no number is infinite; table is [Q, R]."""
        fields = [tag for tag in names if tag.startswith(("loss/", f"{tags.UNITS}/"))]
        rows = table[[names.index(tag) for tag in fields]]
        losses = sum(tag.startswith("loss/") for tag in fields)
        np.copyto(rows[:losses], np.inf, where=np.isnan(rows[:losses]))
        if tags.LOSS_BATCH not in fields:
            # the first snapshot has the fields of the others
            fields.insert(losses, tags.LOSS_BATCH)
            rows = np.insert(rows, losses, np.nan, axis=0)
        return _tensor(tags.REPLICAS, np.ascontiguousarray(rows.T), {"fields": fields})

    def _scalars(
        self, s: Snapshot, names: Sequence[str], table: NDArray[np.float64], optimum: float | None
    ) -> list[Any]:
        names, rows = list(names), [table]
        if self.model == "relu":
            width = s.elbow.shape[1]
            own = range(width)
            if width > self.most_units:
                own = np.linspace(0, width - 1, self.most_units).round().astype(int).tolist()
            kinds = {
                tags.ELBOW: s.elbow,
                tags.INPUT_SLOPE: s.parameters["input_slope"],
                tags.SLOPE_JUMP: s.slope_jump,
            }
            names += [tag for kind in kinds for tag in tags.units(kind, tuple(own), width)]
            rows += [value.numpy()[:, own].T for value in kinds.values()]
        found = _quartiles(names, np.concatenate(rows))
        if optimum is not None:
            found.append(Summary.Value(tag=tags.THETA_OPTIMUM, simple_value=optimum))
        return found

    def _histograms(self, s: Snapshot) -> list[Any]:
        named: dict[str, Any] = {}
        if self.model == "relu":
            named |= {
                tags.ELBOW: s.elbow,
                tags.INPUT_SLOPE: s.parameters["input_slope"],
                tags.SLOPE_JUMP: s.slope_jump,
            }
        parameters = sum(s.parameters[name][0].numel() for name in s.trained)
        counted = max(1, MOST_COUNTED // (s.votes.norm.shape[-1] * parameters))
        named |= {f"{tags.VOTES_HISTOGRAM}/{name}": value for name, value in s.contributions(counted).items()}
        return [v for tag, value in named.items() for v in _histogram(tag, value.numpy().reshape(-1))]

    def _tensors(self, s: Snapshot) -> list[Any]:
        rows, fields = _rows({name: s.parameters[name].numpy() for name in PARAMETERS[self.model]}, 1)
        shown = [value[: tags.MOST_SHOWN].numpy() for value in (s.votes.residual, s.votes.norm, s.votes.share)]
        series = np.stack(shown, axis=1)
        return [
            _tensor(tags.PARAMS, rows.astype(self.dtype), {"fields": fields, "model": self.model}),
            _tensor(tags.VOTE_SERIES, series.astype(np.float32), {"fields": ["residual", "norm", "share"]}),
        ]

    def _contributions(self, s: Snapshot) -> Any:
        rows, fields = _rows({name: value.numpy() for name, value in s.contributions(tags.MOST_SHOWN).items()}, 2)
        return _tensor(tags.CONTRIBUTIONS, rows.astype(np.float32), {"fields": fields})


def _quartiles(named: Sequence[str], values: NDArray[np.float64]) -> list[Any]:
    """Return the scalars of T quantities [T, R]: their values, or medians and quartiles over the replicas.

    A quantity that no replica has (the elbow of a unit with w = 0) gets no scalar; a loss that is no number
    counts as infinite, so that diverged replicas cannot flatter the median.
    """
    known = ~np.isnan(values)
    losses = np.array([[tag.startswith("loss/")] for tag in named])
    values, known = np.where(losses & ~known, np.inf, values), known | losses
    replicas = values.shape[1]
    if replicas == 1:
        # at most hundreds of tags, for which anything but plain numbers takes milliseconds
        return [
            Summary.Value(tag=tag, simple_value=value)
            for tag, value, there in zip(named, values[:, 0].tolist(), known[:, 0].tolist(), strict=True)
            if there
        ]
    ends = _three(values)
    for row in np.flatnonzero(~known.all(axis=1) & known.any(axis=1)):
        ends[row] = _three(values[row, known[row]][None])[0]
    found = []
    for tag, (middle, *quartiles), count in zip(named, ends.tolist(), known.sum(axis=1).tolist(), strict=True):
        if count:
            found.append(Summary.Value(tag=tag, simple_value=middle))
        if count > 1:
            found += [
                Summary.Value(tag=f"{tag}/{q}", simple_value=end)
                for q, end in zip(tags.QUARTILES, quartiles, strict=True)
            ]
    return found


def _three(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return median, lower and upper quartile of each row, [T, 3]."""
    # numpy.quantile, which sorts no more than it must, takes four times as long
    ordered = np.sort(values, axis=1)
    place = np.array([0.5, 0.25, 0.75]) * (values.shape[1] - 1)
    below, above = (ordered[:, end(place).astype(int)] for end in (np.floor, np.ceil))
    with np.errstate(invalid="ignore"):
        between = below + (above - below) * (place % 1)
    # between infinity and infinity there is no number
    return np.where(np.isnan(between), above, between)


def _histogram(tag: str, values: NDArray[np.float64]) -> list[Any]:
    if len(values) == 0:
        return []
    low, high = float(values.min()), float(values.max())
    if not (low > -1e150 and high < 1e150):
        return _histogram(tag, values[np.isfinite(values) & (np.abs(values) < 1e150)])
    counts, edges = histogram(values, low, high)
    summary = HistogramProto(
        min=low,
        max=high,
        num=len(values),
        sum=values.sum(),
        # a block at a time: a longer product would be shared by threads, which wait for each other
        sum_squares=sum(float(block @ block) for block in _blocks(values)),
        # an empty first bucket marks where the values begin
        bucket_limit=edges.tolist(),
        bucket=[0, *counts.tolist()],
    )
    return [Summary.Value(tag=tag, histo=summary)]


def histogram(values: NDArray[np.float64], low: float, high: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the counts in `BINS` equal bins from the least value to the largest, and the bins' edges.

    `numpy.histogram` does the same in two to three times the time, and refuses values almost alike.
    """
    if not high - low > 1e-300:
        low, high = low - 0.5, high + 0.5
    # as numpy.linspace does, which takes five times as long
    edges = STEPS * ((high - low) / BINS) + low
    edges[-1] = high
    counts = np.zeros(BINS, np.int64)
    for block in _blocks(values):
        place = block - low
        place *= BINS / (high - low)
        bins = place.astype(np.int32)
        place -= bins
        place -= 0.5
        # rounding may have put what lies at an edge on its other side
        near = np.flatnonzero(np.abs(place, out=place) > 0.5 - 1e-9)
        if len(near):
            bins[near] = np.minimum(np.searchsorted(edges, block[near], "right") - 1, BINS - 1)
        counts += np.bincount(bins, minlength=BINS)
    return counts, edges


def _blocks(values: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    return (values[start : start + BLOCK] for start in range(0, len(values), BLOCK))


def _tensor(tag: str, values: NDArray[Any], content: Mapping[str, Any]) -> Any:
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in values.shape])
    kind = "DT_DOUBLE" if values.dtype == np.float64 else "DT_FLOAT"
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    plugin = SummaryMetadata.PluginData(plugin_name=tags.PLUGIN, content=json.dumps(content).encode())
    return Summary.Value(
        tag=tag,
        metadata=SummaryMetadata(plugin_data=plugin, data_class=DATA_CLASS_TENSOR),
        tensor=TensorProto(dtype=kind, tensor_shape=shape, tensor_content=little.tobytes()),
    )


def _rows(named: Mapping[str, NDArray[Any]], axes: int) -> tuple[NDArray[Any], list[list[Any]]]:
    """Join parameters along a last axis: name -> [..., W] or [...] with `axes` leading axes."""
    flat = {name: value.reshape(*value.shape[:axes], -1) for name, value in named.items()}
    return np.concatenate(list(flat.values()), axis=-1), [[name, value.shape[-1]] for name, value in flat.items()]
