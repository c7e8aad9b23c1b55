"""Trains one run in its folder, from the start or from a checkpoint."""

import time
from pathlib import Path

import lightning as L
import torch

from reluviz.errors import Diverged
from reluviz.files import CHECKPOINTS_FOLDER, METRICS_FILE, write_json
from reluviz.record.settings import flatten_settings
from reluviz.training.callbacks import SnapshotLogger
from reluviz.training.instantiate import build
from reluviz.training.lightning_startup import quiet
from reluviz.training.metrics import run_metrics
from reluviz.training.outcome import Outcome
from reluviz.training.prepare import Prepared, make_trainer

MIN_ACTIVATIONS_FOR_THREADS = 2**20
"""The number of hidden activations of a minibatch from which torch's threads help. Below it, the threads spend up to
fifty times the time of the work waiting for each other."""


def train(prepared: Prepared, folder: Path, checkpoint: Path | None = None) -> Outcome:
    """Train a prepared run in its folder, from the start or from a checkpoint.

    Args:
        prepared: the run.
        folder: the run's folder, which exists.
        checkpoint: the checkpoint to resume from; None to start anew.
    """
    started = time.perf_counter()
    threads = torch.get_num_threads()
    points = len(prepared.module.seeds) * prepared.data.sampler.batch(len(prepared.dataset.x))
    activations = points * getattr(prepared.module, "width", 1)
    # the fused engine has its own threads and leaves torch little to do
    if prepared.engine == "fused" or activations < MIN_ACTIVATIONS_FOR_THREADS:
        torch.set_num_threads(1)
    try:
        return _train(prepared, folder, checkpoint, started)
    finally:
        torch.set_num_threads(threads)


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
    with quiet():
        trainer = make_trainer(
            settings["trainer"],
            max_steps=steps + len(data.remaining(updates)),
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


def _position(checkpoint: Path) -> tuple[int, int]:
    """Return the number of updates, and of Lightning's steps, made before a checkpoint."""
    loaded = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return int(loaded["state_dict"]["updates_done"]), int(loaded["global_step"])
