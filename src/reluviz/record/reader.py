"""Read a run's event files back into one record of its snapshots."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.types_pb2 import DT_DOUBLE, DT_FLOAT

from reluviz.core.findings import Finding
from reluviz.errors import UserError
from reluviz.files import METRICS_FILE, parse_json
from reluviz.record import event_file, tags
from reluviz.record.recorded_findings import read_findings

UNIT_SCALARS = tuple(f"{kind}/" for kind in (tags.ELBOW, tags.INPUT_SLOPE, tags.SLOPE_JUMP))
"""Scalars with these tag prefixes, those of single units, are not kept: they follow from the parameters, and would take
most of the memory."""
NUMPY_TYPES = {DT_FLOAT: "<f4", DT_DOUBLE: "<f8"}
MAX_EVENTS_BEFORE_DATA = 100
"""A run writes its data within this many events of the start of a file."""


@dataclass
class RecordedEvents:
    """Everything read from a run's event files.

    Attributes:
        content: plugin content of the tag reluviz/data (see `tags`), which describes `values` and the run; None until
            that tag has been read.
        values: the tensor of the tag reluviz/data: the fields of the data, concatenated.
        wall_times: update -> seconds since the epoch.
        parameters: update -> [R, P], in the recorded precision.
        votes: update -> [V, 3, n].
        fields: name and count of each parameter, in the order of the last axis of `parameters`.
        scalars: tag -> update -> value, without the scalars of single units.
        findings: update -> what had become of the run then.
        damaged: event files that end in a damaged record.
    """

    content: dict[str, Any] | None = None
    values: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    wall_times: dict[int, float] = field(default_factory=dict)
    parameters: dict[int, NDArray[Any]] = field(default_factory=dict)
    votes: dict[int, NDArray[Any]] = field(default_factory=dict)
    fields: list[tuple[str, int]] = field(default_factory=list)
    scalars: dict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    findings: dict[int, tuple[Finding, ...]] = field(default_factory=dict)
    damaged: list[Path] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Add the values of an event. A value recorded twice for one update is replaced by the later one."""
        if event.session_log.status == SessionLog.START:
            self._drop_from(event.step)
        for value in event.summary.value:
            kind = value.WhichOneof("value")
            if kind == "simple_value":
                if not value.tag.startswith(UNIT_SCALARS):
                    self.scalars[value.tag][event.step] = value.simple_value
            elif kind == "tensor" and value.tag == tags.PARAMS:
                self.parameters[event.step] = _to_array(value.tensor)
                self.wall_times[event.step] = event.wall_time
                if not self.fields:
                    fields = parse_json(value.metadata.plugin_data.content)["fields"]
                    self.fields = [(str(name), int(count)) for name, count in fields]
            elif kind == "tensor" and value.tag == tags.VOTE_SERIES:
                self.votes[event.step] = _to_array(value.tensor)
            elif kind == "tensor" and value.tag == tags.FINDINGS:
                self.findings[event.step] = read_findings(value)
            elif kind == "tensor" and value.tag == tags.DATA:
                # another run in the same folder begins here
                self._drop_from(0)
                self.fields = []
                self.values = _to_array(value.tensor)
                self.content = parse_json(value.metadata.plugin_data.content)

    def _drop_from(self, step: int) -> None:
        """Delete the values of this update and later ones: the run was resumed there and records them again."""
        every: list[dict[int, Any]] = [self.wall_times, self.parameters, self.votes, self.findings]
        every += self.scalars.values()
        for series in every:
            for late in [update for update in series if update >= step]:
                del series[late]


def read_run(folder: Path) -> RecordedEvents:
    """Read the event files of a run.

    Raises:
        UserError: if there are no event files, they cannot be read, or reluviz did not write them.
    """
    files = event_file.event_files(folder)
    if not files:
        raise UserError(f"{folder}: holds no run (no {event_file.EVENT_FILE_PREFIX}*)")
    found = RecordedEvents()
    try:
        for path in files:
            try:
                for event in event_file.read_events(path):
                    found.add(event)
            except event_file.DamagedRecord:
                found.damaged.append(path)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{folder}: holds a {tags.PLUGIN} run that this version cannot read") from error
    if found.content is None:
        raise UserError(f"{folder}: holds no run of reluviz (its events have no {tags.DATA})")
    if not found.parameters:
        raise UserError(f"{folder}: this run has no snapshot yet")
    return found


def is_run(folder: Path) -> bool:
    """Return True if the first events in a folder are those of a reluviz run."""
    for path in event_file.event_files(folder):
        try:
            for number, event in enumerate(event_file.read_events(path)):
                if any(value.tag == tags.DATA for value in event.summary.value):
                    return True
                if number == MAX_EVENTS_BEFORE_DATA:
                    break
        except event_file.DamagedRecord:
            continue
    return False


def read_metrics(folder: Path, last: int) -> dict[str, Any] | None:
    """Return the content of metrics.json; None if the run has not written it yet, or has trained further since.

    Args:
        folder: the run's folder.
        last: the update of the last snapshot.
    """
    try:
        # reading from a pipe would block
        found = parse_json((folder / METRICS_FILE).read_bytes()) if (folder / METRICS_FILE).is_file() else None
    except (OSError, ValueError):
        return None
    stale = not isinstance(found, dict) or not isinstance(found.get("updates"), int) or found["updates"] < last
    return None if stale else found


def _to_array(tensor: Any) -> NDArray[Any]:
    """Return a tensor as an array that shares its bytes.

    Raises:
        LookupError, ValueError: if it has another type, or its shape is not that of its bytes.
    """
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if min(shape, default=1) < 0:
        # reshape() would work it out
        raise ValueError(f"a tensor has the shape {shape}")
    return np.frombuffer(tensor.tensor_content, NUMPY_TYPES[tensor.dtype]).reshape(shape)
