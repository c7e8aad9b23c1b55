"""The callback that takes snapshots of a run and has their losses, votes and elbows computed and recorded."""

import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.loggers.logger import DummyLogger
from numpy.typing import NDArray

from reluviz.console import say_once
from reluviz.core.findings import Finding
from reluviz.core.models import MODELS, Array, Parameters
from reluviz.core.run_facts import SettingNames
from reluviz.core.single_snapshot import Snapshot
from reluviz.core.snapshot import RawSnapshot, Snapshots
from reluviz.core.theory import linear
from reluviz.core.theory.baselines import ReferenceValues, reference_values
from reluviz.core.verdicts import MAX_THEORY_REPLICAS, find
from reluviz.data.datamodule import SegmentData
from reluviz.data.dataset import Dataset
from reluviz.data.schedules import UpdatesFrom
from reluviz.errors import Diverged, UserError
from reluviz.folder_lock import locked
from reluviz.models.module import RegressionModule
from reluviz.record import hparams, reader, tags
from reluviz.record.settings import flatten_settings
from reluviz.record.writer import RunWriter
from reluviz.training.divergence import advice
from reluviz.training.facts import run_facts
from reluviz.training.loss_history import LossHistory
from reluviz.training.other_loggers import OtherLoggers
from reluviz.training.snapshot_queue import SnapshotQueue
from reluviz.training.snapshot_worker import SnapshotOptions
from reluviz.training.vote_history import VoteHistory

NOTHING_IS_RECORDED = "SnapshotLogger: nothing is recorded, because the trainer has no logger"
OTHER_LIGHTNING = "pytorch_lightning"
"""A second package with the classes of lightning.pytorch; it does not accept subclasses of those."""


