"""One run: trained in its folder, from the start or from a checkpoint."""

import time
from pathlib import Path

import lightning as L
import torch

from reluviz.errors import Diverged
from reluviz.files import write_json
from reluviz.record import text_summary
from reluviz.training.callbacks import SnapshotLogger
from reluviz.training.instantiate import build
from reluviz.training.lightning_startup import quiet
from reluviz.training.metrics import metrics
from reluviz.training.outcome import Outcome
from reluviz.training.prepare import Prepared, make_trainer

MANY = 2**20
"""Numbers in the hidden layers of a minibatch from which torch's threads help; below, waiting for each other costs
up to fifty times the work."""


def train(prepared: Prepared, folder: Path, checkpoint: Path | None = None) -> Outcome:
    """Train a prepared run in its folder, from the start or from a checkpoint.

    Args:
        prepared: the run.
        folder: where it writes; exists.
        checkpoint: the checkpoint to go on from.
    """
    started = time.perf_counter()
    threads = torch.get_num_threads()
    numbers = len(prepared.module.seeds) * prepared.data.sampler.batch(len(prepared.dataset.x))
    # an engine with threads of its own leaves torch little to do
    if prepared.engine == "fused" or numbers * getattr(prepared.module, "width", 1) < MANY:
        torch.set_num_threads(1)
    try:
        return _train(prepared, folder, checkpoint, started)
    finally:
        torch.set_num_threads(threads)


def _train(prepared: Prepared, folder: Path, checkpoint: Path | None, started: float) -> Outcome:
    settings, data, module = prepared.settings, prepared.data, prepared.module
    done, steps = (0, 0) if checkpoint is None else _position(checkpoint)
    callbacks = [
        build(
            node,
            f"callbacks.{name}",
            **({"folder": str(folder / "checkpoints")} if name == "checkpoints" else {}),
        )
        for name, node in settings["callbacks"].items()
    ]
    looker = next(cb for cb in callbacks if isinstance(cb, SnapshotLogger))
    hidden = ("callbacks", "logger", "trainer", "ckpt_path", "sweep")
    looker.settings = text_summary.flat({key: value for key, value in settings.items() if key not in hidden})
    logger = False
    if (chosen := settings.get("logger")) is not None:
        # what an interrupted run wrote at or after this snapshot is written again; a fresh run says so too,
        # since TensorBoard takes the first mark of this kind that it meets for the beginning
        logger = build(chosen, "logger", folder=str(folder), purge_step=done)
    with quiet():
        trainer = make_trainer(
            settings["trainer"],
            max_steps=steps + len(data.remaining(done)),
            logger=logger,
            callbacks=callbacks,
            enable_progress_bar=any(isinstance(cb, L.pytorch.callbacks.ProgressBar) for cb in callbacks),
        )
        status, message = "finished", ""
        fit_started = time.perf_counter()
        try:
            # weights_only: a checkpoint is data that somebody may have handed over
            trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
        except Diverged as error:
            status, message = "diverged", str(error)
        except SystemExit:
            # Lightning turns Ctrl-C and SIGTERM into this
            status = "terminated" if trainer.received_sigterm else "interrupted"
        fit = time.perf_counter() - fit_started
    last = looker.latest
    if last is None or looker.sound is None:
        raise KeyboardInterrupt
    seconds = {
        "fit": fit,
        "engine": module.engine_seconds,
        "pictures": looker.picture_seconds,
        "total": time.perf_counter() - started,
    }
    results = metrics(prepared, last, looker.sound, status, seconds)
    write_json(folder / "metrics.json", results)
    return Outcome(status, folder, results, message)


def _position(checkpoint: Path) -> tuple[int, int]:
    """Return how many updates and how many of Lightning's steps a checkpoint stands at."""
    loaded = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return int(loaded["state_dict"]["updates_done"]), int(loaded["global_step"])
