"""Read only each replica's losses and unit counts from a run's event files, quickly and without torch.

Most of a run's events are parameters, votes and pictures. The tensor of losses and unit counts is the first value in
its event, so the first few bytes of a record show whether the record is worth parsing.

Legend of shapes: R replicas, T snapshots, F fields.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from reluviz.core.findings import Finding
from reluviz.errors import UserError
from reluviz.files import parse_json
from reluviz.record import event_file, tags
from reluviz.record.recorded_findings import read_findings

TAG_BYTES = 64
"""The tag of an event's first value ends within this many bytes."""
SESSION_MARK_BYTES = 128
"""Events that mark the start of a session are shorter than this."""
SKIPPED_BYTES = 2**16
"""Longer records are skipped, unread, if their first value is not a reluviz tensor."""
TAG_START = f"{tags.PLUGIN}/".encode()
"""The tags of all reluviz tensors start like this."""


@dataclass
class ReplicaSeries:
    """Losses and unit counts of a run's replicas at its snapshots.

    Attributes:
        content: plugin content of the tag reluviz/data (model, seeds, settings); None if the files do not have it.
        variance: var(y) of the training points.
        fields: tags of the losses and unit counts.
        series: update -> their values, [R, F]; empty for old runs of several replicas, which recorded only medians.
        findings: update -> what had become of the run then.
        last: the update of the last snapshot; -1 if there is none.
        complete: whether the last file ends at the end of a record. (Earlier files may be cut off: a run that was
            killed left them, and was resumed.)
        empty: whether no file holds an event.
    """

    content: Mapping[str, Any] | None = None
    variance: float = np.nan
    fields: tuple[str, ...] = ()
    series: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    findings: dict[int, tuple[Finding, ...]] = field(default_factory=dict)
    last: int = -1
    complete: bool = True
    empty: bool = True

    @property
    def updates(self) -> NDArray[np.int64]:
        """Updates of the snapshots, [T], strictly increasing."""
        return np.array(sorted(self.series), dtype=np.int64)

    @property
    def values(self) -> NDArray[np.float64]:
        """Values at all snapshots, [T, R, F]."""
        return np.stack([self.series[update] for update in sorted(self.series)])

    def drop_from(self, step: int) -> None:
        """Delete the values of this update and later ones: the run was resumed there and records them again."""
        every: list[dict[int, Any]] = [self.series, self.findings]
        for series in every:
            for late in [update for update in series if update >= step]:
                del series[late]


def read_replicas(paths: list[Path]) -> ReplicaSeries:
    """Return the losses and unit counts in the event files of a run.

    Args:
        paths: the files, in the order in which they were created.

    Raises:
        DamagedRecord: at a record that is complete but wrong.
        UserError: if a file cannot be read.
        LookupError, TypeError, ValueError: if reluviz did not write the records.
    """
    found = ReplicaSeries()
    for path in paths:
        for data in _records(path, found):
            found.empty = False
            _add(found, data)
    if found.series:
        found.last = max(found.series)
    elif found.content is not None:
        _add_scalars(found, paths)
    return found


def _records(path: Path, found: ReplicaSeries) -> Iterator[bytes]:
    """Yield the data of each record of a file, b"" for a skipped one, and set `found.complete`."""
    try:
        with path.open("rb") as file:
            size, found.complete = path.stat().st_size, True
            while len(head := file.read(12)) == 12:
                (length,) = struct.unpack_from("<Q", head)
                if event_file.masked_checksum(head[:8]) != head[8:]:
                    raise event_file.DamagedRecord
                if file.tell() + length + 4 > size:
                    found.complete = False
                    return
                yield _record(file, length)
            found.complete = not head
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def _record(file: BinaryIO, length: int) -> bytes:
    """Return the data of the next record; b"" if it is long and does not begin with a reluviz tensor."""
    start = file.read(min(length, TAG_BYTES))
    if length > SKIPPED_BYTES and TAG_START not in start:
        file.seek(length - len(start) + 4, 1)
        return b""
    data = start + file.read(length - len(start))
    if event_file.masked_checksum(data) != file.read(4):
        raise event_file.DamagedRecord
    return data


def _add(found: ReplicaSeries, data: bytes) -> None:
    """Add a record's losses and unit counts, data description or session start, if it has one."""
    ours = TAG_START in data[:TAG_BYTES]
    if not data or (not ours and len(data) >= SESSION_MARK_BYTES):
        return
    event = _parse(data)
    if event.session_log.status == SessionLog.START:
        found.drop_from(event.step)
    if not (ours and event.summary.value):
        return
    value = event.summary.value[0]
    if value.tag == tags.REPLICAS:
        if not found.fields:
            found.fields = tuple(map(str, parse_json(value.metadata.plugin_data.content)["fields"]))
        rows = np.frombuffer(value.tensor.tensor_content, "<f8")
        found.series[event.step] = rows.reshape([dim.size for dim in value.tensor.tensor_shape.dim])
    elif value.tag == tags.FINDINGS:
        found.findings[event.step] = read_findings(value)
    elif value.tag == tags.DATA:
        # another run in the same folder begins here
        found.drop_from(0)
        found.fields = ()
        found.content = parse_json(value.metadata.plugin_data.content)
        (_, inputs), (_, outputs), *_ = parse_json(value.metadata.plugin_data.content)["fields"]
        values = np.frombuffer(value.tensor.tensor_content, "<f8")
        found.variance = float(np.var(values[inputs : inputs + outputs]))


def _add_scalars(found: ReplicaSeries, paths: list[Path]) -> None:
    """Add the scalars of an old run, which has no `tags.REPLICAS`. With one replica, they are that replica's values."""
    series: dict[int, dict[str, float]] = {}
    known = dict.fromkeys(tags.LOSSES)
    for path in paths:
        for event in event_file.read_events(path):
            if event.session_log.status == SessionLog.START:
                series = {update: values for update, values in series.items() if update < event.step}
            for value in event.summary.value:
                wanted = value.tag in tags.LOSSES or value.tag.startswith(f"{tags.UNITS}/")
                if wanted and value.WhichOneof("value") == "simple_value":
                    series.setdefault(event.step, {})[value.tag] = value.simple_value
                    known[value.tag] = None
    found.last = max(series, default=-1)
    if found.content is not None and len(found.content["seeds"]) == 1:
        found.fields = tuple(known)
        found.series = {at: np.array([[values.get(tag, np.nan) for tag in known]]) for at, values in series.items()}


def _parse(data: bytes) -> Event:
    try:
        return Event.FromString(data)
    except DecodeError:
        raise event_file.DamagedRecord from None
