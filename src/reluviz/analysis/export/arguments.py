"""The command line of `export`."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from reluviz.errors import UserError
from reluviz.record import tags

FORMATS = {
    "html": "one interactive page with all runs; it needs no server and no network",
    "gif": "an animation (the default)",
    "mp4": "a video; needs ffmpeg",
    "png": "a picture in pixels",
    "svg": "a vector picture, for web pages",
    "pdf": "a vector picture, for print",
    "csv": "a table with one row per run, replica, update, unit and quantity",
    "npz": "NumPy arrays over the snapshots",
}
PICTURE_FORMATS, ANIMATION_FORMATS = ("png", "svg", "pdf"), ("gif", "mp4")
MAX_FPS = 50
"""Frames per second: a GIF stores durations in hundredths of a second, and browsers show at most 50 frames."""


@dataclass(frozen=True)
class Arguments:
    """The options of a command line.

    Attributes:
        runs: folders of runs, or folders that contain such folders.
        formats: some of `FORMATS`.
        at: updates of the pictures, and of the functions of `grid`; None for the last one.
        kind: fit or votes.
        frames: the largest number of frames of an animation.
        fps: frames per second.
        grid: number of inputs at which a CSV table has the learned function; None for no such table.
        out: a file, or the folder for all files.
        force: whether existing files may be overwritten.
    """

    runs: tuple[Path, ...]
    formats: tuple[str, ...]
    at: tuple[int | None, ...]
    kind: str
    frames: int
    fps: float
    grid: int | None
    out: Path
    force: bool

    @property
    def out_is_file(self) -> bool:
        """Whether `out` names a file."""
        return _format_of(self.out) is not None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise an error of one line, where argparse would print its usage and exit."""
        raise UserError(f"{message} (python -m reluviz export --help)")


def parse(argv: list[str]) -> Arguments:
    """Return the options of a command line.

    Raises:
        UserError: if they are wrong, or contradict each other.
    """
    given = _parser().parse_args(argv)
    formats = tuple(name for name in FORMATS if getattr(given, name)) or (_format_of(given.out) or "gif",)
    with_updates = PICTURE_FORMATS if given.grid is None else (*PICTURE_FORMATS, "csv")
    for option, value, valid_formats in (
        ("--at", given.at, with_updates),
        ("--grid", given.grid, ("csv",)),
        ("--kind", given.kind, (*PICTURE_FORMATS, *ANIMATION_FORMATS)),
        ("--frames", given.frames, ANIMATION_FORMATS),
        ("--fps", given.fps, ANIMATION_FORMATS),
    ):
        if value is not None and not set(valid_formats) & set(formats):
            raise UserError(f"{option}: goes with {_join_with_or([f'--{name}' for name in valid_formats])}")
    return Arguments(
        runs=tuple(given.runs),
        formats=formats,
        at=given.at or (None,),
        kind=given.kind or "fit",
        frames=given.frames or 100,
        fps=given.fps or 10.0,
        grid=given.grid,
        out=given.out,
        force=given.force,
    )


def _format_of(out: Path) -> str | None:
    """Return the format that a path names by its extension; None for a folder or another extension."""
    extension = out.suffix.lower().removeprefix(".")
    return extension if extension in FORMATS and not out.is_dir() else None


def _parser() -> _Parser:
    parser = _Parser(
        prog="reluviz export",
        description="Make pages, animations, pictures and tables from runs, also from runs that are still training.",
        epilog="example: python -m reluviz export logs/relu/TIME --gif --png --at 0,1000,last --out pictures",
        allow_abbrev=False,
    )
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        type=Path,
        help="a run's folder, or a folder that contains runs (all of them), or last: the newest run below logs",
    )
    for name, purpose in FORMATS.items():
        parser.add_argument(f"--{name}", action="store_true", help=purpose)
    parser.add_argument("--kind", choices=tags.PICTURE_KINDS, help="which picture (default: fit)")
    parser.add_argument(
        "--at",
        metavar="UPDATES",
        type=_updates,
        help="updates of the pictures or of --grid, separated by commas; each must have a snapshot, or be last "
        "(default: last)",
    )
    parser.add_argument(
        "--frames",
        metavar="N",
        type=_count,
        help="number of frames of an animation, evenly spaced over the snapshots (default: 100)",
    )
    parser.add_argument("--fps", metavar="F", type=_rate, help="frames per second (default: 10)")
    parser.add_argument(
        "--grid",
        metavar="N",
        type=_count,
        help="with --csv: also a table NAME-f.csv, with the columns run, replica, update, x and f, of the learned "
        "function at N evenly spaced inputs",
    )
    parser.add_argument(
        "--out",
        metavar="PATH",
        type=Path,
        default=Path(),
        help="folder for the files, which are named after the runs; or one file, whose extension can choose the format",
    )
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    return parser


def _updates(text: str) -> tuple[int | None, ...]:
    words = [word.strip().replace("_", "") for word in text.split(",")]
    for word in words:
        if word != "last" and not (word.isascii() and word.isdigit()):
            raise argparse.ArgumentTypeError(f"{word!r} is no update: a whole number, or last")
    return tuple(dict.fromkeys(None if word == "last" else int(word) for word in words))


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number of at least 1")
    return int(text)


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= MAX_FPS:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number above 0 and at most {MAX_FPS}")
    return value


def _join_with_or(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
