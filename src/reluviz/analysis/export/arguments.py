"""The export verb's command line."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from reluviz.errors import UserError
from reluviz.record import tags

FORMATS = {
    "html": "one page with all the runs, interactive, without a server or a network",
    "gif": "an animation (the default)",
    "mp4": "a film; needs ffmpeg",
    "png": "a picture",
    "svg": "a drawing, for the web",
    "pdf": "a drawing, for print",
    "csv": "a table with a row for each run, replica, update, unit and quantity",
    "npz": "NumPy arrays over the snapshots",
}
STILLS, MOVIES = ("png", "svg", "pdf"), ("gif", "mp4")
KINDS = (tags.FIT, tags.VOTES)
FASTEST = 50
"""Frames a second: a GIF counts in hundredths of one, and browsers show no more than fifty."""


@dataclass(frozen=True)
class Arguments:
    """What is asked for.

    Attributes:
        runs: folders of runs, or folders of folders of runs.
        formats: some of `FORMATS`.
        at: updates of the pictures; None for the last.
        kind: fit or votes.
        frames: of an animation, at most.
        fps: frames a second.
        out: a file, or the folder for all files.
        force: whether files may be written over.
    """

    runs: tuple[Path, ...]
    formats: tuple[str, ...]
    at: tuple[int | None, ...]
    kind: str
    frames: int
    fps: float
    out: Path
    force: bool

    @property
    def single(self) -> bool:
        """Whether `out` is a file."""
        return not self.out.is_dir() and self.out.suffix.lower().removeprefix(".") in FORMATS


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise where argparse would print its usage, several lines of it."""
        raise UserError(f"{message} (python -m reluviz export --help)")


def parse(argv: list[str]) -> Arguments:
    """Return the options of a command line.

    Raises:
        UserError: if they make no sense.
    """
    given = _parser().parse_args(argv)
    formats = tuple(kind for kind in FORMATS if getattr(given, kind))
    named = given.out.suffix.lower().removeprefix(".")
    if not formats:
        formats = (named,) if named in FORMATS and not given.out.is_dir() else ("gif",)
    for option, value, useful in (
        ("--at", given.at, STILLS),
        ("--kind", given.kind, (*STILLS, *MOVIES)),
        ("--frames", given.frames, MOVIES),
        ("--fps", given.fps, MOVIES),
    ):
        if value is not None and not set(useful) & set(formats):
            raise UserError(f"{option}: goes with {_or([f'--{kind}' for kind in useful])}")
    return Arguments(
        runs=tuple(given.runs),
        formats=formats,
        at=given.at or (None,),
        kind=given.kind or "fit",
        frames=given.frames or 100,
        fps=given.fps or 10.0,
        out=given.out,
        force=given.force,
    )


def _parser() -> _Parser:
    parser = _Parser(
        prog="reluviz export",
        description="Make pages, animations, pictures and tables from runs, also from runs that are still training.",
        epilog="example: python -m reluviz export logs/relu/TIME --gif --png --at 0,1000,last --out pictures",
        allow_abbrev=False,
    )
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", type=Path, help="a run's folder, or a folder that holds runs: all of them"
    )
    for kind, purpose in FORMATS.items():
        parser.add_argument(f"--{kind}", action="store_true", help=purpose)
    parser.add_argument("--kind", choices=KINDS, help="which picture (default: fit)")
    parser.add_argument(
        "--at",
        metavar="UPDATES",
        type=_updates,
        help="updates of the pictures, with commas between them, each that of a snapshot, or last (default: last)",
    )
    parser.add_argument(
        "--frames", metavar="N", type=_count, help="frames of an animation, spread over the snapshots (default: 100)"
    )
    parser.add_argument("--fps", metavar="F", type=_rate, help="frames a second (default: 10)")
    parser.add_argument(
        "--out",
        metavar="PATH",
        type=Path,
        default=Path(),
        help="folder for the files, which have the names of the runs; or one file, whose ending may say what it is",
    )
    parser.add_argument("--force", action="store_true", help="write over files that are there")
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
    if not 0 < value <= FASTEST:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number above 0, and {FASTEST} at most")
    return value


def _or(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
