"""A run as an animation: a GIF written by Pillow, or an MP4 written by ffmpeg."""

import contextlib
import io
import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reluviz.analysis.progress import Progress
from reluviz.errors import UserError

if TYPE_CHECKING:
    from matplotlib.animation import MovieWriter
    from PIL import Image

    from reluviz.analysis import Run

LAST_FRAME_SECONDS = 2.0
"""A GIF repeats without end, and shows its last frame for this long."""
PALETTE_SIZE, NOT_COMPUTED = 255, 2**16 - 1
PALETTE_FRAMES = 4
"""The palette of a GIF is chosen from the colours of this many frames."""


def has_ffmpeg() -> bool:
    """Return whether matplotlib finds ffmpeg."""
    from matplotlib.animation import FFMpegWriter

    return bool(FFMpegWriter.isAvailable())


def gif(run: "Run", kind: str, max_frames: int, fps: float, path: Path, progress: Progress) -> None:
    """Write a GIF of at most `max_frames` frames.

    All frames share one palette, so that each frame stores only the pixels that changed. matplotlib's own writer gives
    every frame a palette, and holds all decoded frames in memory.
    """
    # drawing the frames takes half of the time, and writing them the other half
    pngs = list(_draw_frames(run, kind, max_frames, lambda done, total: progress(done, 2 * total)))
    total = len(pngs)
    samples = np.linspace(0, total - 1, PALETTE_FRAMES).round().astype(int)
    palette = _Palette([_pixels(pngs[i]) for i in samples])

    def images() -> "Iterator[Image.Image]":
        for done, png in enumerate(pngs):
            progress(total + done, 2 * total)
            yield palette.apply(_pixels(png))

    durations = [round(1000 / fps)] * total
    durations[-1] = max(durations[-1], round(1000 * LAST_FRAME_SECONDS))
    frames = images()
    next(frames).save(path, save_all=True, append_images=frames, duration=durations, loop=0, optimize=False)


def mp4(run: "Run", kind: str, max_frames: int, fps: float, path: Path, progress: Progress) -> None:
    """Write an MP4 of at most `max_frames` frames.

    Raises:
        UserError: if ffmpeg fails.
    """
    from matplotlib import rc_context
    from matplotlib.animation import FFMpegWriter

    log = logging.getLogger(FFMpegWriter.__module__)
    level = log.level
    # matplotlib would log everything that ffmpeg prints
    log.setLevel(logging.ERROR)
    try:
        # savefig.bbox in a user's matplotlibrc would change the size of the frames
        with rc_context({"savefig.bbox": None}):
            writer: Any = FFMpegWriter(fps=fps)  # type: ignore[arg-type]
            _write_movie(writer, _draw_frames(run, kind, max_frames, progress), path)
    except subprocess.CalledProcessError as error:
        lines = [line.strip() for line in str(error.stderr).splitlines() if line.strip()]
        raise UserError(f"--mp4: ffmpeg failed ({lines[-1] if lines else error})") from error
    finally:
        log.setLevel(level)


def _write_movie(writer: "MovieWriter", pngs: Iterator[bytes], path: Path) -> None:
    """Pass finished pictures to a matplotlib writer as the only image of a figure, to avoid drawing them again."""
    from matplotlib.figure import Figure

    first = _pixels(next(pngs))
    height, width = first.shape[:2]
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    image = figure.figimage(first)
    writer.setup(figure, path, dpi=100)
    # if ffmpeg has exited, `finish` raises an error with its message
    with contextlib.suppress(BrokenPipeError):
        writer.grab_frame()
        for png in pngs:
            image.set_data(_pixels(png))
            writer.grab_frame()
    writer.finish()


def _draw_frames(run: "Run", kind: str, max_frames: int, progress: Progress) -> Iterator[bytes]:
    """Yield evenly spaced pictures of a run as PNG files."""
    from reluviz.analysis import run_pictures

    last = len(run.updates) - 1
    # a single frame shows the last snapshot
    start = last if max_frames == 1 else 0
    indices = np.unique(np.linspace(start, last, min(max_frames, last + 1)).round().astype(int))
    for done, png in enumerate(run_pictures.draw_frames(run, indices.tolist(), kind)):
        progress(done, len(indices))
        yield png


class _Palette:
    """The colours of a GIF, chosen from some of its frames.

    Similar colours are grouped, and the palette holds the most common colour of each group instead of their mean, so
    that white stays white. Pillow can also map a frame to a given palette, but its choice is not always the nearest
    colour.
    """

    def __init__(self, frames: list[NDArray[np.uint8]]) -> None:
        from PIL import Image

        pixels = np.concatenate(frames)
        group = np.asarray(Image.fromarray(pixels).quantize(PALETTE_SIZE, method=Image.Quantize.MEDIANCUT))
        group_and_colour, counts = np.unique(group.astype(np.int64) << 24 | _pack(pixels), return_counts=True)
        group_and_colour = group_and_colour[np.argsort(counts, kind="stable")]
        self.colours = np.zeros((PALETTE_SIZE, 3), np.uint8)
        # of several colours assigned to one index, NumPy keeps the last, which is the most common one
        self.colours[group_and_colour >> 24] = _unpack(group_and_colour)
        self.nearest = np.full(2**24, NOT_COMPUTED, np.uint16)

    def apply(self, pixels: NDArray[np.uint8]) -> "Image.Image":
        """Return a frame in the nearest colours of the palette, without dithering."""
        from PIL import Image

        packed = _pack(pixels)
        indices = self.nearest[packed]
        if (new := indices == NOT_COMPUTED).any():
            new_colours = np.unique(packed[new])
            difference = _unpack(new_colours)[:, None].astype(np.int32) - self.colours
            self.nearest[new_colours] = (difference * difference).sum(-1).argmin(-1)
            indices = self.nearest[packed]
        image = Image.frombytes("P", indices.shape[::-1], indices.astype(np.uint8).tobytes())
        image.putpalette(self.colours.tobytes())
        return image


def _pixels(png: bytes) -> NDArray[np.uint8]:
    """Return the red, green and blue of a PNG file, [height, width, 3]."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def _pack(pixels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return each colour as one number."""
    channels = pixels.astype(np.int32)
    packed: NDArray[np.int32] = channels[..., 0] << 16 | channels[..., 1] << 8 | channels[..., 2]
    return packed


def _unpack(packed: NDArray[Any]) -> NDArray[np.uint8]:
    return np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=-1).astype(np.uint8)
