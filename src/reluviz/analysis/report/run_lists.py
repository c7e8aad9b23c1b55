"""The runs of a page: where they are, and how each can be looked at by itself.

Of ten thousand runs a page names some, and says how many more there are.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from reluviz.analysis.report.groups import Group, Skipped
from reluviz.analysis.report.run_folders import RunFolder, command, link, pages, run_folders

MOST_LEFT, MOST_GROUPS, MOST_RUNS = 300, 200, 10
"""Runs that are named as left out, groups whose runs are listed, and runs of each."""


def incomplete(left: Sequence[Skipped], path: Path) -> str:
    """Return the runs that are left out or incomplete, folded; links start from `path`."""
    if not left:
        return ""
    kinds: dict[str, int] = {}
    for each in left:
        kinds[each.why] = kinds.get(each.why, 0) + 1
    told = both([f"{many:,} {escape(why)}" for why, many in kinds.items()])
    items = [
        f"<li><b>{escape(each.why)}</b> {anchor(each.folder, path)}: {escape(each.detail)}</li>"
        for each in left[:MOST_LEFT]
    ]
    return (
        f"<details class='print'><summary>Runs that are incomplete or left out: {told}</summary>"
        f"<ul>{''.join(items)}{_more(len(left) - MOST_LEFT, 'run')}</ul></details>"
    )


def _more(many: int, what: str) -> str:
    return f"<li>and {count(many, f'more {what}')}</li>" if many > 0 else ""


def anchor(target: Path, path: Path, words: str | None = None) -> str:
    """Return a link to a file or folder from the page `path`."""
    return f'<a href="{escape(link(target, path))}">{escape(words or str(target))}</a>'


def listed(groups: Sequence[Group], path: Path) -> str:
    """Return the runs of every group, folded, each with the command that shows it; links start from `path`."""
    if not groups:
        return ""
    parts = ["<p class='soft'>The command shows a run in TensorBoard, with its elbows, slopes and votes.</p>"]
    for group in groups[:MOST_GROUPS]:
        found = run_folders(group.replicas)
        told = f"{count(len(group.replicas), 'replica')} from {count(len(found), 'run')}"
        some = "".join(_run(place, path) for place in found[:MOST_RUNS])
        rest = f"<p>and {count(len(found) - MOST_RUNS, 'more run')}</p>" if len(found) > MOST_RUNS else ""
        parts.append(
            f"<details><summary><b>{escape(group.label)}</b> <span class='soft'>{told}</span></summary>"
            f"{some}{rest}</details>"
        )
    if len(groups) > MOST_GROUPS:
        parts.append(f"<p>and {count(len(groups) - MOST_GROUPS, 'more group')}</p>")
    return "\n".join(parts)


def _run(place: RunFolder, path: Path) -> str:
    seeds = ", ".join(str(seed) for seed in place.seeds[:8]) + (" …" if len(place.seeds) > 8 else "")
    also = "".join(f", {anchor(page, path, page.name)}" for page in pages(place.folder))
    return (
        f"<div class='run'>{anchor(place.folder, path)}{also} <span class='soft'>{escape(place.status)}, "
        f"{'seed' if len(place.seeds) == 1 else 'seeds'} {seeds}</span><br>"
        f"<code class='command'>{escape(command(place.folder))}</code></div>"
    )


def count(number: int, what: str) -> str:
    """Return a number with what it counts: "1 run", "2,000 runs"."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def both(words: Sequence[str]) -> str:
    """Return words as a list: "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
