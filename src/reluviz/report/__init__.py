"""The verb `report`: statistics over many runs, as tables, pictures and a page."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reluviz.errors import UserError

if TYPE_CHECKING:
    from reluviz.report.findings import Finding
    from reluviz.report.options import Options
    from reluviz.report.study import Study
    from reluviz.report.table import Row


def main(argv: list[str]) -> int:
    """Read the runs, write the report, tell of it, and return 0; of what is asked for in vain nothing is written.

    Raises:
        UserError: for arguments, folders or runs that will not do.
    """
    from reluviz.report import aggregate, files, findings, gather, options, table, tables, telling
    from reluviz.runs import events

    asked = options.parse(argv)
    for folder in asked.folders:
        # says in one line what is wrong with it
        events.files(folder)
    files.check(asked.out, f"--out {asked.out}")
    files.check(asked.aggregate, f"--out {asked.out}")
    study = gather.study(asked.folders)
    rows = table.rows(study)
    metric = _metric(asked.metric, table.metrics(study))
    found = findings.compare(study, metric) if metric else []

    files.claim(asked.out)
    written = tables.write(rows, study.keys, asked.out)
    written.append(telling.write(study, found, metric, asked.out / "findings.md"))
    bands = aggregate.write(study, asked.aggregate)
    written = [*_draw(study, rows, found, asked), *written]
    telling.show(study, rows, found, metric)
    telling.where(asked, written, bands, len(study.groups))
    if not any(path.suffix == ".parquet" for path in written):
        print(f"reluviz: {tables.GET_PYARROW}", file=sys.stderr)
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


def _draw(study: "Study", rows: "Sequence[Row]", found: "Sequence[Finding]", asked: "Options") -> list[Path]:
    """Write pictures and page; pictures of an earlier report are taken away."""
    from reluviz.report import page, pictures

    folder = asked.out / "pictures"
    drawn = pictures.write(study, folder, asked.pictures) if asked.pictures else []
    for old in set(folder.glob("*.*")) - set(drawn):
        old.unlink(missing_ok=True)
    page.write(study, rows, found, drawn, asked.out / "report.html")
    return [asked.out / "report.html", *drawn]
