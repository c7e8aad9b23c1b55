"""Runs for the tests of the tab, written as training writes them, with any parameters and any length."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from reluviz.core.functions import PARAMETERS
from reluviz.data.dataset import Dataset
from reluviz.data.targets import piecewise_linear
from reluviz.record import tags
from reluviz.record.logger import EventFileWriter
from reluviz.record.snapshot_events import tensor_value
from reluviz.record.writer import RunWriter

Array = NDArray[np.float64]
TRAINED = {"all": PARAMETERS["relu"], "output": PARAMETERS["relu"][2:], "hidden": PARAMETERS["relu"][:2]}
"""The trained parameters of a ReLU network by `model.train`."""


class Writer:
    """Writes a run's data set, then its snapshots."""

    def __init__(
        self,
        folder: Path,
        model: str = "relu",
        width: int = 20,
        replicas: int = 1,
        dataset: Dataset | None = None,
        write_data: bool = True,
        purge_step: int | None = None,
        trained: tuple[str, ...] | None = None,
        lr: float = 0.02,
    ) -> None:
        self.model, self.width, self.replicas = model, width, replicas
        self.dataset = dataset or piecewise_linear()
        self.trained = trained or PARAMETERS[model]
        self.writer = EventFileWriter(str(folder), purge_step=purge_step)
        self.recorder = RunWriter(self.writer, model)
        sizes = {"input_slope": width, "bias": width, "output_weight": width}
        self.fields = [[name, sizes.get(name, 1)] for name in PARAMETERS[model]]
        if write_data:
            seeds = list(range(replicas))
            self.recorder.write_data(self.dataset, self.trained, seeds, {"name": folder.name, "optimizer.lr": lr})
            self.writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self.writer.file_writer.event_writer.close()

    def snapshot(self, update: int, values: Array) -> None:
        """Write the parameters [R, P] after an update, and a loss."""
        content: dict[str, Any] = {"fields": self.fields, "model": self.model}
        loss = Summary.Value(tag=tags.LOSS_TRAIN, simple_value=1 / (1 + update))
        summary = Summary(value=[tensor_value(tags.PARAMS, values.astype(np.float32), content), loss])
        event = Event(wall_time=time.time(), step=update, summary=summary)
        self.writer.file_writer.event_writer.add_event(event)


def drifting_networks(snapshots: int, width: int = 20, replicas: int = 1, seed: int = 0) -> Array:
    """Return parameters of ReLU networks that drift, [S, R, P]: one unit has w = 0, one is dead, one linear."""
    random = np.random.default_rng(seed)
    start = random_network(random, width, replicas)
    drift = random.normal(size=start.shape) * 0.3
    return start + np.linspace(0, 1, snapshots)[:, None, None] * drift


def random_network(random: np.random.Generator, width: int, replicas: int = 1) -> Array:
    """Return the parameters of random networks, [R, P], in the order of `PARAMETERS`."""
    w = random.normal(size=(replicas, width)) * 2
    beta = random.uniform(-0.3, 1.3, size=(replicas, width))
    b, v = -beta * w, random.normal(size=(replicas, width))
    if width >= 4:
        w[:, 1], b[:, 1] = 0, 0.3
        w[:, 2], b[:, 2] = 1.5, -3.0
        w[:, 3], b[:, 3] = -1.0, 2.5
    return np.concatenate([w, b, v, random.normal(size=(replicas, 1))], axis=1)


def write_run(folder: Path, snapshots: int, width: int = 20, replicas: int = 1, seed: int = 0) -> Array:
    """Write a complete run with a snapshot after every 100 updates; return its parameters [S, R, P]."""
    values = drifting_networks(snapshots, width, replicas, seed)
    writer = Writer(folder, width=width, replicas=replicas)
    for s, value in enumerate(values):
        writer.snapshot(100 * s, value)
    writer.close()
    return values
