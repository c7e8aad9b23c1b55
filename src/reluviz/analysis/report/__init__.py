"""The verb `report`: statistics over many runs, as tables, pictures and an HTML page."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reluviz.errors import UserError
from reluviz.folder_lock import FolderLock

if TYPE_CHECKING:
    from reluviz.analysis.report.arguments import Arguments
    from reluviz.analysis.report.findings import Finding
    from reluviz.analysis.report.groups import Groups
    from reluviz.analysis.report.table_rows import Row


def main(argv: list[str]) -> int:
    """Read the runs, write the report, print a summary, and return 0.

    All arguments and folders are checked first, so that a refused report writes nothing.

    Raises:
        UserError: if an argument is wrong, a folder cannot be used, there are no runs, or another report is writing to
            the folder.
    """
    from reluviz.analysis.report import (
        aggregate,
        arguments,
        collect,
        findings,
        output_folder,
        printout,
        table_files,
        table_rows,
    )
    from reluviz.record import event_file

    options = arguments.parse(argv)
    for folder in options.folders:
        # raises a UserError of one line if the folder cannot be read
        event_file.event_files(folder)
    output_folder.check_replaceable(options.out, f"--out {options.out}")
    output_folder.check_replaceable(options.aggregate, f"--out {options.out}")
    groups = collect.collect(options.folders)
    rows = table_rows.rows(groups)
    metric = _chosen_metric(options.metric, table_rows.metrics(groups))
    found = findings.compare(groups, metric) if metric and not groups.solved else []

    output_folder.mark_as_report(options.out)
    with FolderLock(options.out, f"--out {options.out}"):
        written = table_files.write_tables(rows, groups.keys, options.out)
        written.append(printout.write_findings(groups, found, metric, options.out / "findings.md"))
        bands = aggregate.write(groups, options.aggregate)
        written = [*_write_page(groups, rows, found, options), *written]
    printout.show(groups, rows, found, metric)
    printout.show_files(options, written, bands, len(groups.groups))
    if not any(path.suffix == ".parquet" for path in written):
        print(f"reluviz: {table_files.NO_PYARROW}", file=sys.stderr)
    return 0


def _chosen_metric(asked: str | None, known: Sequence[str]) -> str | None:
    """Return the metric that is compared, the first known one by default; None if no run has ended."""
    if asked is None:
        return known[0] if known else None
    if asked not in known:
        raise UserError(
            f"--metric {asked}: must be one of {', '.join(known)}"
            if known
            else f"--metric {asked}: no run has come to its end"
        )
    return asked


def _write_page(
    groups: "Groups", rows: "Sequence[Row]", found: "Sequence[Finding]", options: "Arguments"
) -> list[Path]:
    """Write the pictures and the page, remove pictures of an earlier report, and return the files."""
    from reluviz.analysis.report import page, pictures

    folder = options.out / "pictures"
    drawn = pictures.write(groups, folder, options.pictures) if options.pictures else []
    for old in set(folder.glob("*.*")) - set(drawn):
        old.unlink(missing_ok=True)
    page.write_page(groups, rows, found, drawn, options.out / "report.html")
    return [options.out / "report.html", *drawn]
