"""What Lightning's Trainer is told and cannot do here: batches are segments, and there is no validation."""

from collections.abc import Sequence
from typing import Any

from reluviz.console import say_once
from reluviz.errors import UserError

LENGTH = "updates sets the length of a run"
NO_VALIDATION = "there is no validation; the test error is recorded at every snapshot"
UNSUPPORTED = {
    "accumulate_grad_batches": "an update has the gradient of one minibatch; sampler.batch_size sets its size",
    "barebones": "a run is recorded by a logger and callbacks; callbacks=minimal records the least",
    "check_val_every_n_epoch": NO_VALIDATION,
    "fast_dev_run": f"it would record nothing; {LENGTH}",
    "gradient_clip_algorithm": "gradients are not clipped; choose a smaller step size",
    "gradient_clip_val": "gradients are not clipped; choose a smaller step size",
    "limit_predict_batches": f"a run only trains; {LENGTH}",
    "limit_test_batches": NO_VALIDATION,
    "limit_train_batches": f"it would count the segments between two snapshots; {LENGTH}",
    "limit_val_batches": NO_VALIDATION,
    "max_time": f"{LENGTH}; Ctrl-C stops one, and ckpt_path resumes it",
    "min_epochs": LENGTH,
    "min_steps": LENGTH,
    "overfit_batches": f"it would count the segments between two snapshots; {LENGTH}",
    "plugins": "the run's parts are reluviz's",
    "profiler": "it would measure segments and not updates; the end of a run says how long they took",
    "reload_dataloaders_every_n_epochs": "a run is one epoch of Lightning's",
    "val_check_interval": NO_VALIDATION,
}
"""Arguments of the Trainer that a configuration must leave out -> why."""
UNLIMITED = (None, -1)
"""Values of `max_epochs` and `max_steps` that set no limit."""


def check_world(trainer: Any) -> None:
    """Check that one process trains the run.

    Raises:
        UserError: if the trainer has several devices, since each would train a run of its own.
    """
    if trainer.world_size > 1:
        raise UserError(
            f"Trainer(devices={trainer.num_devices}): a run is trained on one device; seeds=[0,1] trains replicas on it"
        )


def say_limits(trainer: Any, done: int, remaining: Sequence[tuple[int, int]]) -> None:
    """Print a line if the trainer will end the run early, or was told to validate.

    Args:
        trainer: about to train.
        done: the number of updates made.
        remaining: (start, stop) of each segment that remains.
    """
    if trainer.val_check_interval not in (None, 1.0) or trainer.check_val_every_n_epoch not in (None, 1):
        say_once(f"Trainer: {NO_VALIDATION}, so val_check_interval and check_val_every_n_epoch have no effect")
    if not remaining:
        say_once(f"Trainer: all {done:,} updates are made; a larger number prolongs the run, as in updates={2 * done}")
        return
    end = remaining[-1][1]
    epochs = int(trainer.fit_loop.epoch_progress.current.processed)
    if trainer.max_epochs not in UNLIMITED and 0 < trainer.max_epochs <= epochs:
        say_once(
            f"Trainer(max_epochs={trainer.max_epochs}): a run is one epoch, which ended after update {done:,};"
            f" leave max_epochs out to go on to update {end:,}"
        )
        return
    name, segments = _limit(trainer, len(remaining), epochs)
    if 0 <= segments < len(remaining):
        stop = remaining[segments - 1][1] if segments else done
        recorded = ", with nothing recorded" if trainer.fast_dev_run else ""
        say_once(
            f"Trainer({name}={getattr(trainer, name)}): counts segments, from one snapshot to the next, so this run"
            f" ends after update {stop:,} of {end:,}{recorded}; leave it out: {LENGTH}"
        )


def _limit(trainer: Any, segments: int, epochs: int) -> tuple[str, int]:
    """Return the argument of the trainer that limits it most, and the number of segments that it will train.

    Args:
        trainer: about to train.
        segments: the number of segments that remain.
        epochs: the number of epochs made.
    """
    found = {}
    if trainer.max_steps not in UNLIMITED:
        found["max_steps"] = trainer.max_steps - trainer.global_step
    limit = trainer.limit_train_batches
    if limit != 1.0 or isinstance(limit, int):
        each = limit if isinstance(limit, int) else int(limit * segments)
        endless = trainer.max_epochs in UNLIMITED
        found["limit_train_batches"] = (
            segments if endless and each else each * max(1, (trainer.max_epochs or 0) - epochs)
        )
    name = min(found, key=found.__getitem__, default="max_steps")
    value = found.get(name, segments)
    if name == "limit_train_batches" and trainer.overfit_batches:
        name = "overfit_batches"
    return ("fast_dev_run" if trainer.fast_dev_run else name), value
