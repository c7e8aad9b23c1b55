"""The report verb's command line."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from reluviz.errors import UserError

PICTURES = ("png", "svg", "pdf")


@dataclass(frozen=True)
class Arguments:
    """What is asked for.

    Attributes:
        folders: runs, or folders of runs.
        out: the report's folder.
        aggregate: the folder of the groups as runs for TensorBoard.
        metric: what is compared and shown first; None for the test loss, or what there is.
        pictures: formats of the pictures.
    """

    folders: tuple[Path, ...]
    out: Path
    aggregate: Path
    metric: str | None
    pictures: tuple[str, ...]

    @property
    def shown(self) -> Path:
        """The folder in which TensorBoard finds the groups, and the runs where there is one folder of them."""
        return self.aggregate.parent


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise where argparse would print its usage, several lines of it."""
        raise UserError(f"{message} (python -m reluviz report --help)")


def parse(argv: list[str]) -> Arguments:
    """Return the options of a command line.

    Raises:
        UserError: if they make no sense.
    """
    given = _parser().parse_args(argv)
    folders = tuple(given.folders)
    # not resolved: a link to runs may lead where nobody may write
    beside = folders[0] if len(folders) == 1 else Path()
    out = given.out or beside / "report"
    if given.out is not None and os.path.realpath(out) in map(os.path.realpath, folders):
        raise UserError(f"--out {out}: holds the runs; name another folder, such as {out / 'report'}")
    return Arguments(
        folders=folders,
        out=out,
        aggregate=(out if given.out or len(folders) > 1 else beside) / "aggregate",
        metric=given.metric,
        pictures=given.pictures,
    )


def _parser() -> _Parser:
    parser = _Parser(
        prog="reluviz report",
        description="Statistics over many runs, also unfinished and diverged ones: medians, quartiles and intervals of "
        "every group of runs that differ in their seed alone, and which differences between groups exceed the spread "
        "of the seeds. Writes a page (report.html), pictures, a table (.md, .csv, .parquet), findings.md, and the "
        "groups as runs with bands for TensorBoard (aggregate/). A report that is there is replaced.",
        epilog="example: python -m reluviz report logs/sweeps/TIME --metric loss/train",
        allow_abbrev=False,
    )
    parser.add_argument("folders", metavar="FOLDER", nargs="+", type=Path, help="a folder that holds runs, or a run")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="folder for the report (default: FOLDER/report; of several, ./report)"
    )
    parser.add_argument(
        "--metric",
        metavar="TAG",
        help="what the findings and the table on the screen are about (default: loss/test, or loss/train without "
        "test points); the files have all",
    )
    parser.add_argument(
        "--pictures",
        metavar="FORMATS",
        type=_formats,
        default=("png", "svg"),
        help=f"some of {', '.join(PICTURES)}, with commas between them, or none (default: png,svg)",
    )
    return parser


def _formats(text: str) -> tuple[str, ...]:
    if text == "none":
        return ()
    kinds = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    for kind in kinds:
        if kind not in PICTURES:
            raise argparse.ArgumentTypeError(f"{kind!r}: must be some of {', '.join(PICTURES)}, or none")
    return kinds
