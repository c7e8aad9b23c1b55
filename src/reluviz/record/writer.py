"""How quantities become TensorBoard summaries. Nothing else in the package knows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import summary as summaries

from reluviz.core.elbows import STATUS
from reluviz.core.snapshot import recorded
from reluviz.data.dataset import Dataset
from reluviz.record import hparams, tags
from reluviz.record.event_file import EventFile
from reluviz.record.snapshot_events import tensor

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class RunWriter:
    """Writes one run's summaries.

    Args:
        writer: the run's SummaryWriter.
        model: constant, linear or relu.
    """

    def __init__(self, writer: "SummaryWriter", model: str) -> None:
        self.writer = writer
        # the part of SummaryWriter that takes a whole Summary
        self.files: Any = writer.file_writer
        self.model = model

    def data(self, dataset: Dataset, trained: Sequence[str], seeds: Sequence[int], settings: Mapping[str, Any]) -> None:
        """Write the data set, and what a reader needs to know of the run, once, at update 0."""
        fields: dict[str, Any] = {"x": dataset.x, "y": dataset.y}
        if dataset.target is not None:
            fields["target"] = dataset.target(dataset.x)
        if dataset.x_test is not None and dataset.y_test is not None:
            fields |= {"x_test": dataset.x_test, "y_test": dataset.y_test}
        fields["recorded"] = recorded(len(dataset.x))
        content: dict[str, Any] = {"fields": [[name, len(value)] for name, value in fields.items()]}
        content |= {"model": self.model, "name": dataset.name, "domain": list(dataset.domain)}
        content |= {"trained": list(trained), "seeds": list(seeds), "settings": dict(settings)}
        whole = np.concatenate([np.asarray(value, dtype=np.float64) for value in fields.values()])
        self._write([tensor(tags.DATA, whole, content)], 0)

    def events(self, events: Sequence[bytes]) -> None:
        """Write events of snapshots; see `entries`."""
        if isinstance(self.files.event_writer, EventFile):
            self.files.event_writer.add_records(events)
            return
        for event in events:
            # another logger's writer wants objects
            self.files.event_writer.add_event(Event.FromString(event))

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
