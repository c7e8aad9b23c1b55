"""Starts Lightning quickly and without its harmless messages. Heavy packages are imported only inside functions."""

import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

HARMLESS_WARNINGS = (
    r".*does not have many workers.*",
    r".*LeafSpec.*",
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*srun.*command is available.*",
    r".*`weights_only` was not set.*",
    r".*You are using a CUDA device.*",
    r".*GPU available but not used.*",
    r".*lr_scheduler\.step\(\).*optimizer\.step\(\).*",
)
"""Patterns of warnings that are irrelevant for models of this size."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning's device messages, tips and harmless warnings within this context; errors still show."""
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for message in HARMLESS_WARNINGS:
            warnings.filterwarnings("ignore", message)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def without_gc() -> Iterator[None]:
    """Switch the garbage collector off within this context, for imports of large packages.

    The collector would take a third of the import time and find nothing. Imported objects live until the process
    ends, so they are frozen: later collections skip them too.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()
