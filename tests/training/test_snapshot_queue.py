"""Threads compute the snapshots during training: none is lost, none is late, and an error in a thread ends the run."""

import threading
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import lightning as L
import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event

from reluviz import PiecewiseLinearData, ReLUModule, SnapshotLogger
from reluviz.analysis import load_run
from reluviz.core.functions import mean_squared_error
from reluviz.core.models import MODELS
from reluviz.core.snapshot import RawSnapshot, compute_snapshots, largest_loss
from reluviz.data import piecewise_linear
from reluviz.data.schedules import EverySchedule
from reluviz.errors import UserError
from reluviz.models import ConstantModule, LinearModule
from reluviz.record import event_file
from reluviz.record.event_file import EVENT_FILE_PREFIX, EventFile
from reluviz.record.logger import RunLogger
from reluviz.training import snapshot_queue, snapshot_worker
from reluviz.training.callbacks import checkpoints
from reluviz.training.lightning_startup import quiet
from reluviz.training.loss_history import LossHistory
from reluviz.training.vote_history import VoteHistory

DATA = piecewise_linear()
MAX_Y = float(np.abs(DATA.y).max())
UNKNOWN = np.full(2, np.nan)
MODULES = {"constant": ConstantModule, "linear": LinearModule, "relu": lambda seeds: ReLUModule(width=5, seeds=seeds)}


@pytest.mark.parametrize("model", MODULES)
def test_a_snapshot_that_cannot_have_diverged_has_not(model: str) -> None:
    module = MODULES[model](seeds=[0, 1])
    initial = mean_squared_error(model, module.parameter_copies(), DATA.x, DATA.y)
    bound = largest_loss(initial, float(np.var(DATA.y)))
    largest = MODELS[model].largest_input(DATA.x)
    generator = np.random.default_rng(0)
    counts = {True: 0, False: 0}
    for power in np.linspace(-1, 4, 200):
        values = {
            name: value + 10**power * generator.normal(size=value.shape)
            for name, value in module.parameter_copies().items()
        }
        raw = RawSnapshot(1, 0.0, values, UNKNOWN)
        (snapshot,) = compute_snapshots(model, [raw], module.trained, DATA)
        certain = raw.cannot_have_diverged(model, largest, MAX_Y, bound)
        counts[certain] += 1
        assert not certain or snapshot.not_diverged(bound).all()
    # both answers occur
    assert min(counts.values()) > 20


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
def test_parameters_that_are_not_finite_may_have_diverged(value: float) -> None:
    for model, make in MODULES.items():
        for name in make(seeds=[0, 1]).values():
            values = values_of(make(seeds=[0, 1]))
            values[name].reshape(2, -1)[1, 0] = value
            raw = RawSnapshot(1, 0.0, values, np.zeros(2))
            largest = MODELS[model].largest_input(DATA.x)
            assert not raw.cannot_have_diverged(model, largest, MAX_Y, np.full(2, 1e6)), (model, name)


def values_of(module: ConstantModule | LinearModule | ReLUModule) -> dict[str, np.ndarray]:
    return module.parameter_copies()


def snapshot_options(module: ReLUModule) -> snapshot_worker.SnapshotOptions:
    """Return options that request everything but pictures."""
    return snapshot_worker.SnapshotOptions(
        model=module.model,
        trained=module.trained,
        dataset=DATA,
        seed=0,
        dtype="float32",
        events=True,
        histograms=True,
        most_units=100,
        picture_updates=frozenset(),
        contributions=False,
        optimum=None,
    )


class LatestReader(L.Callback):
    """Reads `SnapshotLogger.latest` at every `every`-th snapshot."""

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
def no_lightning_messages():
    with quiet():
        yield


def test_every_snapshot_is_recorded_when_several_are_computed_together(tmp_path, monkeypatch) -> None:
    together = []
    original = snapshot_worker.SnapshotWorker.compute
    monkeypatch.setattr(
        snapshot_worker.SnapshotWorker, "compute", lambda *args: [together.append(len(args[1])), original(*args)][1]
    )
    logger = train(tmp_path)
    wanted = [0, 1, *range(3, 301, 3)]
    assert load_run(tmp_path).updates.tolist() == wanted
    assert logger.latest.update == 300
    assert sum(together) == len(wanted)
    # the first snapshot does not wait, because the time of the second is unknown
    assert together[0] == 1
    assert max(together) >= snapshot_queue.SNAPSHOTS_TOGETHER


def test_latest_is_the_last_snapshot_taken_at_any_time(tmp_path) -> None:
    readers: list[LatestReader] = []

    def reader(logger: SnapshotLogger) -> LatestReader:
        readers.append(LatestReader(logger, 7))
        return readers[0]

    train(tmp_path, callbacks=[reader])
    assert len(readers[0].seen) > 10
    assert all(done == latest for done, latest in readers[0].seen)
    assert load_run(tmp_path).updates.tolist() == [0, 1, *range(3, 301, 3)]


