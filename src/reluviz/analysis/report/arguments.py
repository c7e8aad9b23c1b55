"""The report verb's command line."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from reluviz.analysis import last
from reluviz.errors import UserError
from reluviz.record import tags

PICTURE_FORMATS = ("png", "svg", "pdf")


@dataclass(frozen=True)
class Arguments:
    """The options of a report.

    Attributes:
        folders: runs, or folders of runs.
        out: the folder the report is written to.
        aggregate: the folder for the groups as TensorBoard runs.
        metric: the metric that is compared and printed; None for the test loss, or the first metric that the runs have.
        pictures: formats of the pictures.
    """

    folders: tuple[Path, ...]
    out: Path
    aggregate: Path
    metric: str | None
    pictures: tuple[str, ...]

    @property
    def view_folder(self) -> Path:
        """The folder to open in TensorBoard: it holds the groups, and the runs too if they are in one folder."""
        return self.aggregate.parent


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Raise an error of one line, where argparse would print its usage and exit."""
        raise UserError(f"{message} (python -m reluviz report --help)")


def parse(argv: list[str]) -> Arguments:
    """Return the options of a command line.

    Raises:
        UserError: if they are wrong, or contradict each other; or if `last` is given and there is no sweep.
    """
    given = _parser().parse_args(argv)
    folders = tuple(Path(last.sweep_folder(folder)) for folder in given.folders)
    # not resolved: a symbolic link to runs may point to a folder that is not writable
    base = folders[0] if len(folders) == 1 else Path()
    out = given.out or base / "report"
    if given.out is not None and os.path.realpath(out) in map(os.path.realpath, folders):
        raise UserError(f"--out {out}: holds the runs; name another folder, such as {out / 'report'}")
    return Arguments(
        folders=folders,
        out=out,
        aggregate=(out if given.out or len(folders) > 1 else base) / "aggregate",
        metric=given.metric,
        pictures=given.pictures,
    )


def _parser() -> _Parser:
    parser = _Parser(
        prog="reluviz report",
        description="Statistics over many runs, also unfinished and diverged ones: medians, quartiles and intervals of "
        "every group of runs that differ in their seed alone, and which differences between groups exceed the spread "
        "of the seeds. Writes a page (report.html), pictures, a table (.md, .csv, .parquet), findings.md, and the "
        "groups as runs with bands for TensorBoard (aggregate/). Replaces an earlier report.",
        epilog=f"example: python -m reluviz report logs/sweeps/TIME --metric {tags.LOSS_TRAIN}",
        allow_abbrev=False,
    )
    parser.add_argument(
        "folders",
        metavar="FOLDER",
        nargs="+",
        type=Path,
        help="a folder that holds runs, or a run, or last: the newest sweep below logs",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="folder for the report (default: FOLDER/report; for several folders, ./report)",
    )
    parser.add_argument(
        "--metric",
        metavar="TAG",
        help=f"metric of the findings and of the printed table (default: {tags.LOSS_TEST}, or {tags.LOSS_TRAIN} "
        "without test points); the files have all metrics",
    )
    parser.add_argument(
        "--pictures",
        metavar="FORMATS",
        type=_formats,
        default=("png", "svg"),
        help=f"some of {', '.join(PICTURE_FORMATS)}, separated by commas, or none (default: png,svg)",
    )
    return parser


def _formats(text: str) -> tuple[str, ...]:
    if text == "none":
        return ()
    kinds = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    for kind in kinds:
        if kind not in PICTURE_FORMATS:
            raise argparse.ArgumentTypeError(f"{kind!r}: must be some of {', '.join(PICTURE_FORMATS)}, or none")
    return kinds
