"""Silence for what says nothing to somebody who trains a model of sixty numbers."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

HARMLESS = (
    r".*does not have many workers.*",
    r".*LeafSpec.*",
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*srun.*command is available.*",
    r".*`weights_only` was not set.*",
    r".*You are using a CUDA device.*",
    r".*GPU available but not used.*",
    r".*lr_scheduler\.step\(\).*optimizer\.step\(\).*",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's device chatter, tips and harmless warnings from the terminal; errors stay."""
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for message in HARMLESS:
            warnings.filterwarnings("ignore", message)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