class SnapshotLogger(L.Callback):
    """Takes a snapshot before the first update and after every segment, and records it with the trainer's loggers.

    The first `TensorBoardLogger` gets everything, so that its folder can be opened as a run. Every other logger gets
    the scalars with `step` = number of updates, and the pictures if it has the method `log_image` of `WandbLogger`.

    Args:
        pictures: how many snapshots get the pictures fit and votes, spread evenly over the schedule's
            `picture_candidates` and including the first and the last; 0 for none. TensorBoard shows 10 pictures of a
            tag by default.
        histograms: whether to write histograms of elbows, slopes and votes.
        contributions: whether snapshots with a picture also get the matrix of all contributions.
        most_units: the largest number of units with scalars for each unit.
        settings: shown in the HParams tab and the text summary; the module's hyper-parameters by default.

    Attributes:
        not_diverged: which replicas have not diverged at the last computed snapshot, [R].
        loss: the training loss at that snapshot, [R]; None before the first.
        last_computed: that snapshot; None before the first.
        picture_seconds: processor time spent on pictures.
        reference: the reference values at the end of the run; None before.
        findings: what became of the run, by rank; empty before its end.
        setting_names: how the advice of findings writes settings.

    Raises:
        Diverged: during the fit, if the parameters or losses of a snapshot are not finite or exceed the bounds; the
            snapshot is recorded first.
        UserError: at the start of the fit, if another process is writing into the folder of the TensorBoardLogger.
    """

    def __init__(
        self,
        pictures: int = 10,
        histograms: bool = True,
        contributions: bool = False,
        most_units: int = 100,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.pictures = pictures
        self.histograms = histograms
        self.contributions = contributions
        self.most_units = most_units
        self.settings = settings
        self.history = VoteHistory()
        self._run_settings: Mapping[str, Any] = {}
        self._last_fit: tuple[weakref.ref[L.LightningModule], Dataset] | None = None
        self._restored = False
        self.loss_history = LossHistory()
        self._trail: dict[int, float] = {}
        self.reference: ReferenceValues | None = None
        self.findings: tuple[Finding, ...] = ()
        self.setting_names = SettingNames()
        self._initial_loss: Array | None = None
        self._initial_parameters: Parameters | None = None
        self._writer: RunWriter | None = None
        self._queue: SnapshotQueue | None = None
        self._finished = False
        self._divergence_advice = ""
        self._lock = ExitStack()

    @property
    def state_key(self) -> str:
        """The key of the callback's state in a checkpoint.

        Raises:
            UserError: if the trainer is one of pytorch_lightning. It would refuse the module with a message that does
                not name the reason, and before that it calls no method of a callback; but it reads this key.
        """
        if str(sys._getframe(1).f_globals.get("__name__")).partition(".")[0] == OTHER_LIGHTNING:
            raise UserError(
                f"{OTHER_LIGHTNING}.Trainer: cannot train reluviz's modules; use lightning.pytorch.Trainer"
                f" (import lightning.pytorch as pl, instead of import {OTHER_LIGHTNING} as pl)"
            )
        return super().state_key

    @property
    def latest(self) -> Snapshot | None:
        """The last snapshot taken, computed now if necessary; None before the first."""
        if self._queue is not None:
            self._queue.compute_pending()
        return self.last_computed

    @property
    def last_computed(self) -> Snapshot | None:  # noqa: D102
        found = None if self._queue is None else self._queue.latest
        return None if found is None else Snapshot(found)

    @property
    def loss(self) -> NDArray[np.float64] | None:  # noqa: D102
        return None if self._queue is None else self._queue.loss

    @property
    def not_diverged(self) -> NDArray[np.bool_] | None:  # noqa: D102
        return None if self._queue is None else self._queue.not_diverged

    @property
    def picture_seconds(self) -> float:  # noqa: D102
        return 0.0 if self._queue is None else self._queue.picture_seconds

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run cannot derive: how it began, and the histories of votes and losses."""
        if self._queue is not None:
            self._queue.finish()
            self._initial_loss = self._queue.initial_loss
        initial_loss = None if self._initial_loss is None else torch.from_numpy(self._initial_loss)
        start = self._initial_parameters or {}
        some = {name: torch.from_numpy(value[:MAX_THEORY_REPLICAS]) for name, value in start.items()}
        histories = {"history": self.history.state_dict(), "loss_history": self.loss_history.state_dict()}
        trail = {"updates": list(self._trail), "theta": list(self._trail.values())}
        return {"initial_loss": initial_loss, "initial_parameters": some, "trail": trail, **histories}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of an interrupted run."""
        initial_loss = state_dict["initial_loss"]
        self._initial_loss = None if initial_loss is None else initial_loss.numpy()
        self.history.load_state_dict(state_dict["history"])
        self._restored = True
        # versions up to 0.2.0 stored none of these
        trail = state_dict.get("trail", {"updates": [], "theta": []})
        self._trail = dict(zip(trail["updates"], trail["theta"], strict=True))
        if "loss_history" in state_dict:
            self.loss_history.load_state_dict(state_dict["loss_history"])
        if start := state_dict.get("initial_parameters"):
            self._initial_parameters = {name: value.numpy() for name, value in start.items()}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the data set and the settings, and take the snapshot before the next update."""
        module, data = _module_and_data(trainer, pl_module)
        self._forget_other_runs(module, data.dataset)
        done, candidates = int(module.updates_done), data.snapshots.picture_candidates(data.updates)
        dataset = replace(data.dataset, scaling=module.scaling)
        logger = _tensorboard_logger(trainer.loggers)
        if logger is not None:
            self._lock_folder(str(logger.log_dir))
        self._writer = None if logger is None else RunWriter(logger.experiment, module.model)
        others = [found for found in trainer.loggers if found is not logger and not isinstance(found, DummyLogger)]
        other_loggers = OtherLoggers(others) if others else None
        if logger is None and not others:
            say_once(NOTHING_IS_RECORDED)
        # a module that has been trained before may start another run, or continue the run of this folder
        continues = done > 0 and logger is not None and reader.is_run(Path(logger.log_dir))
        if not continues:
            candidates = UpdatesFrom(done, candidates)
        picture_updates: set[int] = set()
        if self.pictures and (self._writer is not None or (other_loggers is not None and other_loggers.take_pictures)):
            places = np.linspace(0, len(candidates) - 1, min(self.pictures, len(candidates))).round().astype(int)
            picture_updates = {candidates[i] for i in places.tolist()}
        settings = flatten_settings(dict(module.hparams)) if self.settings is None else self.settings
        self._run_settings = settings
        if self._writer is not None and not continues:
            test = dataset.x_test is not None
            self._writer.write_data(dataset, module.trained, module.seeds, settings)
            self._writer.write_layout(getattr(module, "width", 1), len(module.seeds), test)
            self._writer.write_session_start(settings, [tags.LOSS_TRAIN, *([tags.LOSS_TEST] if test else [])])
            self._writer.write_text(hparams.summary_markdown(settings, None), 0)
        options = SnapshotOptions(
            model=module.model,
            trained=module.trained,
            dataset=dataset,
            seed=module.seeds[0],
            dtype=str(next(module.parameters()).dtype).removeprefix("torch."),
            events=self._writer is not None or other_loggers is not None,
            histograms=self.histograms and self._writer is not None,
            most_units=self.most_units,
            picture_updates=frozenset(picture_updates),
            contributions=self.contributions and self._writer is not None,
            optimum=_optimum(module.model, dataset),
        )
        self._finished, self.findings, self._divergence_advice = False, (), ""
        # a resumed run repeats the snapshot of its checkpoint
        self.loss_history.drop_from(done)
        self._queue = SnapshotQueue(
            options, self._writer, self.history, self.loss_history, self._trail, self._initial_loss, other_loggers
        )
        self._take_snapshot(trainer, module)

    def _lock_folder(self, folder: str) -> None:
        """Keep other processes from writing into the run's folder until its end."""
        self._lock.close()
        # a logger may also write to an object store, which has no locks
        if "://" not in folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._lock.enter_context(locked(Path(folder)))

    def _forget_other_runs(self, module: RegressionModule, dataset: Dataset) -> None:
        """Forget the votes and losses of earlier fits, unless this one continues the last fit or a checkpoint."""
        last, done = self._last_fit, int(module.updates_done)
        continues = last is not None and last[0]() is module and _have_same_points(last[1], dataset)
        continues = continues and 0 < done >= max(self.history.updates, default=0)
        if self._restored:
            self._restored = False
        elif continues and self._queue is not None:
            self._initial_loss = self._queue.initial_loss
        else:
            self.history, self.loss_history, self._trail = VoteHistory(), LossHistory(), {}
            self._initial_loss = self._initial_parameters = None
        self._last_fit = weakref.ref(module), dataset

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the snapshot after a segment."""
        self._take_snapshot(trainer, _module_and_data(trainer, pl_module)[0])

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record all snapshots and the end of the run."""
        self._finish(*_module_and_data(trainer, pl_module))

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Record all snapshots of a run that was interrupted or has diverged, and its end."""
        self._finish(*_module_and_data(trainer, pl_module))

    def _take_snapshot(self, trainer: L.Trainer, module: RegressionModule) -> None:
        queue = self._queue
        assert queue is not None
        loss_batch = module.batch_loss.detach().to("cpu", torch.float64, copy=True)
        raw = RawSnapshot(int(module.updates_done), time.time(), module.parameter_copies(), loss_batch.numpy())
        if raw.update == 0:
            self._initial_parameters = raw.parameters
        known_not_diverged = queue.add(raw)
        if not known_not_diverged:
            self._raise_if_diverged(module, queue)

    def _raise_if_diverged(self, module: RegressionModule, queue: SnapshotQueue) -> None:
        """Compute the pending snapshots at once, and raise an error if a replica has diverged."""
        queue.compute_pending()
        snapshot, initial_loss = queue.first_diverged, queue.initial_loss
        assert initial_loss is not None
        if snapshot is not None and (divergence := snapshot.divergence(initial_loss)) is not None:
            replica, parameter = divergence
            where = f" (seed {module.seeds[replica]})" if len(module.seeds) > 1 else ""
            value = float(snapshot.loss_train[0, replica])
            hint = advice(module, snapshot.dataset, self._initial_parameters, snapshot.precision)
            self._divergence_advice = hint
            raise Diverged(
                f"diverged{where}: after update {snapshot.updates[0]:,} {parameter} has left every bound"
                f" ({tags.LOSS_TRAIN} {value:.3g}); {hint}"
            )

    def _finish(self, module: RegressionModule, data: SegmentData) -> None:
        """Record everything and end the threads; a second call does what an interruption left undone."""
        queue = self._queue
        if queue is None or self._finished:
            return
        try:
            if self.pictures:
                queue.draw_vote_history()
            queue.finish()
            if queue.latest is None or queue.not_diverged is None:
                return
            self._judge(queue.latest, queue.not_diverged, module, data)
            if self._writer is not None:
                text = hparams.summary_markdown(self._run_settings, queue.latest, self.findings)
                self._writer.write_text(text, queue.latest.updates[0])
                self._writer.write_findings(self.findings, queue.latest.updates[0])
                self._writer.write_session_end(self._run_settings)
                self._writer.flush()
            self._finished = True
        finally:
            try:
                queue.close()
            finally:
                self._lock.close()

    def _judge(
        self, last: Snapshots, not_diverged: NDArray[np.bool_], module: RegressionModule, data: SegmentData
    ) -> None:
        """Find out what became of the run."""
        parameters = {name: value[0] for name, value in last.parameters.items()}
        self.reference = reference_values(module.model, parameters, last.dataset, getattr(module, "ridge", None))
        facts = run_facts(
            module,
            data,
            self.loss_history,
            last,
            not_diverged,
            self.reference,
            self._initial_parameters,
            self._divergence_advice,
            self.setting_names,
        )
        self.findings = find(facts)


def _have_same_points(first: Dataset, second: Dataset) -> bool:
    """Return whether two data sets have the same training points."""
    return np.array_equal(first.x, second.x) and np.array_equal(first.y, second.y)


def _tensorboard_logger(loggers: Sequence[Logger]) -> Any:
    """Return the first TensorBoardLogger; None if there is none."""
    for logger in loggers:
        # that of pytorch_lightning is another class, and works as well
        if any(base.__name__ == TensorBoardLogger.__name__ for base in type(logger).__mro__):
            return logger
    return None


def _optimum(model: str, dataset: Dataset) -> float | None:
    """Return theta* of a model f = theta phi(x); None for other models, whose optimum is not unique."""
    feature = MODELS[model].feature
    return None if feature is None else float(linear.optimum(feature(dataset.x), dataset.y))


def _module_and_data(trainer: L.Trainer, pl_module: L.LightningModule) -> tuple[RegressionModule, SegmentData]:
    """Return the module and the data module.

    Raises:
        TypeError: if they are not reluviz's.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]
    if not isinstance(pl_module, RegressionModule) or data is None:
        raise TypeError("SnapshotLogger works with reluviz's modules and data modules: fit(ReLUModule(), SineData())")
    return pl_module, data
