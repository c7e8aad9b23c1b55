"""`SnapshotLogger` records with every logger of the trainer, and every folder of its event files can be opened."""

import csv
import inspect
import io
import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from PIL import Image

from reluviz import LinearModule, PiecewiseLinearData, ReLUModule, SineData, SnapshotLogger, UserError, console
from reluviz.analysis import load_run
from reluviz.data.schedules import EverySchedule
from reluviz.record import event_file, tags
from reluviz.record.logger import RunLogger
from reluviz.training import snapshot_queue, snapshot_worker
from reluviz.training.callbacks import snapshot_logger
from reluviz.training.lightning_startup import quiet

UPDATES = [0, 1, *range(3, 61, 3)]
Rows = dict[int, dict[str, float]]
"""Update -> tag -> value."""


@pytest.fixture(autouse=True)
def no_lightning_messages():
    with quiet():
        yield


def trainer(loggers: Any, pictures: int = 0, callbacks: Sequence[L.Callback] = (), **arguments: Any) -> L.Trainer:
    silent = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    options = {"accelerator": "cpu", "max_epochs": 1, "log_every_n_steps": 0} | silent | arguments
    return L.Trainer(logger=loggers, callbacks=[SnapshotLogger(pictures), *callbacks], **options)


def data(updates: int = 60) -> PiecewiseLinearData:
    return PiecewiseLinearData(updates=updates, snapshots=EverySchedule(every=3))


def network(**settings: Any) -> ReLUModule:
    return ReLUModule(**{"width": 3, "seeds": [0], **settings})


def tensorboard_rows(folder: Path) -> Rows:
    """Return the scalars of the event files, without the one that Lightning writes."""
    rows: Rows = {}
    for path in event_file.event_files(folder):
        for event in event_file.read_events(path):
            for value in event.summary.value:
                if value.HasField("simple_value") and value.tag != "hp_metric":
                    rows.setdefault(event.step, {})[value.tag] = value.simple_value
    return rows


def csv_rows(folder: Path) -> Rows:
    """Return the scalars in metrics.csv; each update must have exactly one row."""
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    rows = {
        int(row["step"]): {tag: float(text) for tag, text in row.items() if tag != "step" and text != ""}
        for row in read
    }
    assert len(rows) == len(read)
    return rows


def tags_of_width_3() -> set[str]:
    units = {f"{kind}/{k:02d}" for kind in (tags.ELBOW, tags.INPUT_SLOPE, tags.SLOPE_JUMP) for k in range(3)}
    counts = {tags.count_tag(status) for status in ("dead", "linear", "bent")}
    return {*units, *counts, tags.LOSS_TRAIN, tags.LOSS_TEST, tags.GRAD_NORM, tags.NOISE_SCALE, tags.VOTES_EFFECTIVE}