def test_a_snapshot_is_recorded_at_once_if_the_next_one_is_expected_late(tmp_path) -> None:
    module = ReLUModule(width=3)
    recorded: list[int] = []

    class Writer:
        def write_events(self, events) -> None:
            recorded.extend(Event.FromString(event).step for event in events)

    queue = snapshot_queue.SnapshotQueue(snapshot_options(module), Writer(), VoteHistory(), LossHistory(), {})
    for update in range(3):
        queue.add(RawSnapshot(update, 0.0, values_of(module), np.zeros(1)))
        time.sleep(1.5 * snapshot_queue.MAX_DELAY_SECONDS)
        assert recorded == list(range(update + 1))
    queue.close()


def raw_snapshots(count: int, module: ReLUModule) -> list[RawSnapshot]:
    replicas = len(module.seeds)
    return [RawSnapshot(update, 0.0, values_of(module), np.zeros(replicas)) for update in range(count)]


@pytest.mark.parametrize(("width", "replicas"), [(20, 1), (20, 50), (3000, 2)])
def test_the_bytes_of_a_waiting_snapshot_are_those_that_it_takes(width: int, replicas: int) -> None:
    module = ReLUModule(width=width, seeds=range(replicas))
    tracemalloc.start()
    kept = raw_snapshots(100, module)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken == pytest.approx(sum(raw.nbytes for raw in kept), rel=0.3)


def test_the_bytes_of_results_are_those_that_they_take() -> None:
    for replicas in (1, 20):
        module = ReLUModule(width=20, seeds=range(replicas))
        options = replace(snapshot_options(module), contributions=True, picture_updates=frozenset(range(20)))
        raw = raw_snapshots(20, module)
        result = snapshot_worker.SnapshotWorker(options).compute(raw, [True] * 20, np.ones(replicas))
        taken = sum(map(len, result.events)) + result.norms.nbytes
        assert taken < 20 * snapshot_worker.result_bytes(options, raw[0]) < 3 * taken


def test_the_snapshots_that_wait_and_their_results_are_bounded_in_bytes(monkeypatch) -> None:
    module = ReLUModule(width=20)
    options = snapshot_options(module)
    (raw,) = raw_snapshots(1, module)
    assert snapshot_queue.MAX_PENDING_BYTES == 2**24
    # as in a long run, with fewer snapshots
    monkeypatch.setattr(snapshot_queue, "MAX_PENDING_BYTES", 100 * raw.nbytes)
    monkeypatch.setattr(snapshot_queue, "MAX_RESULT_BYTES", 7 * snapshot_worker.result_bytes(options, raw))
    original, together, computed = snapshot_worker.SnapshotWorker.compute, [], []

    def slow_compute(self, raw, *args):
        time.sleep(0.005)
        together.append(len(raw))
        computed.extend(raw)
        return original(self, raw, *args)

    monkeypatch.setattr(snapshot_worker.SnapshotWorker, "compute", slow_compute)
    queue = snapshot_queue.SnapshotQueue(options, None, VoteHistory(), LossHistory(), {})
    waiting = 0
    for added, raw in enumerate(raw_snapshots(1500, module), 1):
        queue.add(raw)
        waiting = max(waiting, added - len(computed))
    queue.close()
    # those that are being computed, and those that wait for them
    assert 101 < waiting <= 2 * 101
    assert max(together) == 7
    assert [raw.update for raw in computed] == list(range(1500))


@pytest.mark.long
def test_many_snapshots_are_worked_out_in_the_memory_of_a_few(monkeypatch) -> None:
    module = ReLUModule(width=20)
    worker, raw = snapshot_worker.SnapshotWorker(snapshot_options(module)), raw_snapshots(600, module)
    peaks = []
    for count in (60, 600):
        tracemalloc.start()
        result = worker.compute(raw[:count], [True] * count, np.ones(1))
        peaks.append(tracemalloc.get_traced_memory()[1] - sum(map(len, result.events)) - result.norms.nbytes)
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_the_history_of_votes_keeps_no_more_than_its_own_rows() -> None:
    history = VoteHistory()
    history.add(0, np.ones((100, 50), np.float32)[3])
    assert history.norms[0].base is None


def test_an_event_file_that_cannot_be_written_ends_the_run_in_one_line(tmp_path, monkeypatch) -> None:
    written = []
    original = EventFile.add_records

    def fail_when_full(self: EventFile, events) -> None:
        events = list(events)
        written.extend(events)
        if len(written) > 40:
            self.close()
            raise UserError(f"{self.path}: cannot be written to (No space left on device)")
        original(self, events)

    monkeypatch.setattr(EventFile, "add_records", fail_when_full)
    with pytest.raises(UserError, match="No space left on device"):
        train(tmp_path)


