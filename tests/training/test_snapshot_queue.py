"""Snapshots are worked out beside the training: none is lost, none comes late, and trouble there ends the run."""

import threading
import time
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from tensorboard.compat.proto.event_pb2 import Event

from reluviz import PiecewiseLinearData, ReLUModule, SnapshotLogger
from reluviz.analysis import load_run
from reluviz.core.snapshot import RawSnapshot, largest_loss
from reluviz.core.snapshot_torch import take
from reluviz.data import piecewise_linear
from reluviz.data.schedules import EverySchedule
from reluviz.errors import UserError
from reluviz.models import ConstantModule, LinearModule
from reluviz.record import event_reader
from reluviz.record.event_file import PREFIX, EventFile
from reluviz.record.logger import RunLogger
from reluviz.training import snapshot_queue, snapshot_worker
from reluviz.training.callbacks import checkpoints
from reluviz.training.lightning_startup import quiet
from reluviz.training.vote_history import VoteHistory

DATA = piecewise_linear()
REACH, HEIGHT = float(np.abs(DATA.x).max()), float(np.abs(DATA.y).max())
UNKNOWN = np.full(2, np.nan)
MODULES = {"constant": ConstantModule, "linear": LinearModule, "relu": lambda seeds: ReLUModule(width=5, seeds=seeds)}


@pytest.mark.parametrize("model", MODULES)
def test_what_is_surely_sound_is_sound(model: str) -> None:
    module = MODULES[model](seeds=[0, 1])
    unknown = torch.from_numpy(UNKNOWN)
    initial = take(model, module.values(), module.trained, DATA, 0, unknown).loss_train
    bound = largest_loss(initial.numpy(), DATA.y)
    generator = torch.Generator().manual_seed(0)
    surely = {True: 0, False: 0}
    for power in np.linspace(-1, 4, 200):
        values = {
            name: value + 10**power * torch.randn(value.shape, generator=generator, dtype=torch.float64)
            for name, value in module.values().items()
        }
        snapshot = take(model, values, module.trained, DATA, 1, unknown)
        arrays = {name: value.numpy() for name, value in values.items()}
        sure = RawSnapshot(1, 0.0, arrays, UNKNOWN).surely_sound(model, REACH, HEIGHT, bound)
        surely[sure] += 1
        assert not sure or snapshot.sound(initial).all()
    # neither answer is given every time
    assert min(surely.values()) > 20


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
def test_what_is_not_finite_is_not_surely_sound(value: float) -> None:
    for model, make in MODULES.items():
        for name in make(seeds=[0, 1]).values():
            values = values_of(make(seeds=[0, 1]))
            values[name].reshape(2, -1)[1, 0] = value
            taken = RawSnapshot(1, 0.0, values, np.zeros(2))
            assert not taken.surely_sound(model, REACH, HEIGHT, np.full(2, 1e6)), (model, name)


def values_of(module: ConstantModule | LinearModule | ReLUModule) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in module.values().items()}


def order(module: ReLUModule, **more: Any) -> snapshot_worker.SnapshotOptions:
    """Return that everything is wanted but pictures."""
    return snapshot_worker.SnapshotOptions(
        **{
            "model": module.model,
            "trained": module.trained,
            "dataset": DATA,
            "seed": 0,
            "dtype": "float32",
            "events": True,
            "histograms": True,
            "most_units": 100,
            "pictured": frozenset(),
            "contributions": False,
            "optimum": None,
        }
        | more
    )


class Watch(L.Callback):
    """Asks the logger what it has seen, at every `every`-th snapshot."""

    def __init__(self, logger: SnapshotLogger, every: int) -> None:
        self.logger, self.every = logger, every
        self.seen: list[tuple[int, int]] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if batch_idx % self.every == 0:
            self.seen.append((int(pl_module.updates_done), self.logger.latest.update))