class Recorder(Logger):
    """Keeps every call, as (method, step, content, whether the training thread made it)."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, int, Any, bool]] = []
        self.saved = 0

    name = "recorder"
    version = 0

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._keep("metrics", step, metrics)

    def save(self) -> None:
        self.saved += 1

    def rows(self) -> Rows:
        return {step: content for method, step, content, _ in self.calls if method == "metrics"}

    def _keep(self, method: str, step: int | None, content: Any) -> None:
        assert step is not None
        self.calls.append((method, step, content, threading.current_thread() is threading.main_thread()))


class PictureRecorder(Recorder):
    """Has a `log_image` with the arguments of `WandbLogger.log_image`."""

    def log_image(self, key: str, images: list[Any], step: int | None = None) -> None:
        (image,) = images
        self._keep(key, step, image)


class InterruptAt(L.Callback):
    def __init__(self, update: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.update, self.error = update, error

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if int(pl_module.updates_done) == self.update:
            raise self.error


def test_a_csv_logger_alone_holds_every_scalar_of_every_snapshot(tmp_path) -> None:
    trainer(RunLogger(str(tmp_path / "tensorboard"))).fit(network(), data())
    trainer(CSVLogger(str(tmp_path), "csv", "")).fit(network(), data())
    found = csv_rows(tmp_path / "csv")
    assert list(found) == UPDATES
    assert found == tensorboard_rows(tmp_path / "tensorboard")
    assert set(found[0]) == tags_of_width_3()
    assert {frozenset(found[update]) for update in UPDATES[1:]} == {frozenset({*tags_of_width_3(), tags.LOSS_BATCH})}


def test_csv_rows_hold_scalars_that_only_some_snapshots_have(tmp_path) -> None:
    class Flatten(L.Callback):
        """Sets an input slope to 0 for one segment: the unit has no elbow then."""

        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
            if batch_idx in (1, 10):
                for name in ("input_slope", "output_weight"):
                    getattr(pl_module, name).data[0, 1] = 0.0
            if batch_idx in (2, 11):
                pl_module.input_slope.data[0, 1] = 1.0

    loggers = [RunLogger(str(tmp_path / "tensorboard")), CSVLogger(str(tmp_path), "csv", "")]
    trainer(loggers, callbacks=[Flatten()]).fit(network(train="output"), data())
    found = csv_rows(tmp_path / "csv")
    assert found == tensorboard_rows(tmp_path / "tensorboard")
    without = [update for update, row in found.items() if "elbow/01" not in row]
    assert without == [3, 30]
    assert "elbow/00" in found[3]


def test_a_csv_logger_holds_the_quartiles_of_replicas_and_the_optimum(tmp_path) -> None:
    trainer(CSVLogger(str(tmp_path), "relu", "")).fit(network(seeds=[0, 1, 2]), data())
    trainer(CSVLogger(str(tmp_path), "linear", "")).fit(LinearModule(seeds=[0]), data())
    assert {f"{tags.LOSS_TRAIN}/{q}" for q in tags.QUARTILES} <= set(csv_rows(tmp_path / "relu")[60])
    points = data().dataset
    optimum = float(points.x @ points.y / (points.x @ points.x))
    assert csv_rows(tmp_path / "linear")[60][tags.THETA_OPTIMUM] == pytest.approx(optimum, rel=1e-6)


def test_several_loggers_at_once_get_the_same_scalars(tmp_path) -> None:
    recorder = Recorder()
    loggers = [CSVLogger(str(tmp_path), "csv", ""), RunLogger(str(tmp_path / "tensorboard")), recorder]
    trainer([*loggers, TensorBoardLogger(str(tmp_path), "second", "")], pictures=2).fit(network(), data())
    found = tensorboard_rows(tmp_path / "tensorboard")
    assert list(found) == UPDATES
    assert csv_rows(tmp_path / "csv") == found
    assert recorder.rows() == found
    assert tensorboard_rows(tmp_path / "second") == found
    assert load_run(tmp_path / "tensorboard").updates.tolist() == UPDATES


def test_another_logger_changes_nothing_of_the_record(tmp_path) -> None:
    def values(folder: Path) -> list[bytes]:
        read = [event for path in event_file.event_files(folder) for event in event_file.read_events(path)]
        summaries = [event.summary for event in read if event.summary.value]
        first = [summary for summary in summaries if not summary.value[0].tag.startswith("_hparams_")]
        return sorted(summary.SerializeToString() for summary in first)

    trainer(RunLogger(str(tmp_path / "alone")), pictures=3).fit(network(), data())
    trainer([RunLogger(str(tmp_path / "both")), PictureRecorder()], pictures=3).fit(network(), data())
    assert len(values(tmp_path / "alone")) > len(UPDATES)
    assert values(tmp_path / "alone") == values(tmp_path / "both")


def test_calls_come_from_the_training_thread_in_order_of_updates(tmp_path) -> None:
    recorder = PictureRecorder()
    trainer(recorder, pictures=3).fit(network(), data())
    assert all(in_main_thread for *_, in_main_thread in recorder.calls)
    steps = [step for _, step, _, _ in recorder.calls]
    assert steps == sorted(steps)
    assert list(recorder.rows()) == UPDATES
    # CSVLogger and its like keep values in memory until then
    assert recorder.saved > 0


def test_a_logger_with_log_image_gets_the_pictures(tmp_path) -> None:
    recorder, plain = PictureRecorder(), Recorder()
    trainer([recorder, plain, RunLogger(str(tmp_path))], pictures=3).fit(network(), data())
    with_pictures = [UPDATES[i] for i in np.linspace(0, len(UPDATES) - 1, 3).round().astype(int)]
    wanted = [(tag, update) for update in with_pictures for tag in (tags.FIT, tags.VOTES)]
    wanted.append((tags.VOTES_HISTORY, 60))
    pictures = {(tag, update): image for tag, update, image, _ in recorder.calls if tag != "metrics"}
    assert list(pictures) == wanted
    assert {method for method, *_ in plain.calls} == {"metrics"}
    in_events = {
        (value.tag, event.step): Image.open(io.BytesIO(value.image.encoded_image_string))
        for path in event_file.event_files(tmp_path)
        for event in event_file.read_events(path)
        for value in event.summary.value
        if value.HasField("image")
    }
    assert set(in_events) == set(wanted)
    for key, image in pictures.items():
        assert np.array_equal(np.asarray(image), np.asarray(in_events[key])), key


class OtherPictures(Recorder):
    """Has a `log_image` of its own kind."""

    def log_image(self, name: str, file: str) -> None:
        raise AssertionError


@pytest.mark.parametrize("make", [CSVLogger, lambda folder: OtherPictures()], ids=["csv", "own"])
def test_no_picture_is_drawn_for_loggers_that_take_none(tmp_path, monkeypatch, make) -> None:
    drawn: list[int] = []
    for name in ("draw_pictures", "draw_vote_history"):
        monkeypatch.setattr(snapshot_worker.SnapshotWorker, name, lambda *args: drawn.append(1))
    trainer(make(str(tmp_path)), pictures=5).fit(network(), data())
    assert drawn == []


def test_a_run_with_tensorboard_only_does_no_work_for_other_loggers(tmp_path, monkeypatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(snapshot_queue, "event_scalars", refuse)
    monkeypatch.setattr(snapshot_logger, "OtherLoggers", refuse)
    trainer(RunLogger(str(tmp_path)), pictures=2).fit(network(), data())
    assert load_run(tmp_path).updates.tolist() == UPDATES


def test_nothing_is_lost_when_the_run_is_interrupted(tmp_path) -> None:
    recorder = PictureRecorder()
    loggers = [CSVLogger(str(tmp_path), "csv", ""), RunLogger(str(tmp_path / "tensorboard")), recorder]
    with pytest.raises(SystemExit):
        trainer(loggers, pictures=2, callbacks=[InterruptAt(30)]).fit(network(), data())
    wanted = [update for update in UPDATES if update <= 30]
    assert list(csv_rows(tmp_path / "csv")) == wanted
    assert csv_rows(tmp_path / "csv") == tensorboard_rows(tmp_path / "tensorboard") == recorder.rows()
    assert (tags.VOTES_HISTORY, 30) in [(method, step) for method, step, *_ in recorder.calls]


def test_rows_are_on_disk_while_the_run_goes_on(tmp_path) -> None:
    seen: list[tuple[int, list[int]]] = []

    class Checkpoint(L.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
            if batch_idx % 5 == 4:
                trainer.save_checkpoint(tmp_path / "some.ckpt")
                seen.append((int(pl_module.updates_done), list(csv_rows(tmp_path / "csv"))))

    trainer(CSVLogger(str(tmp_path), "csv", ""), callbacks=[Checkpoint()]).fit(network(), data())
    assert [update for update, _ in seen] == [12, 27, 42, 57]
    for update, rows in seen:
        # a run resumed from the checkpoint does not write these rows again
        assert rows == [one for one in UPDATES if one <= update]


def test_an_error_of_a_logger_ends_the_run(tmp_path) -> None:
    class Full(Recorder):
        def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
            if step == 3:
                raise OSError("disk full")
            super().log_metrics(metrics, step)

    recorder = Full()
    with pytest.raises(OSError, match="disk full"):
        trainer(recorder).fit(network(), data())
    assert list(recorder.rows()) == [0, 1]


def test_one_line_says_once_that_nothing_is_recorded(capfd) -> None:
    console.say_once.cache_clear()
    for _ in range(2):
        fitted = trainer(False)
        fitted.fit(network(), data())
        assert fitted.callbacks[0].latest.update == 60
    said = [line for line in capfd.readouterr().err.splitlines() if "SnapshotLogger" in line]
    assert said == ["SnapshotLogger: nothing is recorded, because the trainer has no logger"]


def test_a_trial_run_of_lightning_records_nothing_and_says_it(tmp_path, capfd) -> None:
    console.say_once.cache_clear()
    trainer(CSVLogger(str(tmp_path)), pictures=2, fast_dev_run=True).fit(network(), data())
    assert "nothing is recorded" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_logger_that_records_is_not_said_to_record_nothing(tmp_path, capfd) -> None:
    console.say_once.cache_clear()
    trainer(CSVLogger(str(tmp_path))).fit(network(), data())
    trainer(RunLogger(str(tmp_path / "tensorboard"))).fit(network(), data())
    assert "nothing is recorded" not in capfd.readouterr().err


def recorded_data(folder: Path) -> int:
    """Return how many data records the event files have."""
    read = [event for path in event_file.event_files(folder) for event in event_file.read_events(path)]
    return sum(value.tag == tags.DATA for event in read for value in event.summary.value)


def test_a_run_that_starts_from_a_trained_module_can_be_opened(tmp_path) -> None:
    module, folders = network(), []
    for updates in (30, 60):
        fitted = trainer(TensorBoardLogger(str(tmp_path), "again"), pictures=3)
        fitted.fit(module, data(updates))
        folders.append(Path(fitted.log_dir))
    assert [folder.name for folder in folders] == ["version_0", "version_1"]
    assert [recorded_data(folder) for folder in folders] == [1, 1]
    first, second = map(load_run, folders)
    assert first.updates.tolist() == [update for update in UPDATES if update <= 30]
    assert second.updates.tolist() == [update for update in UPDATES if update >= 30]
    assert np.array_equal(second.data.x, data().dataset.x)
    assert first.loss("train")[-1] == second.loss("train")[0]
    assert second.loss("train")[-1] < second.loss("train")[0]
    # the pictures are spread over what is trained now
    events = [event for path in event_file.event_files(folders[1]) for event in event_file.read_events(path)]
    assert [event.step for event in events for value in event.summary.value if value.tag == tags.FIT] == [30, 45, 60]


def test_a_run_that_lightning_resumes_into_a_new_version_can_be_opened(tmp_path) -> None:
    class Save(L.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
            if int(pl_module.updates_done) == 27:
                trainer.save_checkpoint(tmp_path / "some.ckpt")

    whole = trainer(TensorBoardLogger(str(tmp_path), "runs"), callbacks=[Save()])
    whole.fit(network(), data())
    resumed = trainer(TensorBoardLogger(str(tmp_path), "runs"))
    resumed.fit(network(), data(), ckpt_path=tmp_path / "some.ckpt", weights_only=True)
    assert Path(resumed.log_dir).name == "version_1"
    assert recorded_data(Path(resumed.log_dir)) == 1
    first, second = load_run(whole.log_dir), load_run(resumed.log_dir)
    assert second.updates.tolist() == [update for update in UPDATES if update >= 27]
    assert np.array_equal(first.loss("train")[-len(second.updates) :], second.loss("train"))


def test_the_data_record_is_written_once_in_a_folder_that_a_module_continues(tmp_path) -> None:
    module = network()
    for updates in (30, 60):
        trainer(TensorBoardLogger(str(tmp_path), "", "")).fit(module, data(updates))
    assert recorded_data(tmp_path) == 1
    assert load_run(tmp_path).updates.tolist() == UPDATES


def test_a_new_module_begins_another_run_in_the_same_folder(tmp_path) -> None:
    trainer(TensorBoardLogger(str(tmp_path), "", "")).fit(network(), data())
    sine = SineData(updates=30, snapshots=EverySchedule(every=3))
    trainer(TensorBoardLogger(str(tmp_path), "", "")).fit(network(width=4), sine)
    run = load_run(tmp_path)
    assert run.updates.tolist() == [update for update in UPDATES if update <= 30]
    assert np.array_equal(run.data.y, sine.dataset.y)


def fit_again(logger: SnapshotLogger, module: L.LightningModule, points: Any, folder: Path, **arguments: Any) -> Path:
    silent = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    options = {"accelerator": "cpu", "max_epochs": 1, "log_every_n_steps": 0} | silent
    loggers = TensorBoardLogger(str(folder), "", "")
    L.Trainer(logger=loggers, callbacks=[logger], **options).fit(module, points, **arguments)
    return folder


def votes_of(logger: SnapshotLogger) -> tuple[list[int], np.ndarray]:
    return logger.history.updates, np.array(logger.history.norms)


def test_a_logger_that_is_used_again_forgets_the_module_before(tmp_path) -> None:
    again, once = SnapshotLogger(pictures=2), SnapshotLogger(pictures=2)
    fit_again(again, LinearModule(seeds=[3]), data(90), tmp_path / "first")
    folder = fit_again(again, network(width=4), data(60), tmp_path / "again")
    wanted = fit_again(once, network(width=4), data(60), tmp_path / "once")
    assert votes_of(again)[0] == UPDATES
    assert np.array_equal(votes_of(again)[1], votes_of(once)[1])
    # settings, limits of divergence, pictures: all that is recorded is that of a new logger
    assert again.settings is None
    assert load_run(folder).settings == load_run(wanted).settings
    assert load_run(folder).settings["width"] == 4
    assert again._queue is not None
    assert once._queue is not None
    assert np.array_equal(again._queue.initial_loss, once._queue.initial_loss)
    assert recorded_pictures(folder) == recorded_pictures(wanted)


def recorded_pictures(folder: Path) -> dict[tuple[str, int], bytes]:
    return {
        (value.tag, event.step): value.image.encoded_image_string
        for path in event_file.event_files(folder)
        for event in event_file.read_events(path)
        for value in event.summary.value
        if value.HasField("image")
    }


def test_a_logger_that_is_used_again_forgets_other_points(tmp_path) -> None:
    module, logger = network(), SnapshotLogger(pictures=0)
    fit_again(logger, module, data(30), tmp_path / "first")
    sine = SineData(n=50, updates=60, snapshots=EverySchedule(every=3))
    fit_again(logger, module, sine, tmp_path / "second")
    assert logger.history.updates == [update for update in UPDATES if update >= 30]
    assert {len(norms) for norms in logger.history.norms} == {50}


def test_a_logger_that_is_used_again_continues_the_same_module(tmp_path) -> None:
    module, parts, whole = network(), SnapshotLogger(pictures=0), SnapshotLogger(pictures=0)
    for updates in (30, 60):
        fit_again(parts, module, data(updates), tmp_path / "parts")
    fit_again(whole, network(), data(60), tmp_path / "whole")
    assert votes_of(parts)[0] == votes_of(whole)[0] == UPDATES
    assert np.array_equal(votes_of(parts)[1], votes_of(whole)[1])
    assert parts._queue is not None
    assert whole._queue is not None
    assert np.array_equal(parts._queue.initial_loss, whole._queue.initial_loss)


def test_a_logger_that_is_used_again_continues_a_checkpoint(tmp_path) -> None:
    class Save(L.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
            if int(pl_module.updates_done) == 27:
                trainer.save_checkpoint(tmp_path / "some.ckpt")

    trainer(TensorBoardLogger(str(tmp_path / "whole"), "", ""), callbacks=[Save()]).fit(network(), data())
    logger = SnapshotLogger(pictures=0)
    fit_again(logger, network(width=4), data(90), tmp_path / "other")
    fit_again(logger, network(), data(), tmp_path / "resumed", ckpt_path=tmp_path / "some.ckpt", weights_only=True)
    assert logger.history.updates == UPDATES


REPLICAS = list(range(10))


@pytest.mark.parametrize("seeds", [[0], REPLICAS], ids=["one", "ten"])
def test_a_csv_logger_of_a_resumed_run_holds_every_scalar_of_every_snapshot(tmp_path, seeds) -> None:
    trainer(RunLogger(str(tmp_path / "whole"))).fit(network(seeds=seeds), data())
    first = trainer(CSVLogger(str(tmp_path), "csv", 0), callbacks=[SaveAndStop(27, tmp_path / "some.ckpt")])
    with pytest.raises(SystemExit):
        first.fit(network(seeds=seeds), data())
    loggers = [CSVLogger(str(tmp_path), "csv", 1), RunLogger(str(tmp_path / "resumed"))]
    trainer(loggers).fit(network(seeds=seeds), data(), ckpt_path=tmp_path / "some.ckpt", weights_only=True)
    parts = [csv_rows(tmp_path / "csv" / f"version_{version}") for version in (0, 1)]
    wanted = tensorboard_rows(tmp_path / "whole")
    assert [list(part) for part in parts] == [
        [update for update in UPDATES if update <= 27],
        [update for update in UPDATES if update >= 27],
    ]
    assert parts[0] | parts[1] == wanted
    assert parts[1] == tensorboard_rows(tmp_path / "resumed")


class SaveAndStop(L.Callback):
    def __init__(self, update: int, path: Path) -> None:
        self.update, self.path = update, path

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if int(pl_module.updates_done) == self.update:
            trainer.save_checkpoint(self.path)
            raise KeyboardInterrupt


def test_a_csv_logger_holds_every_scalar_of_ten_replicas(tmp_path) -> None:
    loggers = [RunLogger(str(tmp_path / "tensorboard")), CSVLogger(str(tmp_path), "csv", "")]
    trainer(loggers).fit(network(seeds=REPLICAS), data())
    found = csv_rows(tmp_path / "csv")
    assert list(found) == UPDATES
    assert found == tensorboard_rows(tmp_path / "tensorboard")
    run = load_run(tmp_path / "tensorboard")
    for quantile, end in ((0.25, "/q25"), (0.5, ""), (0.75, "/q75")):
        for which in ("train", "test"):
            wanted = np.quantile(run.loss(which), quantile, axis=1)
            logged = [found[update][f"loss/{which}{end}"] for update in UPDATES]
            np.testing.assert_allclose(logged, wanted, rtol=1e-6)


@pytest.mark.filterwarnings("default")
def test_a_trainer_of_pytorch_lightning_is_refused_in_one_line() -> None:
    other = pytest.importorskip("pytorch_lightning")
    with pytest.raises(UserError) as caught:
        other.Trainer(accelerator="cpu", callbacks=[SnapshotLogger()], logger=False, enable_progress_bar=False)
    assert str(caught.value) == (
        "pytorch_lightning.Trainer: cannot train reluviz's modules; use lightning.pytorch.Trainer"
        " (import lightning.pytorch as pl, instead of import pytorch_lightning as pl)"
    )


@pytest.mark.filterwarnings("default")
def test_the_tensorboard_logger_of_pytorch_lightning_records_a_run(tmp_path) -> None:
    other = pytest.importorskip("pytorch_lightning")
    trainer(other.loggers.TensorBoardLogger(str(tmp_path), "", "")).fit(network(), data())
    assert load_run(tmp_path).updates.tolist() == UPDATES


def test_a_checkpoint_keeps_the_callbacks_state_under_its_name() -> None:
    assert SnapshotLogger().state_key == "SnapshotLogger"


WITH_WANDB = """
import json, sys
import lightning as L
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from reluviz import PiecewiseLinearData, ReLUModule, SnapshotLogger
from reluviz.data.schedules import EverySchedule

