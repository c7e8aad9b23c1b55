"""Trains one run in its folder, from the start or from a checkpoint."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import lightning as L
import torch

from reluviz.errors import Diverged
from reluviz.files import CHECKPOINTS_FOLDER, METRICS_FILE, write_json
from reluviz.folder_lock import locked
from reluviz.record.settings import flatten_settings
from reluviz.training.callbacks import SnapshotLogger
from reluviz.training.checkpoint_file import read_checkpoint
from reluviz.training.instantiate import build
from reluviz.training.lightning_startup import quiet
from reluviz.training.metrics import run_metrics
from reluviz.training.outcome import Outcome
from reluviz.training.prepare import Prepared, make_trainer

MIN_ACTIVATIONS_FOR_THREADS = 2**20
"""The number of hidden activations of a minibatch from which torch's threads help. Below it, the threads spend up to
fifty times the time of the work waiting for each other."""


def train(prepared: Prepared, folder: Path, checkpoint: Path | None = None, started: float | None = None) -> Outcome:
    """Train a prepared run in its folder, from the start or from a checkpoint.

    Args:
        prepared: the run.
        folder: the run's folder, which exists.
        checkpoint: the checkpoint to resume from; None to start anew.
        started: the time, as `time.perf_counter` counts, from which the results' `seconds.total` is measured: when the
            command started; now by default, as for the jobs of a sweep.

    Raises:
        UserError: if another process is writing into the folder, or if the folder or something that the run wrote
            there is removed or replaced meanwhile.
    """
    started = time.perf_counter() if started is None else started
    threads = torch.get_num_threads()
    points = len(prepared.module.seeds) * prepared.data.sampler.batch(len(prepared.dataset.x))
    activations = points * getattr(prepared.module, "width", 1)
    # the fused engine has its own threads and leaves torch little to do
    if prepared.engine == "fused" or activations < MIN_ACTIVATIONS_FOR_THREADS:
        torch.set_num_threads(1)

    def updates_are_made() -> bool:
        return int(prepared.module.updates_done) >= prepared.data.updates

    try:
        with locked(folder), _interrupts_ignored_if(updates_are_made):
            return _train(prepared, folder, checkpoint, started)
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _interrupts_ignored_if(complete: Callable[[], bool]) -> Iterator[None]:
    """Ignore Ctrl-C within this context once a function returns True: what is left of the run takes a moment."""
    if threading.current_thread() is not threading.main_thread() or (
        # a process in the background ignores it anyway
        signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        if not complete():
            signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _train(prepared: Prepared, folder: Path, checkpoint: Path | None, started: float) -> Outcome:
    settings, data, module = prepared.settings, prepared.data, prepared.module
    updates, steps = (0, 0) if checkpoint is None else _position(checkpoint)
    callbacks = [
        build(
            node,
            f"callbacks.{name}",
            **({"folder": str(folder / CHECKPOINTS_FOLDER)} if name == "checkpoints" else {}),
        )
        for name, node in settings["callbacks"].items()
    ]
    snapshot_logger = next(cb for cb in callbacks if isinstance(cb, SnapshotLogger))
    hidden = ("callbacks", "logger", "trainer", "ckpt_path", "sweep")
    snapshot_logger.settings = flatten_settings({key: value for key, value in settings.items() if key not in hidden})
    snapshot_logger.setting_names = prepared.setting_names
    logger = False
    if (node := settings.get("logger")) is not None:
        # TensorBoard discards what an interrupted run wrote at or after this update, since it is written again. A new
        # run needs the mark too, since TensorBoard takes the first such mark for the start of the run
        logger = build(node, "logger", folder=str(folder), purge_step=updates)
    left = len(data.remaining(updates))
    # the settings of the command line are checked, and this run sets the number of steps itself
    data.says_limits = False
    if not left:
        callbacks.append(RecordEnd(snapshot_logger))
    with quiet():
        trainer = make_trainer(
            settings["trainer"],
            max_steps=steps + left,
            logger=logger,
            callbacks=callbacks,
            enable_progress_bar=any(isinstance(cb, L.pytorch.callbacks.ProgressBar) for cb in callbacks),
        )
        status, message = "finished", ""
        fit_started = time.perf_counter()
        try:
            # weights_only, because a checkpoint may come from an untrusted source
            trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
        except Diverged as error:
            status, message = "diverged", str(error)
        except SystemExit:
            # Lightning raises it on Ctrl-C and SIGTERM
            if int(module.updates_done) < data.updates:
                status = "terminated" if trainer.received_sigterm else "interrupted"
        fit = time.perf_counter() - fit_started
    last, reference = snapshot_logger.latest, snapshot_logger.reference
    if last is None or snapshot_logger.not_diverged is None or reference is None:
        raise KeyboardInterrupt
    seconds = {
        "fit": fit,
        "engine": module.engine_seconds,
        "pictures": snapshot_logger.picture_seconds,
        "total": time.perf_counter() - started,
    }
    findings = snapshot_logger.findings
    results = run_metrics(prepared, last.stacked, snapshot_logger.not_diverged, reference, findings, status, seconds)
    write_json(folder / METRICS_FILE, results)
    return Outcome(status, folder, results, message)


class RecordEnd(L.Callback):
    """Records the end of a run whose updates were all made before, in which Lightning starts no training."""

    def __init__(self, snapshot_logger: SnapshotLogger) -> None:
        self.snapshot_logger = snapshot_logger

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record the last snapshot again, with its pictures, and what became of the run."""
        self.snapshot_logger.on_train_start(trainer, pl_module)
        self.snapshot_logger.on_train_end(trainer, pl_module)


def _position(checkpoint: Path) -> tuple[int, int]:
    """Return the number of updates, and of Lightning's steps, made before a checkpoint."""
    loaded = read_checkpoint(checkpoint)
    return int(loaded["state_dict"]["updates_done"]), int(loaded["global_step"])
