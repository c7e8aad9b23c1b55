"""The lists of runs in the HTML page, with links to their folders and the commands that show them.

The lists are cut, with the number of further runs, so that a page on ten thousand runs stays small.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from reluviz.analysis.report.groups import Group, ListedRun
from reluviz.analysis.report.run_folders import RunFolder, exported_pages, relative_link, run_folders, view_command

MAX_LISTED_RUNS, MAX_GROUPS, MAX_RUNS = 300, 200, 10
"""Limits of the incomplete runs, of the groups whose runs are listed, and of the runs listed for each group."""


def list_incomplete_runs(listed_runs: Sequence[ListedRun], page_path: Path) -> str:
    """Return the runs that are incomplete or left out, folded; links are relative to `page_path`."""
    if not listed_runs:
        return ""
    numbers: dict[str, int] = {}
    for run in listed_runs:
        numbers[run.reason] = numbers.get(run.reason, 0) + 1
    counts = join_words([f"{number:,} {escape(reason)}" for reason, number in numbers.items()])
    items = [
        f"<li><b>{escape(run.reason)}</b> {anchor(run.folder, page_path)}: {escape(run.detail)}</li>"
        for run in listed_runs[:MAX_LISTED_RUNS]
    ]
    return (
        f"<details class='print'><summary>Runs that are incomplete or left out: {counts}</summary>"
        f"<ul>{''.join(items)}{_more(len(listed_runs) - MAX_LISTED_RUNS, 'run')}</ul></details>"
    )


def _more(number: int, what: str) -> str:
    return f"<li>and {counted(number, f'more {what}')}</li>" if number > 0 else ""


def anchor(target: Path, page_path: Path, text: str | None = None) -> str:
    """Return a link to a file or folder, relative to `page_path`."""
    return f'<a href="{escape(relative_link(target, page_path))}">{escape(text or str(target))}</a>'


def runs_of_groups(groups: Sequence[Group], page_path: Path) -> str:
    """Return the runs of every group, folded, each with its command; links are relative to `page_path`."""
    if not groups:
        return ""
    parts = ["<p class='soft'>The command shows a run in TensorBoard, with its elbows, slopes and votes.</p>"]
    for group in groups[:MAX_GROUPS]:
        folders = run_folders(group.replicas)
        counts = f"{counted(len(group.replicas), 'replica')} from {counted(len(folders), 'run')}"
        runs = "".join(_run(run_folder, page_path) for run_folder in folders[:MAX_RUNS])
        rest = f"<p>and {counted(len(folders) - MAX_RUNS, 'more run')}</p>" if len(folders) > MAX_RUNS else ""
        parts.append(
            f"<details><summary><b>{escape(group.label)}</b> <span class='soft'>{counts}</span></summary>"
            f"{runs}{rest}</details>"
        )
    if len(groups) > MAX_GROUPS:
        parts.append(f"<p>and {counted(len(groups) - MAX_GROUPS, 'more group')}</p>")
    return "\n".join(parts)


def _run(run_folder: RunFolder, page_path: Path) -> str:
    seeds = ", ".join(str(seed) for seed in run_folder.seeds[:8]) + (" …" if len(run_folder.seeds) > 8 else "")
    page_links = "".join(f", {anchor(page, page_path, page.name)}" for page in exported_pages(run_folder.folder))
    return (
        f"<div class='run'>{anchor(run_folder.folder, page_path)}{page_links} "
        f"<span class='soft'>{escape(run_folder.status)}, "
        f"{'seed' if len(run_folder.seeds) == 1 else 'seeds'} {seeds}</span><br>"
        f"<code class='command'>{escape(view_command(run_folder.folder))}</code></div>"
    )


def counted(number: int, what: str) -> str:
    """Return a number with a noun in singular or plural: "1 run", "2,000 runs"."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def join_words(words: Sequence[str]) -> str:
    """Return words joined as in a sentence: "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