@pytest.mark.parametrize(("seconds", "wanted"), [(30, [1, 3, 7, 15, 31, 61, 91]), (3, [1, 3, 6, 9]), (0, range(10))])
def test_checkpoints_are_more_frequent_at_the_beginning(monkeypatch, seconds, wanted) -> None:
    now, saved = [100.0], []
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])
    callback = checkpoints.Checkpoints(seconds=seconds)

    def save(trainer, name: str) -> None:
        saved.append(now[0] - 100)
        callback._written = now[0]

    monkeypatch.setattr(callback, "_save", save)
    callback.on_train_start(None, None)
    for _ in range(120):
        callback.on_train_batch_end(None, None, None, None, 0)
        now[0] += 1
    assert saved[: len(wanted)] == list(wanted)


def test_a_second_event_file_sorts_after_the_first_even_within_a_second(tmp_path) -> None:
    # the file of an interrupted run, from a process with a greater process id
    (tmp_path / f"{EVENT_FILE_PREFIX}{int(time.time()) + 1:010d}.host.99999999.0000").touch()
    files = [EventFile(str(tmp_path)) for _ in range(3)]
    for file in files:
        file.close()
    names = [file.path.name for file in files]
    assert sorted(path.name for path in tmp_path.iterdir())[1:] == names


class RaiseAtEnd(L.Callback):
    """Raises an error when the training has ended."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_train_end(self, trainer, pl_module) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "raised"), [(OSError("disk full"), OSError), (KeyboardInterrupt(), SystemExit)], ids=["disk", "Ctrl-C"]
)
def test_an_error_after_the_end_of_training_is_raised_unchanged(tmp_path, error, raised) -> None:
    with pytest.raises(raised) as caught:
        train(tmp_path, callbacks=[lambda logger: RaiseAtEnd(error)])
    assert not isinstance(caught.value, RuntimeError)
    texts = [
        event for event in all_events(tmp_path) if any(value.tag.startswith("run") for value in event.summary.value)
    ]
    # the summary at the start, and one summary at the end
    assert [event.step for event in texts] == [0, 300]


def all_events(folder: Path) -> list[Event]:
    return [event for path in event_file.event_files(folder) for event in event_file.read_events(path)]


@pytest.mark.parametrize("work_name", ["draw_vote_history", "_draw"])
def test_an_interrupted_end_is_completed(tmp_path, monkeypatch, work_name) -> None:
    original_result = snapshot_queue.Future.result
    interrupted, drawings = [], []

    def result(self, timeout=None):
        # Ctrl-C arrives while the main thread waits for a picture
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and not interrupted and self in drawings:
            interrupted.append(self)
            raise KeyboardInterrupt
        return original_result(self, timeout)

    original_submit = snapshot_queue.SnapshotQueue._submit

    def submit(self, thread, work, *args):
        future = original_submit(self, thread, work, *args)
        if work.__name__ == work_name:
            drawings.append(future)
        return future

    monkeypatch.setattr(snapshot_queue.SnapshotQueue, "_submit", submit)
    monkeypatch.setattr(snapshot_queue.Future, "result", result)
    with pytest.raises(SystemExit):
        train(tmp_path)
    assert interrupted
    values = [(value.tag, event.step) for event in all_events(tmp_path) for value in event.summary.value]
    # a set, because the last picture may have been drawn twice
    pictures = {(tag, step) for tag, step in values if tag in ("fit", "votes", "votes/history")}
    assert sorted(pictures) == [("fit", 0), ("fit", 300), ("votes", 0), ("votes", 300), ("votes/history", 300)]
    assert load_run(tmp_path).updates.tolist() == [0, 1, *range(3, 301, 3)]


def test_a_checkpoint_waits_for_the_pictures_before_it(tmp_path, monkeypatch) -> None:
    original = snapshot_worker.SnapshotWorker.draw_pictures
    monkeypatch.setattr(
        snapshot_worker.SnapshotWorker, "draw_pictures", lambda *args: [time.sleep(0.1), original(*args)][1]
    )

    class StateReader(L.Callback):
        def __init__(self, logger: SnapshotLogger) -> None:
            self.logger, self.seen = logger, []

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
            if batch_idx % 25 == 10:
                self.logger.state_dict()
                events = all_events(tmp_path)
                drawn = [event.step for event in events for value in event.summary.value if value.tag == "votes"]
                self.seen.append((int(pl_module.updates_done), drawn))

    readers: list[StateReader] = []
    train(tmp_path, pictures=6, callbacks=[lambda logger: readers.append(StateReader(logger)) or readers[0]])
    schedule = [0, 1, *range(3, 301, 3)]
    with_pictures = [schedule[i] for i in np.linspace(0, len(schedule) - 1, 6).round().astype(int)]
    assert len(readers[0].seen) == 4
    for done, drawn in readers[0].seen:
        assert drawn == [update for update in with_pictures if update <= done]


def test_an_error_while_drawing_ends_the_run(tmp_path, monkeypatch) -> None:
    def fails(*args) -> None:
        raise UserError("there is no font to draw with")

    monkeypatch.setattr(snapshot_worker.SnapshotWorker, "draw_pictures", fails)
    with pytest.raises(UserError, match="no font"):
        train(tmp_path)
