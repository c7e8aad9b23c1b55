"""The verb `report`: statistics over many runs, as tables, pictures and a page."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reluviz.errors import UserError

if TYPE_CHECKING:
    from reluviz.analysis.report.arguments import Arguments
    from reluviz.analysis.report.findings import Finding
    from reluviz.analysis.report.groups import Groups
    from reluviz.analysis.report.table_rows import Row


def main(argv: list[str]) -> int:
    """Read the runs, write the report, tell of it, and return 0; of what is asked for in vain nothing is written.

    Raises:
        UserError: for arguments, folders or runs that will not do.
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
    from reluviz.record import event_reader

    asked = arguments.parse(argv)
    for folder in asked.folders:
        # says in one line what is wrong with it
        event_reader.files(folder)
    output_folder.check(asked.out, f"--out {asked.out}")
    output_folder.check(asked.aggregate, f"--out {asked.out}")
    study = collect.collect(asked.folders)
    rows = table_rows.rows(study)
    metric = _metric(asked.metric, table_rows.metrics(study))
    found = findings.compare(study, metric) if metric else []

    output_folder.claim(asked.out)
    written = table_files.write(rows, study.keys, asked.out)
    written.append(printout.write(study, found, metric, asked.out / "findings.md"))
    bands = aggregate.write(study, asked.aggregate)
    written = [*_draw(study, rows, found, asked), *written]
    printout.show(study, rows, found, metric)
    printout.where(asked, written, bands, len(study.groups))
    if not any(path.suffix == ".parquet" for path in written):
        print(f"reluviz: {table_files.GET_PYARROW}", file=sys.stderr)
    return 0


def _metric(asked: str | None, known: Sequence[str]) -> str | None:
    """Return the metric to be compared; None where no run has come to its end."""
    if asked is None:
        return known[0] if known else None
    if asked not in known:
        raise UserError(
            f"--metric {asked}: must be one of {', '.join(known)}"
            if known
            else f"--metric {asked}: no run has come to its end"
        )
    return asked


def _draw(study: "Groups", rows: "Sequence[Row]", found: "Sequence[Finding]", asked: "Arguments") -> list[Path]:
    """Write pictures and page; pictures of an earlier report are taken away."""
    from reluviz.analysis.report import page, pictures

    folder = asked.out / "pictures"
    drawn = pictures.write(study, folder, asked.pictures) if asked.pictures else []
    for old in set(folder.glob("*.*")) - set(drawn):
        old.unlink(missing_ok=True)
    page.write(study, rows, found, drawn, asked.out / "report.html")
    return [asked.out / "report.html", *drawn]
