"""What `record` wrote, gathered from a run's event files snapshot by snapshot."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.types_pb2 import DT_DOUBLE, DT_FLOAT

from reluviz.errors import UserError
from reluviz.record import event_reader, tags

OF_UNITS = tuple(f"{kind}/" for kind in (tags.ELBOW, tags.INPUT_SLOPE, tags.SLOPE_JUMP))
"""Scalars of single units follow from the parameters; they would be most of what a run takes in memory."""
DTYPES = {DT_FLOAT: "<f4", DT_DOUBLE: "<f8"}
FIRST_EVENTS = 100
"""Among these a run has told its data."""


@dataclass
class RecordedEvents:
    """What a run has recorded.

    Attributes:
        content: how to read `values`, and what else reluviz/data says; None before it has been met.
        values: the data's fields one after another.
        walls: update -> seconds since the epoch.
        parameters: update -> [R, P], as stored.
        votes: update -> [V, 3, n].
        fields: name and count of each parameter, in the order of the last axis of `parameters`.
        scalars: tag -> update -> value, those of single units left out.
        damaged: event files that end in a damaged record.
    """

    content: dict[str, Any] | None = None
    values: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    walls: dict[int, float] = field(default_factory=dict)
    parameters: dict[int, NDArray[Any]] = field(default_factory=dict)
    votes: dict[int, NDArray[Any]] = field(default_factory=dict)
    fields: list[tuple[str, int]] = field(default_factory=list)
    scalars: dict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    damaged: list[Path] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Take in an event; of a value that is met twice, the later one stays."""
        if event.session_log.status == SessionLog.START:
            self._forget(event.step)
        for value in event.summary.value:
            kind = value.WhichOneof("value")
            if kind == "simple_value":
                if not value.tag.startswith(OF_UNITS):
                    self.scalars[value.tag][event.step] = value.simple_value
            elif kind == "tensor" and value.tag == tags.PARAMS:
                self.parameters[event.step] = _array(value.tensor)
                self.walls[event.step] = event.wall_time
                if not self.fields:
                    fields = json.loads(value.metadata.plugin_data.content)["fields"]
                    self.fields = [(str(name), int(count)) for name, count in fields]
            elif kind == "tensor" and value.tag == tags.VOTE_SERIES:
                self.votes[event.step] = _array(value.tensor)
            elif kind == "tensor" and value.tag == tags.DATA:
                # another run in the same folder: it begins here
                self._forget(0)
                self.fields = []
                self.values = _array(value.tensor)
                self.content = json.loads(value.metadata.plugin_data.content)

    def _forget(self, step: int) -> None:
        """Forget what was recorded at this update and later ones: a run that went on from here writes it again."""
        every: list[dict[int, Any]] = [self.walls, self.parameters, self.votes, *self.scalars.values()]
        for series in every:
            for late in [update for update in series if update >= step]:
                del series[late]


def read_run(folder: Path) -> RecordedEvents:
    """Read the event files of a run.

    Raises:
        UserError: if there are none, they cannot be read, or they are not of a reluviz run.
    """
    files = event_reader.files(folder)
    if not files:
        raise UserError(f"{folder}: holds no run (no {event_reader.PREFIX}*)")
    found = RecordedEvents()
    try:
        for path in files:
            try:
                for event in event_reader.events(path):
                    found.add(event)
            except event_reader.Damaged:
                found.damaged.append(path)
    except (ValueError, LookupError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{folder}: holds a {tags.PLUGIN} run that this version cannot read") from error
    if found.content is None:
        raise UserError(f"{folder}: holds no run of reluviz (its events have no {tags.DATA})")
    if not found.parameters:
        raise UserError(f"{folder}: this run has no snapshot yet")
    return found


def is_run(folder: Path) -> bool:
    """Tell by the first events whether a folder is that of a reluviz run."""
    for path in event_reader.files(folder):
        try:
            for number, event in enumerate(event_reader.events(path)):
                if any(value.tag == tags.DATA for value in event.summary.value):
                    return True
                if number == FIRST_EVENTS:
                    break
        except event_reader.Damaged:
            continue
    return False


def metrics(folder: Path, last: int) -> dict[str, Any] | None:
    """Return what metrics.json holds; None where the run has not written it yet, or has gone on since.

    Args:
        folder: the run's folder.
        last: the update of the last snapshot.
    """
    try:
        found = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    stale = not isinstance(found, dict) or not isinstance(found.get("updates"), int) or found["updates"] < last
    return None if stale else found


def _array(tensor: Any) -> NDArray[Any]:
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    return np.frombuffer(tensor.tensor_content, DTYPES[tensor.dtype]).reshape(shape)
