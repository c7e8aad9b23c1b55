"""Passes the scalars and pictures of snapshots to Lightning loggers other than the one that holds the record.

Threads compute and draw the snapshots, but a logger expects calls from the training thread, and many loggers need
steps that do not decrease. So finished snapshots wait here until the training thread passes them on.
"""

import inspect
import io
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from lightning.pytorch.loggers import Logger

Pictures = Mapping[str, bytes]
"""Tag -> the bytes of a PNG file."""


class OtherLoggers:
    """Passes scalars to every logger, and pictures to those that take them; see `_takes_pictures`.

    Args:
        loggers: Lightning loggers.

    Attributes:
        take_pictures: whether a logger takes pictures.
    """

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self.loggers = loggers
        self._picture_loggers: list[Any] = [found for found in loggers if _takes_pictures(found)]
        self.take_pictures = bool(self._picture_loggers)
        self._waiting: deque[tuple[int, Mapping[str, float], Future[Pictures] | None]] = deque()

    def add(self, update: int, scalars: Mapping[str, float], pictures: Future[Pictures] | None = None) -> None:
        """Add a computed snapshot, or only pictures of it; any thread may call this, in order of updates."""
        self._waiting.append((update, scalars, pictures))

    def pass_on(self) -> None:
        """Pass on every snapshot whose predecessors and pictures are finished; only the training thread calls this."""
        if not self._is_next_finished():
            return
        while self._is_next_finished():
            update, scalars, pictures = self._waiting[0]
            if scalars:
                for logger in self.loggers:
                    logger.log_metrics(dict(scalars), step=update)
            for tag, png in {} if pictures is None else pictures.result().items():
                self._log_picture(tag, png, update)
            # removed only when it is logged, so that an interrupted call can be repeated
            self._waiting.popleft()
        for logger in self.loggers:
            # CSVLogger keeps rows in memory until then
            logger.save()

    def _is_next_finished(self) -> bool:
        return bool(self._waiting) and ((pictures := self._waiting[0][2]) is None or pictures.done())

    def _log_picture(self, tag: str, png: bytes, update: int) -> None:
        if not self._picture_loggers:
            return
        # matplotlib needs it too
        from PIL import Image

        with Image.open(io.BytesIO(png)) as image:
            for logger in self._picture_loggers:
                logger.log_image(key=tag, images=[image.copy()], step=update)


def _takes_pictures(logger: Logger) -> bool:
    """Return whether a logger has the method `log_image(key, images, step)` of `WandbLogger`, for a list of images."""
    method = getattr(logger, "log_image", None)
    return callable(method) and {"key", "images", "step"} <= inspect.signature(method).parameters.keys()
