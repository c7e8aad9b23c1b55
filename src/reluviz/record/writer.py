"""Write a run's summaries: its data, snapshots, pictures and text, and the layouts of TensorBoard's tabs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import summary as summaries

from reluviz.core.elbows import STATUS
from reluviz.core.findings import Finding
from reluviz.core.models import MODELS
from reluviz.core.snapshot import recorded_samples
from reluviz.data.dataset import Dataset
from reluviz.data.targets import target_name
from reluviz.record import hparams, tags
from reluviz.record.event_file import EventFile
from reluviz.record.recorded_findings import findings_value
from reluviz.record.snapshot_events import tensor_value

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class RunWriter:
    """Writes one run's summaries.

    Args:
        writer: the run's SummaryWriter.
        model: the model's name.
    """

    def __init__(self, writer: "SummaryWriter", model: str) -> None:
        self.writer = writer
        # the part of SummaryWriter that accepts a whole Summary
        self.file_writer: Any = writer.file_writer
        self.model = model

    def write_data(
        self, dataset: Dataset, trained: Sequence[str], seeds: Sequence[int], settings: Mapping[str, Any]
    ) -> None:
        """Write the data set and the description of the run, once, at update 0."""
        fields: dict[str, Any] = {"x": dataset.x, "y": dataset.y}
        if dataset.target is not None:
            fields["target"] = dataset.target(dataset.x)
        if dataset.x_test is not None and dataset.y_test is not None:
            fields |= {"x_test": dataset.x_test, "y_test": dataset.y_test}
        fields["recorded"] = recorded_samples(len(dataset.x))
        content: dict[str, Any] = {"fields": [[name, len(value)] for name, value in fields.items()]}
        if dataset.target is not None:
            content["target"] = target_name(dataset.target)
        content |= {"model": self.model, "name": dataset.name, "domain": list(dataset.domain)}
        if not dataset.scaling.identity:
            content["scaling"] = dataset.scaling.numbers()
        content |= {"trained": list(trained), "seeds": list(seeds), "settings": dict(settings)}
        values = np.concatenate([np.asarray(value, dtype=np.float64) for value in fields.values()])
        self._write([tensor_value(tags.DATA, values, content)], 0)

    def write_events(self, events: Sequence[bytes]) -> None:
        """Write serialized events of snapshots (see `snapshot_events`)."""
        if isinstance(self.file_writer.event_writer, EventFile):
            self.file_writer.event_writer.add_records(events)
            return
        for event in events:
            # the writer of another logger expects Event objects
            self.file_writer.event_writer.add_event(Event.FromString(event))

    def write_image(self, tag: str, png: bytes, update: int) -> None:
        """Write a picture, the bytes of a PNG file."""
        width, height = (int.from_bytes(png[i : i + 4], "big") for i in (16, 20))
        # the colour type in the PNG header, 2 for RGB or 6 for RGBA, as a number of channels
        channels = {2: 3, 6: 4}[png[25]]
        image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=png)
        self._write([Summary.Value(tag=tag, image=image)], update)

    def write_text(self, markdown: str, update: int) -> None:
        """Write the run's summary in Markdown."""
        self._write(summaries.text(tags.TEXT, markdown).value, update)

    def write_findings(self, findings: Sequence[Finding], update: int) -> None:
        """Write what became of the run."""
        self._write([findings_value(findings)], update)

    def write_session_start(self, settings: Mapping[str, Any], metrics: Sequence[str]) -> None:
        """Write the settings for the HParams tab, which shows the last values of the tags `metrics` as results."""
        self._write(hparams.session_start(settings, metrics), 0)

    def write_session_end(self, settings: Mapping[str, Any]) -> None:
        """Write for the HParams tab that the run has ended."""
        self._write(hparams.session_end(settings), 0)

    def write_layout(self, width: int, replicas: int, test: bool) -> None:
        """Write the layout of the custom-scalars tab: losses, gradient and votes, units, replicas."""
        losses = [tags.LOSS_TRAIN, *([tags.LOSS_TEST] if test else []), tags.LOSS_BATCH]
        charts: dict[str, dict[str, list[Any]]] = {
            "losses": {"train, test and batch": ["Multiline", [f"^{tag}$" for tag in losses]]},
            "gradient": {
                "norm of the gradient": ["Multiline", [f"^{tags.GRAD_NORM}$"]],
                "noise scale": ["Multiline", [f"^{tags.NOISE_SCALE}$"]],
                "effective votes": ["Multiline", [f"^{tags.VOTES_EFFECTIVE}$"]],
            },
        }
        record = MODELS[self.model]
        if record.hidden_features is not None:
            charts["units"] = {
                "elbows": ["Multiline", [rf"^{tags.ELBOW}/\d+$"]],
                "slope jumps": ["Multiline", [rf"^{tags.SLOPE_JUMP}/\d+$"]],
                "input slopes": ["Multiline", [rf"^{tags.INPUT_SLOPE}/\d+$"]],
                "dead, linear and bent units": ["Multiline", [f"^{tags.UNITS}/({'|'.join(STATUS)})$"]],
            }
            if record.architecture is not None:
                del charts["units"]["slope jumps"]
                charts["units"]["kinks of the function"] = ["Multiline", [f"^{tags.KINKS}$"]]
                charts["layers"] = {
                    title: ["Multiline", [rf"^{tag}/(layer_\d+|output)$"]]
                    for title, tag in (
                        ("norm of the gradient", tags.GRAD_NORM),
                        ("effective votes", tags.VOTES_EFFECTIVE),
                    )
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
        # building a Summary first, and an Event from it, would copy all values twice
        event.summary.value.extend(values)
        self.file_writer.add_event(event, update)
