"""A run as an animation: GIF by Pillow, MP4 by matplotlib's writer for ffmpeg."""

import contextlib
import io
import logging
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reluviz.errors import UserError

if TYPE_CHECKING:
    from matplotlib.animation import MovieWriter
    from PIL import Image

    from reluviz.analysis import Run

Progress = Callable[[int, int], None]
REST = 2.0
"""Seconds for which a GIF, which plays again and again, rests at its end."""
COLOURS, UNKNOWN = 255, 2**16 - 1
SAMPLES = 4
"""Frames from which the colours of a GIF are taken."""


def ffmpeg() -> bool:
    """Tell whether matplotlib finds ffmpeg."""
    from matplotlib.animation import FFMpegWriter

    return bool(FFMpegWriter.isAvailable())


def gif(run: "Run", kind: str, most: int, fps: float, path: Path, progress: Progress) -> None:
    """Write a GIF of `most` frames at most.

    All frames have the same colours: then only what has moved differs from one frame to the next, and nothing else
    has to be written. (matplotlib's writer holds all frames in memory, each with colours of its own.)
    """
    # half of the work is to draw the frames, half to write them
    pngs = list(_frames(run, kind, most, lambda done, total: progress(done, 2 * total)))
    total = len(pngs)
    colours = _Colours([_pixels(pngs[i]) for i in np.linspace(0, total - 1, SAMPLES).round().astype(int)])

    def images() -> "Iterator[Image.Image]":
        for done, png in enumerate(pngs):
            progress(total + done, 2 * total)
            yield colours.draw(_pixels(png))

    durations = [round(1000 / fps)] * total
    durations[-1] = max(durations[-1], round(1000 * REST))
    moving = images()
    next(moving).save(path, save_all=True, append_images=moving, duration=durations, loop=0, optimize=False)


def mp4(run: "Run", kind: str, most: int, fps: float, path: Path, progress: Progress) -> None:
    """Write an MP4 of `most` frames at most.

    Raises:
        UserError: if ffmpeg fails.
    """
    from matplotlib import rc_context
    from matplotlib.animation import FFMpegWriter

    log = logging.getLogger(FFMpegWriter.__module__)
    level = log.level
    # it would print all that ffmpeg says; and a user's own savefig.bbox would change the size of frames
    log.setLevel(logging.ERROR)
    try:
        with rc_context({"savefig.bbox": None}):
            _film(FFMpegWriter(fps=fps), _frames(run, kind, most, progress), path)  # type: ignore[arg-type]
    except subprocess.CalledProcessError as error:
        said = [line.strip() for line in str(error.stderr).splitlines() if line.strip()]
        raise UserError(f"--mp4: ffmpeg failed ({said[-1] if said else error})") from error
    finally:
        log.setLevel(level)


def _film(writer: "MovieWriter", pngs: Iterator[bytes], path: Path) -> None:
    """Hand pictures to a writer, in a figure that is one image: the picture's own would be drawn anew, slowly."""
    from matplotlib.figure import Figure

    first = _pixels(next(pngs))
    height, width = first.shape[:2]
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    image = figure.figimage(first)
    writer.setup(figure, path, dpi=100)
    # an ffmpeg that has gone says why when it is asked at the end
    with contextlib.suppress(BrokenPipeError):
        writer.grab_frame()
        for png in pngs:
            image.set_data(_pixels(png))
            writer.grab_frame()
    writer.finish()


def _frames(run: "Run", kind: str, most: int, progress: Progress) -> Iterator[bytes]:
    from reluviz.analysis import run_pictures

    last = len(run.updates) - 1
    # of a single frame the last, which is the result
    places = np.unique(np.linspace(last if most == 1 else 0, last, min(most, last + 1)).round().astype(int))
    for done, png in enumerate(run_pictures.frames(run, places.tolist(), kind)):
        progress(done, len(places))
        yield png


class _Colours:
    """The colours of a GIF, taken from some of its frames.

    Each is the commonest of those that it stands for, and not their mean: white stays white. (Pillow, too, can draw a
    frame in given colours, but takes some that are only near the nearest.)
    """

    def __init__(self, samples: list[NDArray[np.uint8]]) -> None:
        from PIL import Image

        sheet = np.concatenate(samples)
        group = np.asarray(Image.fromarray(sheet).quantize(COLOURS, method=Image.Quantize.MEDIANCUT))
        both, counts = np.unique(group.astype(np.int64) << 24 | _packed(sheet), return_counts=True)
        both = both[np.argsort(counts, kind="stable")]
        self.colours = np.zeros((COLOURS, 3), np.uint8)
        # of several colours for one place the last, the commonest, stays
        self.colours[both >> 24] = _unpacked(both)
        self.nearest = np.full(2**24, UNKNOWN, np.uint16)

    def draw(self, pixels: NDArray[np.uint8]) -> "Image.Image":
        """Return a frame in these colours, without dithering."""
        from PIL import Image

        packed = _packed(pixels)
        places = self.nearest[packed]
        if (new := places == UNKNOWN).any():
            met = np.unique(packed[new])
            away = _unpacked(met)[:, None].astype(np.int32) - self.colours
            self.nearest[met] = (away * away).sum(-1).argmin(-1)
            places = self.nearest[packed]
        image = Image.frombytes("P", places.shape[::-1], places.astype(np.uint8).tobytes())
        image.putpalette(self.colours.tobytes())
        return image


def _pixels(png: bytes) -> NDArray[np.uint8]:
    """Return a PNG file's red, green and blue, [height, width, 3]."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def _packed(pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return each colour as one number."""
    channels = pixels.astype(np.int32)
    found: NDArray[np.int32] = channels[..., 0] << 16 | channels[..., 1] << 8 | channels[..., 2]
    return found


def _unpacked(packed: NDArray[Any]) -> NDArray[np.uint8]:
    return np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=-1).astype(np.uint8)