_, which, seeds, checkpoint = sys.argv
loggers = [WandbLogger(offline=True, save_dir="."), *([CSVLogger(".", "csv", "")] if which == "both" else [])]
trainer = L.Trainer(accelerator="cpu", max_epochs=1, callbacks=[SnapshotLogger(pictures=2)], logger=loggers)
data = PiecewiseLinearData(updates=60, snapshots=EverySchedule(every=3))
trainer.fit(ReLUModule(width=3, seeds=json.loads(seeds)), data, ckpt_path=checkpoint or None, weights_only=True)
"""


def wandb_history(path: Path) -> list[dict[str, Any]]:
    """Return the entries that a run of wandb has in its file.

    The file has seven bytes of its own, and then the records of a LevelDB log: in blocks of 32 kB, parts with a
    checksum (4 bytes), a length (2) and a type (1): whole, first, middle or last.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, part, found = path.read_bytes(), 7, b"", []
    while at + 7 <= len(content):
        if (left := 2**15 - at % 2**15) < 7:
            at += left
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        part += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            record = Record.FromString(part)
            part = b""
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                found.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
    return found


@pytest.mark.long
@pytest.mark.parametrize(
    ("which", "seeds", "start"), [("alone", [0], 0), ("both", [0], 0), ("both", REPLICAS, 0), ("both", REPLICAS, 27)]
)
def test_wandb_offline_holds_every_scalar_and_picture(tmp_path, which, seeds, start) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    checkpoint = tmp_path / "some.ckpt"
    trainer(RunLogger(str(tmp_path / "tensorboard"))).fit(network(seeds=seeds), data())
    if start:
        with pytest.raises(SystemExit):
            trainer(False, callbacks=[SaveAndStop(start, checkpoint)]).fit(network(seeds=seeds), data())
    environment = os.environ | {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONFIG_DIR": str(tmp_path)}
    command = [sys.executable, "-c", WITH_WANDB, which, json.dumps(seeds), str(checkpoint) if start else ""]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=120)
    (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    wanted = {update: row for update, row in tensorboard_rows(tmp_path / "tensorboard").items() if update >= start}
    every_tag = set().union(*wanted.values())
    rows: Rows = {}
    pictures = []
    for entry in wandb_history(path):
        update = entry["trainer/global_step"]
        rows.setdefault(update, {}).update({tag: value for tag, value in entry.items() if tag in every_tag})
        pictures += [(tag, update) for tag in (tags.FIT, tags.VOTES, tags.VOTES_HISTORY) if f"{tag}/filenames" in entry]
    assert rows == wanted
    both = [(tag, update) for update in (start, 60) for tag in (tags.FIT, tags.VOTES)]
    assert pictures == [*both, (tags.VOTES_HISTORY, 60)]
    assert len(list(path.parent.glob("files/media/images/**/*.png"))) == 5
    if which == "both":
        assert csv_rows(tmp_path / "csv") == wanted


def test_the_pictures_are_passed_as_the_logger_of_wandb_takes_them() -> None:
    for taker in (WandbLogger, PictureRecorder):
        assert list(inspect.signature(taker.log_image).parameters)[:4] == ["self", "key", "images", "step"]
