"""Losses and units of every replica, read from a run's event files without the rest of them, and without torch.

Most of a run's events are parameters, votes and pictures. What is wanted stands at the beginning of its event, so
that a look at a few bytes tells whether a record is worth parsing.

Legend of shapes: R replicas, T snapshots, F fields.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from reluviz.errors import UserError
from reluviz.record import event_reader, tags

HEAD = 64
"""A tag that is the first in its event ends within so many bytes."""
SMALL = 128
"""Marks of a beginning are shorter than this."""
LARGE = 2**16
"""Records beyond this are stepped over where they hold nothing that is wanted."""
LOSSES = (tags.LOSS_TRAIN, tags.LOSS_TEST, tags.LOSS_BATCH)


@dataclass
class Replicas:
    """What the replicas of a run came through.

    Attributes:
        told: content of reluviz/data (model, seeds, settings); None where the files do not have it.
        variance: var(y) of the training points.
        fields: tags of the losses and units.
        series: update -> their values, [R, F]; empty for old runs of several replicas, which kept only medians.
        last: the update of the last snapshot; -1 without any.
        whole: whether the last file ends at the end of a record; earlier ones were left by a run that was killed, and
            went on.
        empty: whether no file holds a single event.
    """

    told: Mapping[str, Any] | None = None
    variance: float = np.nan
    fields: tuple[str, ...] = ()
    series: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    last: int = -1
    whole: bool = True
    empty: bool = True

    @property
    def updates(self) -> NDArray[np.int64]:
        """Updates of the snapshots, [T], strictly increasing."""
        return np.array(sorted(self.series), dtype=np.int64)

    @property
    def values(self) -> NDArray[np.float64]:
        """Their values at all snapshots, [T, R, F]."""
        return np.stack([self.series[update] for update in sorted(self.series)])

    def forget(self, step: int) -> None:
        """Forget what was recorded at this update and later ones: a run that went on from here writes it again."""
        for late in [update for update in self.series if update >= step]:
            del self.series[late]


def read(paths: list[Path]) -> Replicas:
    """Return what the event files of a run, in the order in which they were begun, tell of its replicas.

    Raises:
        Damaged: at a record that is all there and wrong.
        UserError: if a file cannot be read.
        LookupError, TypeError, ValueError: if its records are not those of a run.
    """
    found = Replicas()
    for path in paths:
        for data in _records(path, found):
            found.empty = False
            _add(found, data)
    if found.series:
        found.last = max(found.series)
    elif found.told is not None:
        _add_scalars(found, paths)
    return found


def _records(path: Path, found: Replicas) -> Iterator[bytes]:
    """Yield the records of a file; of a large one that holds nothing of interest, nothing but that it is there."""
    try:
        with path.open("rb") as file:
            size, found.whole = path.stat().st_size, True
            while len(head := file.read(12)) == 12:
                (length,) = struct.unpack_from("<Q", head)
                if event_reader.masked_checksum(head[:8]) != head[8:]:
                    raise event_reader.Damaged
                if file.tell() + length + 4 > size:
                    found.whole = False
                    return
                yield _record(file, length)
            found.whole = not head
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def _record(file: BinaryIO, length: int) -> bytes:
    start = file.read(min(length, HEAD))
    if length > LARGE and b"reluviz/" not in start:
        file.seek(length - len(start) + 4, 1)
        return b""
    data = start + file.read(length - len(start))
    if event_reader.masked_checksum(data) != file.read(4):
        raise event_reader.Damaged
    return data


def _add(found: Replicas, data: bytes) -> None:
    """Take in a record, if there is anything in it."""
    ours = b"reluviz/" in data[:HEAD]
    if not data or (not ours and len(data) >= SMALL):
        return
    event = _event(data)
    if event.session_log.status == SessionLog.START:
        found.forget(event.step)
    if not (ours and event.summary.value):
        return
    value = event.summary.value[0]
    if value.tag == tags.REPLICAS:
        if not found.fields:
            found.fields = tuple(map(str, json.loads(value.metadata.plugin_data.content)["fields"]))
        rows = np.frombuffer(value.tensor.tensor_content, "<f8")
        found.series[event.step] = rows.reshape([dim.size for dim in value.tensor.tensor_shape.dim])
    elif value.tag == tags.DATA:
        # another run in the same folder begins here
        found.forget(0)
        found.fields = ()
        found.told = json.loads(value.metadata.plugin_data.content)
        (_, inputs), (_, outputs), *_ = json.loads(value.metadata.plugin_data.content)["fields"]
        values = np.frombuffer(value.tensor.tensor_content, "<f8")
        found.variance = float(np.var(values[inputs : inputs + outputs]))


def _add_scalars(found: Replicas, paths: list[Path]) -> None:
    """Read the scalars of a run from before there was `tags.REPLICAS`: if it has one replica, they are its own."""
    series: dict[int, dict[str, float]] = {}
    known = dict.fromkeys(LOSSES)
    for path in paths:
        for event in event_reader.events(path):
            if event.session_log.status == SessionLog.START:
                series = {update: values for update, values in series.items() if update < event.step}
            for value in event.summary.value:
                ours = value.tag in LOSSES or value.tag.startswith(f"{tags.UNITS}/")
                if ours and value.WhichOneof("value") == "simple_value":
                    series.setdefault(event.step, {})[value.tag] = value.simple_value
                    known[value.tag] = None
    found.last = max(series, default=-1)
    if found.told is not None and len(found.told["seeds"]) == 1:
        found.fields = tuple(known)
        found.series = {at: np.array([[values.get(tag, np.nan) for tag in known]]) for at, values in series.items()}


def _event(data: bytes) -> Event:
    try:
        return Event.FromString(data)
    except DecodeError:
        raise event_reader.Damaged from None