def train(folder: Path, updates: int = 300, every: int = 3, pictures: int = 2, callbacks=()) -> SnapshotLogger:
    logger = SnapshotLogger(pictures=pictures)
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=RunLogger(str(folder)),
        callbacks=[logger, *(make(logger) for make in callbacks)],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        log_every_n_steps=0,
    )
    data = PiecewiseLinearData(updates=updates, snapshots=EverySchedule(every=every))
    trainer.fit(ReLUModule(width=4, engine="fused"), data)
    return logger


@pytest.fixture(autouse=True)
def silence():
    with quiet():
        yield


def test_every_snapshot_is_recorded_though_several_are_worked_out_together(tmp_path, monkeypatch) -> None:
    together = []
    plain = snapshot_worker.SnapshotWorker.develop
    monkeypatch.setattr(
        snapshot_worker.SnapshotWorker, "develop", lambda *args: [together.append(len(args[1])), plain(*args)][1]
    )
    logger = train(tmp_path)
    wanted = [0, 1, *range(3, 301, 3)]
    assert load_run(tmp_path).updates.tolist() == wanted
    assert logger.latest.update == 300
    assert sum(together) == len(wanted)
    # nobody knows when the second one will come
    assert together[0] == 1
    assert max(together) >= snapshot_queue.TOGETHER


def test_the_latest_snapshot_is_the_newest_whenever_it_is_asked_for(tmp_path) -> None:
    watches: list[Watch] = []

    def watch(logger: SnapshotLogger) -> Watch:
        watches.append(Watch(logger, 7))
        return watches[0]

    train(tmp_path, callbacks=[watch])
    assert len(watches[0].seen) > 10
    assert all(done == latest for done, latest in watches[0].seen)
    assert load_run(tmp_path).updates.tolist() == [0, 1, *range(3, 301, 3)]


def test_a_snapshot_is_written_at_once_where_the_next_one_is_not_near(tmp_path) -> None:
    module = ReLUModule(width=3)
    recorded: list[int] = []

    class Recorder:
        def events(self, events) -> None:
            recorded.extend(Event.FromString(one).step for one in events)

    worker = snapshot_queue.SnapshotQueue(order(module), Recorder(), VoteHistory())
    for update in range(3):
        worker.hand_over(RawSnapshot(update, 0.0, values_of(module), np.zeros(1)))
        time.sleep(1.5 * snapshot_queue.PATIENCE)
        assert recorded == list(range(update + 1))
    worker.close()


def test_trouble_with_the_event_file_ends_the_run_in_one_line(tmp_path, monkeypatch) -> None:
    written = []
    plain = EventFile.add_records

    def full(self: EventFile, events) -> None:
        events = list(events)
        written.extend(events)
        if len(written) > 40:
            raise UserError(f"{self.path}: cannot be written to (No space left on device)")
        plain(self, events)

    monkeypatch.setattr(EventFile, "add_records", full)
    with pytest.raises(UserError, match="No space left on device"):
        train(tmp_path)


@pytest.mark.parametrize(("seconds", "wanted"), [(30, [1, 3, 7, 15, 31, 61, 91]), (3, [1, 3, 6, 9]), (0, range(10))])
def test_checkpoints_come_more_often_in_the_beginning(monkeypatch, seconds, wanted) -> None:
    now, saved = [100.0], []
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    keeper = checkpoints.Checkpoints(seconds=seconds)

    def save(trainer, name: str) -> None:
        saved.append(now[0] - 100)
        keeper._written = now[0]

    monkeypatch.setattr(keeper, "_save", save)
    keeper.on_train_start(None, None)
    for _ in range(120):
        keeper.on_train_batch_end(None, None, None, None, 0)
        now[0] += 1
    assert saved[: len(wanted)] == list(wanted)


def test_a_file_that_follows_another_has_a_later_name_also_within_a_second(tmp_path) -> None:
    # as one of a process with a greater number would have, whose run goes on in this one
    (tmp_path / f"{PREFIX}{int(time.time()) + 1:010d}.host.99999999.0000").touch()
    files = [EventFile(str(tmp_path)) for _ in range(3)]
    for file in files:
        file.close()
    names = [file.path.name for file in files]
    assert sorted(path.name for path in tmp_path.iterdir())[1:] == names


