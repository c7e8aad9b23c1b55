"""The files of an export: their names, and how each one is written."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from reluviz.analysis import Run, load_runs, run_name, run_names, run_pictures
from reluviz.analysis.export import animation, tables
from reluviz.analysis.export.arguments import ANIMATION_FORMATS, PICTURE_FORMATS, Arguments
from reluviz.analysis.progress import Progress, progress_line
from reluviz.errors import UserError
from reluviz.files import atomic_write
from reluviz.folder_lock import FolderLock
from reluviz.tab import html_file

Writer = Callable[[Path, Progress], None]
EXPORT_LOCK_FILE = ".export.lock"
"""In a folder that an export writes to."""


@dataclass(frozen=True)
class OutputFile:
    """A file that an export writes.

    Attributes:
        path: its path.
        writer: a function that writes it to a path, and reports its progress.
    """

    path: Path
    writer: Writer


def plan(options: Arguments) -> list[OutputFile]:
    """Return the files that an export writes, after checking that they can be written.

    Raises:
        UserError: if a run or snapshot does not exist, a file exists already, or two files have the same name.
    """
    runs = _load(options)
    outputs = [output for name in options.formats for output in _outputs(name, runs, options)]
    if options.out_is_file:
        if len(outputs) > 1:
            raise UserError(f"--out {options.out}: there are {len(outputs)} files to write; name a folder")
        (output,) = outputs
        if output.path.suffix != options.out.suffix.lower():
            raise UserError(f"--out {options.out}: the format is {output.path.suffix.removeprefix('.')}")
        outputs = [OutputFile(options.out, output.writer)]
    else:
        outputs = [OutputFile(options.out / output.path, output.writer) for output in outputs]
    if len({output.path for output in outputs}) < len(outputs):
        raise UserError("two of the runs have the same name; export them one by one, each with its own --out")
    for output in outputs:
        if output.path.is_dir():
            raise UserError(f"{output.path}: is a folder")
        if output.path.exists() and not options.force:
            raise UserError(f"{output.path}: exists already; --force overwrites it, --out names another place")
    return outputs


def output_lock(options: Arguments) -> FolderLock:
    """Return the lock of the folder that an export writes to. A run may be trained there at the same time.

    Raises:
        UserError: if another export is writing to the folder, or it cannot be written to.
    """
    folder = options.out.parent if options.out_is_file else options.out
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {options.out}: cannot be written to ({error.strerror or error})") from error
    return FolderLock(folder, f"--out {options.out}", EXPORT_LOCK_FILE)


def write(output: OutputFile) -> str:
    """Write a file atomically: no reader sees an incomplete file. Return a line with its path and size.

    Raises:
        UserError: if it cannot be written.
    """
    target = output.path
    with atomic_write(target) as partial, progress_line(target.name) as show:
        output.writer(partial, show)
    return f"{target}  {_size(target.stat().st_size)}"


def _load(options: Arguments) -> list[Run]:
    """Return the runs of a command line, each run once, and warn of damaged files."""
    runs_by_path: dict[str, Run] = {}
    for folder in options.runs:
        runs_by_path |= {os.path.realpath(run.folder): run for run in load_runs(folder)}
    runs = list(runs_by_path.values())
    for run in runs:
        for path in run.damaged:
            print(f"reluviz: {path}: a record is damaged; the rest of this file is left out", file=sys.stderr)
    return runs


def _outputs(format_name: str, runs: list[Run], options: Arguments) -> Iterator[OutputFile]:
    names = run_names([run.folder for run in runs])
    if format_name == "html":
        yield OutputFile(Path(f"{_common_name(runs, names)}.html"), partial(_page, dict(zip(names, runs, strict=True))))
        return
    suffix = "" if options.kind == "fit" else f"-{options.kind.replace('/', '-')}"
    for name, run in zip(names, runs, strict=True):
        if format_name in PICTURE_FORMATS:
            for update in _updates(run, options):
                writer: Writer = partial(_picture, run, update, options.kind)
                yield OutputFile(Path(f"{name}{suffix}-{update}.{format_name}"), writer)
        elif format_name in ANIMATION_FORMATS:
            writer = partial(getattr(animation, format_name), run, options.kind, options.frames, options.fps)
            yield OutputFile(Path(f"{name}{suffix}.{format_name}"), writer)
        else:
            yield OutputFile(Path(f"{name}.{format_name}"), partial(getattr(tables, format_name), run, name))
            if format_name == "csv" and options.grid is not None:
                updates = _updates(run, options)
                yield OutputFile(Path(f"{name}-f.csv"), partial(tables.functions_csv, run, name, options.grid, updates))


def _updates(run: Run, options: Arguments) -> list[int]:
    """Return the updates of the snapshots that the options name."""
    return list(dict.fromkeys(int(run.updates[run.at(update)]) for update in options.at))


def _page(runs: Mapping[str, Run], path: Path, progress: Progress) -> None:
    """Write one page that shows all the runs as TensorBoard's tab would."""
    path.write_text(html_file.html({name: run.payload() for name, run in runs.items()}), encoding="utf-8")


def _picture(run: Run, update: int, kind: str, path: Path, progress: Progress) -> None:
    run_pictures.draw_picture(run, run.at(update), kind).save(path)


def _common_name(runs: list[Run], names: list[str]) -> str:
    """Return the name of a file with several runs: the name of the folder that contains all of them."""
    if len(runs) == 1:
        return names[0]
    try:
        return run_name(Path(os.path.commonpath([os.path.abspath(run.folder) for run in runs])))
    except ValueError:
        # the runs are on different drives (Windows)
        return "runs"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{-(-count // 1000)} kB"
