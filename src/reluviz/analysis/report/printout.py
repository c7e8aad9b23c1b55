"""Print a report to the terminal, in 80 columns, and write findings.md."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from reluviz.analysis.report import findings, statistics
from reluviz.analysis.report.arguments import Arguments
from reluviz.analysis.report.findings import ALIKE, DIFFERS, UNKNOWN, Finding
from reluviz.analysis.report.groups import Groups, ListedRun, Value
from reluviz.analysis.report.table_rows import Row
from reluviz.console import Console
from reluviz.files import atomic_write, short_path

MAX_ROWS, MAX_TALL_ROWS, MAX_SENTENCES, MAX_LISTED_RUNS, MAX_BECAME = 40, 8, 8, 5, 12
"""Limits of the terminal output; the files have all."""
MAX_KEY_COLUMNS = 4
"""If more settings vary, they share one column."""
HEADINGS = {
    DIFFERS: "Differences that exceed the seeds' spread",
    ALIKE: "No difference beyond the seeds' spread",
    UNKNOWN: "Cannot be told",
}

TOO_FEW = f"n < {statistics.MIN_VALUES}: too few replicas for a {statistics.CONFIDENCE} % interval of the median"
BECAME_HEADING = "What became of the runs"

console = Console(highlight=False)


def show(groups: Groups, rows: Sequence[Row], found: Sequence[Finding], metric: str | None) -> None:
    """Print the number of runs, the table of one metric, the findings, and the runs that are incomplete or left out."""
    for label, line in _header_lines(groups):
        console.print(Text.assemble((f"{label:8}", "dim"), line))
    shown = [row for row in rows if row.metric == metric]
    if shown:
        console.print()
        most = MAX_ROWS if len(groups.keys) <= MAX_KEY_COLUMNS else MAX_TALL_ROWS
        console.print(_table(groups, shown[:most], str(metric)))
        if len(shown) > most:
            console.print(f"and {len(shown) - most:,} more rows in table.md")
        if not groups.solved and any(row.n < statistics.MIN_VALUES for row in shown[:most]):
            console.print(TOO_FEW)
    if became := _became_lines(groups):
        console.print()
        console.print(BECAME_HEADING)
        for line in became[:MAX_BECAME]:
            console.print(Text(f"- {line}"))
        if len(became) > MAX_BECAME:
            console.print(f"- and {len(became) - MAX_BECAME:,} more in findings.md")
    if found:
        console.print()
        console.print(count_verdicts(found))
        listed = [finding for finding in found if finding.seeds >= findings.MIN_SEEDS][:MAX_SENTENCES]
        for finding in listed:
            console.print(Text(f"- {finding.sentence}"))
        if len(found) > len(listed):
            console.print(
                f"- and {len(found) - len(listed):,} more in findings.md" if listed else "They are in findings.md."
            )
    if groups.listed_runs:
        console.print()
        for run in groups.listed_runs[:MAX_LISTED_RUNS]:
            console.print(Text(_listed_run_line(run)))
        if len(groups.listed_runs) > MAX_LISTED_RUNS:
            console.print(f"and {len(groups.listed_runs) - MAX_LISTED_RUNS:,} more in findings.md")


def show_files(options: Arguments, written: Sequence[Path], bands: Sequence[Path], groups: int) -> None:
    """Print which files were written, and the command that opens the groups in TensorBoard.

    Args:
        options: the options of the report.
        written: files of the report.
        bands: folders of the groups that were written as runs.
        groups: the number of all groups.
    """
    names = list(dict.fromkeys(path.relative_to(options.out).parts[0] for path in written))
    console.print()
    out = short_path(options.out)
    lines = {"report": out, "files": ", ".join(name if "." in name else f"{name}/" for name in names)}
    if bands:
        lines["bands"] = (
            f"{short_path(options.aggregate)}, for TensorBoard: {len(bands):,} of {_counted(groups, 'group')}"
        )
    if bands or options.view_folder in options.folders:
        lines["view"] = f"python -m reluviz view {shlex.quote(short_path(options.view_folder))}"
    for label, line in lines.items():
        console.print(Text.assemble((f"{label:8}", "dim"), line), soft_wrap=True)


def write_findings(groups: Groups, found: Sequence[Finding], metric: str | None, path: Path) -> Path:
    """Write all findings, and all runs that are incomplete or left out, as Markdown, and return the path.

    Raises:
        UserError: if it cannot be written.
    """
    lines = ["# Findings", ""]
    lines += [f"{label.strip().capitalize()}: {line}." for label, line in _header_lines(groups)]
    if became := _became_lines(groups):
        lines += ["", f"## {BECAME_HEADING}", "", *(f"- {_escape_markdown(line)}" for line in became)]
    if found:
        lines += ["", f"What is compared is {metric} at the end. {findings.METHOD}", ""]
        lines += [count_verdicts(found)]
    for verdict, heading in HEADINGS.items():
        sentences = [finding.sentence for finding in found if finding.verdict == verdict]
        if sentences:
            lines += ["", f"## {heading}", "", *(f"- {_escape_markdown(sentence)}" for sentence in sentences)]
    if groups.listed_runs:
        lines += ["", "## Runs that are incomplete or left out", ""]
        lines += [f"- {_escape_markdown(_listed_run_line(listed))}" for listed in groups.listed_runs]
    with atomic_write(path) as partial:
        partial.write_text("\n".join([*lines, ""]), encoding="utf-8", errors="replace")
    return path


def count_verdicts(found: Sequence[Finding]) -> str:
    """Return a sentence with the number of comparisons for each verdict."""
    counts = Counter(finding.verdict for finding in found)
    tests = sum(finding.p == finding.p for finding in found)
    many = f"{_counted(len(found), 'comparison')} of groups that differ in one setting"
    words = f"{many}: {counts[DIFFERS]:,} beyond the seeds' spread, {counts[ALIKE]:,} not"
    if counts[UNKNOWN]:
        comparisons = max(tests, len(found))
        enough = findings.seeds_needed(comparisons)
        words += f", {counts[UNKNOWN]:,} that cannot be told ({enough} shared seeds could, in {comparisons:,} together)"
    return f"{words}."


def _became_lines(groups: Groups) -> list[str]:
    """Return a line for each group with recorded findings: `model.width=10: 7 learned, 3 still falling`."""
    return [f"{group.label}: {group.became}" for group in groups.groups if group.became]


def _header_lines(groups: Groups) -> Iterator[tuple[str, str]]:
    replicas = sum(len(group.replicas) for group in groups.groups)
    words = [f"{_counted(replicas, 'replica')} in {_counted(len(groups.groups), 'group')}"]
    for reason, count in sorted(Counter(listed.reason for listed in groups.listed_runs).items()):
        words.append(_counted(count, reason) if reason == "repeat" else f"{count:,} {reason}")
    yield "runs", f"{_counted(groups.runs, 'run')} found; {', '.join(words)}"
    yield "varies", ", ".join(groups.keys) or "nothing but the seeds"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _table(groups: Groups, rows: Sequence[Row], metric: str) -> Table:
    table = Table(title=f"{metric} at the end", title_justify="left", title_style="", box=None, pad_edge=False)
    separate = len(groups.keys) <= MAX_KEY_COLUMNS
    last = [key.rpartition(".")[2] for key in groups.keys]
    for key, name in zip(groups.keys, last, strict=True) if separate else []:
        table.add_column(name if last.count(name) == 1 else key, overflow="fold")
    if not separate:
        table.add_column("settings", overflow="fold")
    statistic_names = ("n", "diverged", "median", "q25", "q75", f"{statistics.CONFIDENCE} % of median")
    # a single value has no statistics
    for name in (metric,) if groups.solved else statistic_names:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        shown = {key: _format_value(row.settings.get(key)) for key in groups.keys}
        values = [Text(value) for value in shown.values()]
        if not separate:
            values = [Text(" ".join(f"{key}={value}" for key, value in shown.items()))]
        interval = f"{_format_number(row.low)} - {_format_number(row.high)}"
        if row.n < statistics.MIN_VALUES:
            interval = f"n < {statistics.MIN_VALUES}"
        numbers = [
            f"{row.n:,}",
            f"{row.diverged:,}",
            _format_number(row.median),
            _format_number(row.q25),
            _format_number(row.q75),
            interval,
        ]
        table.add_row(*values, *([_format_number(row.median)] if groups.solved else numbers))
    return table


def _format_number(value: float) -> str:
    return f"{value:.3g}" if value == value else "-"


def _format_value(value: Value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _listed_run_line(listed: ListedRun) -> str:
    # a folder's name may contain terminal control characters
    folder = "".join(letter if letter.isprintable() else "?" for letter in short_path(listed.folder))
    return f"{listed.reason}: {folder}: {listed.detail}"


def _escape_markdown(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\`*_<>[]|" else letter for letter in text)