class Last(L.Callback):
    """Raises something when the training has ended."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_train_end(self, trainer, pl_module) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "raised"), [(OSError("disk full"), OSError), (KeyboardInterrupt(), SystemExit)], ids=["disk", "Ctrl-C"]
)
def test_what_happens_after_the_end_is_told_as_it_is(tmp_path, error, raised) -> None:
    with pytest.raises(raised) as told:
        train(tmp_path, callbacks=[lambda logger: Last(error)])
    assert not isinstance(told.value, RuntimeError)
    texts = [
        event for event in all_events(tmp_path) if any(value.tag.startswith("run") for value in event.summary.value)
    ]
    # as it began, and as it has ended, once
    assert [event.step for event in texts] == [0, 300]


def all_events(folder: Path) -> list[Event]:
    return [event for path in event_reader.files(folder) for event in event_reader.events(path)]


@pytest.mark.parametrize("where", ["history", "draw"])
def test_an_end_that_is_interrupted_is_made_up_for(tmp_path, monkeypatch, where) -> None:
    waits = snapshot_queue.Future.result
    interrupted = []

    def result(self, timeout=None):
        # the main thread waits for a picture when Ctrl-C comes
        mine = threading.current_thread() is threading.main_thread()
        if mine and not interrupted and drawing(self):
            interrupted.append(self)
            raise KeyboardInterrupt
        return waits(self, timeout)

    asked = []

    def drawing(future) -> bool:
        return future in asked

    plain = snapshot_queue.SnapshotQueue._have

    def have(self, pool, work, *args):
        future = plain(self, pool, work, *args)
        if work.__name__.strip("_") == where:
            asked.append(future)
        return future

    monkeypatch.setattr(snapshot_queue.SnapshotQueue, "_have", have)
    monkeypatch.setattr(snapshot_queue.Future, "result", result)
    with pytest.raises(SystemExit):
        train(tmp_path)
    assert interrupted
    values = [(value.tag, event.step) for event in all_events(tmp_path) for value in event.summary.value]
    # the last one may have been drawn before, too
    pictures = {one for one in values if one[0] in ("fit", "votes", "votes/history")}
    assert sorted(pictures) == [("fit", 0), ("fit", 300), ("votes", 0), ("votes", 300), ("votes/history", 300)]
    assert load_run(tmp_path).updates.tolist() == [0, 1, *range(3, 301, 3)]


def test_a_checkpoint_waits_for_the_pictures_before_it(tmp_path, monkeypatch) -> None:
    plain = snapshot_worker.SnapshotWorker.draw
    monkeypatch.setattr(snapshot_worker.SnapshotWorker, "draw", lambda *args: [time.sleep(0.1), plain(*args)][1])

    class Keeper(L.Callback):
        def __init__(self, logger: SnapshotLogger) -> None:
            self.logger, self.seen = logger, []

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
            if batch_idx % 25 == 10:
                self.logger.state_dict()
                drawn = [event.step for event in all_events(tmp_path) for v in event.summary.value if v.tag == "votes"]
                self.seen.append((int(pl_module.updates_done), drawn))

    keepers: list[Keeper] = []
    train(tmp_path, pictures=6, callbacks=[lambda logger: keepers.append(Keeper(logger)) or keepers[0]])
    schedule = [0, 1, *range(3, 301, 3)]
    pictured = [schedule[i] for i in np.linspace(0, len(schedule) - 1, 6).round().astype(int)]
    assert len(keepers[0].seen) == 4
    for done, drawn in keepers[0].seen:
        assert drawn == [update for update in pictured if update <= done]


def test_trouble_with_a_picture_ends_the_run(tmp_path, monkeypatch) -> None:
    def fails(*args) -> None:
        raise UserError("there is no font to draw with")

    monkeypatch.setattr(snapshot_worker.SnapshotWorker, "draw", fails)
    with pytest.raises(UserError, match="no font"):
        train(tmp_path)
