"""A report in words: on the screen, in 80 columns, and as findings.md."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from reluviz.analysis.report import findings as comparing
from reluviz.analysis.report import statistics
from reluviz.analysis.report.arguments import Arguments
from reluviz.analysis.report.findings import ALIKE, DIFFERS, UNKNOWN, Finding
from reluviz.analysis.report.groups import Groups, Skipped, Value
from reluviz.analysis.report.output_folder import replaced
from reluviz.analysis.report.table_rows import Row
from reluviz.console import Console
from reluviz.files import short

MOST_ROWS, MOST_TALL_ROWS, MOST_SENTENCES, MOST_LEFT = 40, 8, 8, 5
"""On the screen; the files have all."""
MOST_KEYS = 4
"""With more settings that vary, they share a column."""
HEADINGS = {
    DIFFERS: "Differences that exceed the seeds' spread",
    ALIKE: "No difference beyond the seeds' spread",
    UNKNOWN: "Cannot be told",
}

console = Console(highlight=False)


def show(study: Groups, rows: Sequence[Row], found: Sequence[Finding], metric: str | None) -> None:
    """Print what was found: the runs, the table of one metric, the findings, and the runs that are left out."""
    for label, line in _head(study):
        console.print(Text.assemble((f"{label:8}", "dim"), line))
    shown = [row for row in rows if row.metric == metric]
    if shown:
        console.print()
        most = MOST_ROWS if len(study.keys) <= MOST_KEYS else MOST_TALL_ROWS
        console.print(_table(study, shown[:most], str(metric)))
        if len(shown) > most:
            console.print(f"and {len(shown) - most:,} more rows in table.md")
    if found:
        console.print()
        console.print(summary(found))
        told = [one for one in found if one.seeds >= comparing.FEWEST][:MOST_SENTENCES]
        for one in told:
            console.print(Text(f"- {one.sentence}"))
        if len(found) > len(told):
            console.print(
                f"- and {len(found) - len(told):,} more in findings.md" if told else "They are in findings.md."
            )
    if study.left:
        console.print()
        for left in study.left[:MOST_LEFT]:
            console.print(Text(_left(left)))
        if len(study.left) > MOST_LEFT:
            console.print(f"and {len(study.left) - MOST_LEFT:,} more in findings.md")


def where(options: Arguments, written: Sequence[Path], bands: Sequence[Path], groups: int) -> None:
    """Print what was written where, and the command that shows it.

    Args:
        options: what was asked for.
        written: files of the report.
        bands: folders of the groups as runs.
        groups: how many there are.
    """
    names = list(dict.fromkeys(path.relative_to(options.out).parts[0] for path in written))
    console.print()
    out = short(options.out)
    lines = {"report": out, "files": ", ".join(name if "." in name else f"{name}/" for name in names)}
    if bands:
        lines["bands"] = f"{short(options.aggregate)}, for TensorBoard: {len(bands):,} of {_count(groups, 'group')}"
    if bands or options.shown in options.folders:
        lines["view"] = f"python -m reluviz view {shlex.quote(short(options.shown))}"
    for label, line in lines.items():
        console.print(Text.assemble((f"{label:8}", "dim"), line), soft_wrap=True)


def write(study: Groups, found: Sequence[Finding], metric: str | None, path: Path) -> Path:
    """Write all findings, and all runs that are left out, as a page in Markdown.

    Raises:
        UserError: if it cannot be written.
    """
    lines = ["# Findings", ""]
    lines += [f"{label.strip().capitalize()}: {line}." for label, line in _head(study)]
    if found:
        lines += ["", f"What is compared is {metric} at the end. {comparing.METHOD}", ""]
        lines += [summary(found)]
    for verdict, heading in HEADINGS.items():
        sentences = [one.sentence for one in found if one.verdict == verdict]
        if sentences:
            lines += ["", f"## {heading}", "", *(f"- {_escaped(sentence)}" for sentence in sentences)]
    if study.left:
        lines += ["", "## Runs that are incomplete or left out", ""]
        lines += [f"- {_escaped(_left(left))}" for left in study.left]
    with replaced(path) as beside:
        beside.write_text("\n".join([*lines, ""]), encoding="utf-8", errors="replace")
    return path


def summary(found: Sequence[Finding]) -> str:
    """Return in a sentence how many comparisons came to what."""
    counts = Counter(one.verdict for one in found)
    tests = sum(one.p == one.p for one in found)
    many = f"{_count(len(found), 'comparison')} of groups that differ in one setting"
    words = f"{many}: {counts[DIFFERS]:,} beyond the seeds' spread, {counts[ALIKE]:,} not"
    if counts[UNKNOWN]:
        together = max(tests, len(found))
        enough = comparing.fewest_seeds(together)
        words += f", {counts[UNKNOWN]:,} that cannot be told ({enough} shared seeds could, in {together:,} together)"
    return f"{words}."


def _head(study: Groups) -> Iterator[tuple[str, str]]:
    replicas = sum(len(group.replicas) for group in study.groups)
    words = [f"{_count(replicas, 'replica')} in {_count(len(study.groups), 'group')}"]
    for why, count in sorted(Counter(left.why for left in study.left).items()):
        words.append(_count(count, why) if why == "repeat" else f"{count:,} {why}")
    yield "runs", f"{_count(study.runs, 'run')} found; {', '.join(words)}"
    yield "varies", ", ".join(study.keys) or "nothing but the seeds"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _table(study: Groups, rows: Sequence[Row], metric: str) -> Table:
    table = Table(title=f"{metric} at the end", title_justify="left", title_style="", box=None, pad_edge=False)
    separate = len(study.keys) <= MOST_KEYS
    last = [key.rpartition(".")[2] for key in study.keys]
    for key, name in zip(study.keys, last, strict=True) if separate else []:
        table.add_column(name if last.count(name) == 1 else key, overflow="fold")
    if not separate:
        table.add_column("settings", overflow="fold")
    for name in ("n", "diverged", "median", "q25", "q75", f"{statistics.CONFIDENCE} % of median"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        shown = {key: _short(row.settings.get(key)) for key in study.keys}
        values = [Text(value) for value in shown.values()]
        if not separate:
            values = [Text(" ".join(f"{key}={value}" for key, value in shown.items()))]
        interval = f"{_number(row.low)} - {_number(row.high)}" if row.n > 1 else "-"
        numbers = [f"{row.n:,}", f"{row.diverged:,}", _number(row.median), _number(row.q25), _number(row.q75), interval]
        table.add_row(*values, *numbers)
    return table


def _number(value: float) -> str:
    return f"{value:.3g}" if value == value else "-"


def _short(value: Value) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _left(left: Skipped) -> str:
    # a folder's name may hold commands to a terminal
    where = "".join(one if one.isprintable() else "?" for one in short(left.folder))
    return f"{left.why}: {where}: {left.detail}"


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\`*_<>[]|" else letter for letter in text)
