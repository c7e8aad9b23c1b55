"""Which files an export writes, and how each of them gets to its place."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from reluviz.analysis import Run, load_runs, name, names, run_pictures
from reluviz.analysis.export import animation, tables
from reluviz.analysis.export.arguments import MOVIES, STILLS, Arguments
from reluviz.analysis.progress import Progress, progress
from reluviz.errors import UserError
from reluviz.tab import html_file

Writer = Callable[[Path, Progress], None]


@dataclass(frozen=True)
class Output:
    """A file to be written.

    Attributes:
        path: where it goes.
        writer: writes it to a path, and tells how far it is.
    """

    path: Path
    writer: Writer


def plan(options: Arguments) -> list[Output]:
    """Return the files that are asked for; all of them can be written as far as is known beforehand.

    Raises:
        UserError: if there is no such run or snapshot, a file is there already, or two files have one name.
    """
    runs = _runs(options)
    found = [output for kind in options.formats for output in _outputs(kind, runs, options)]
    if options.single:
        if len(found) > 1:
            raise UserError(f"--out {options.out}: {len(found)} files are to be written; name a folder")
        (one,) = found
        if one.path.suffix != options.out.suffix.lower():
            raise UserError(f"--out {options.out}: what is written is {one.path.suffix.removeprefix('.')}")
        found = [Output(options.out, one.writer)]
    else:
        found = [Output(options.out / one.path, one.writer) for one in found]
    if len({output.path for output in found}) < len(found):
        raise UserError("two of the runs have the same name; export them one by one, each with its own --out")
    for output in found:
        if output.path.is_dir():
            raise UserError(f"{output.path}: is a folder")
        if output.path.exists() and not options.force:
            raise UserError(f"{output.path}: is there already; --force writes over it, --out names another place")
    return found


def write(output: Output) -> str:
    """Write a file in one move, so that nobody meets half of it, and return a line that tells of it.

    Raises:
        UserError: if it cannot be written.
    """
    target = output.path
    beside = target.with_name(f".{target.stem}.part{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with progress(target.name) as show:
                output.writer(beside, show)
            os.replace(beside, target)
        finally:
            beside.unlink(missing_ok=True)
        return f"{target}  {_size(target.stat().st_size)}"
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror or error})") from error


def _runs(options: Arguments) -> list[Run]:
    folders: dict[str, Run] = {}
    for place in options.runs:
        folders |= {os.path.realpath(run.folder): run for run in load_runs(place)}
    runs = list(folders.values())
    for run in runs:
        for path in run.damaged:
            print(f"reluviz: {path}: a record is damaged; what follows it in this file is left out", file=sys.stderr)
    return runs


def _outputs(kind: str, runs: list[Run], options: Arguments) -> Iterator[Output]:
    labels = names([run.folder for run in runs])
    if kind == "html":
        yield Output(Path(f"{_together(runs, labels)}.html"), partial(_page, dict(zip(labels, runs, strict=True))))
        return
    view = "" if options.kind == "fit" else f"-{options.kind}"
    for label, run in zip(labels, runs, strict=True):
        if kind in STILLS:
            for update in dict.fromkeys(int(run.updates[run.at(update)]) for update in options.at):
                yield Output(Path(f"{label}{view}-{update}.{kind}"), partial(_still, run, update, options.kind))
        elif kind in MOVIES:
            make = partial(getattr(animation, kind), run, options.kind, options.frames, options.fps)
            yield Output(Path(f"{label}{view}.{kind}"), make)
        else:
            yield Output(Path(f"{label}.{kind}"), partial(getattr(tables, kind), run, label))


def _page(runs: Mapping[str, Run], path: Path, progress: Progress) -> None:
    """Write one page with any number of runs: the view of TensorBoard's tab, without TensorBoard."""
    path.write_text(html_file.html({label: run.payload() for label, run in runs.items()}), encoding="utf-8")


def _still(run: Run, update: int, kind: str, path: Path, progress: Progress) -> None:
    run_pictures.picture(run, run.at(update), kind).save(path)


def _together(runs: list[Run], labels: list[str]) -> str:
    """Return the name of a file for several runs: that of the folder that holds them all."""
    if len(runs) == 1:
        return labels[0]
    try:
        return name(Path(os.path.commonpath([os.path.abspath(run.folder) for run in runs])))
    except ValueError:
        # two drives of Windows
        return "runs"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{-(-count // 1000)} kB"
