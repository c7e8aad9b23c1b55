"""A report as one HTML file, which needs no server and no network.

Names of folders and values of settings are not trusted: the template escapes all values, and the page allows no script
but its own.
"""

import base64
import hashlib
import html
import math
import os
import shlex
import subprocess
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from reluviz.analysis.report.findings import ALIKE, DIFFERS, UNKNOWN
from reluviz.analysis.report.groups import Group, Groups, Replica, Value
from reluviz.analysis.report.inline_images import inline
from reluviz.analysis.report.statistics import MIN_VALUES
from reluviz.files import atomic_write

STATIC = resources.files("reluviz.analysis.report") / "static"
LIMITS = {"findings": 100, "rows": 2000, "listed": 300, "groups": 200, "runs": 10, "seeds": 8}
"""The page shows at most this many findings of each verdict, rows of the table, incomplete runs, groups with their
runs, runs of a group, and seeds of a run. The other files of the report have all."""
MAX_PAGES = 3
"""The page links to at most this many pages that were exported into a run's folder."""
VERDICT_HEADINGS = {
    DIFFERS: "Differences that exceed the seeds' spread",
    ALIKE: "No difference beyond the seeds' spread",
    UNKNOWN: "Cannot be told",
}
NUMBER_COLUMNS = {
    "n": "n",
    "diverged": "diverged",
    "median": "median",
    "q25": "q25",
    "q75": "q75",
    "low": "95 % from",
    "high": "to",
}
"""Field of a row -> heading of its column."""


class Row(Protocol):
    """One metric of one group, with the fields of `NUMBER_COLUMNS`; `table_rows.Row` is one."""

    @property
    def settings(self) -> Mapping[str, Value]: ...  # noqa: D102
    @property
    def metric(self) -> str: ...  # noqa: D102


class Finding(Protocol):
    """What the page shows of a `findings.Finding`."""

    @property
    def verdict(self) -> str: ...  # noqa: D102
    @property
    def sentence(self) -> str: ...  # noqa: D102


def write_page(
    groups: Groups, rows: Sequence[Row], findings: Sequence[Finding], pictures: Sequence[Path], path: Path
) -> None:
    """Write a report as one HTML file, atomically.

    Args:
        groups: the groups of replicas, with the folders they were read from and the skipped runs.
        rows: the rows of the table, one for each metric of a group.
        findings: the comparisons of groups.
        pictures: the picture files that `reluviz.analysis.report.pictures.write` returned.
        path: the HTML file to write.

    Raises:
        UserError: if a picture cannot be read, or the file cannot be written.
    """
    text = render_page(groups, rows, findings, pictures, path)
    with atomic_write(path) as partial:
        # a file name that is not valid Unicode must not stop the report
        partial.write_bytes(text.encode("utf-8", "replace"))


def render_page(
    groups: Groups, rows: Sequence[Row], findings: Sequence[Finding], pictures: Sequence[Path], path: Path
) -> str:
    """Return the page as HTML; its links are relative to `path`."""
    from jinja2 import Environment
    from markupsafe import Markup

    def escaped(value: Any) -> Any:
        # text that the template made is HTML already
        return value if hasattr(value, "__html__") else Markup(html.escape(str(value)))

    style, script, template = ((STATIC / f"report.{name}").read_text("utf-8") for name in ("css", "js", "html.jinja"))
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, finalize=escaped
    )
    environment.filters["counted"] = counted
    verdicts = {verdict: [one.sentence for one in findings if one.verdict == verdict] for verdict in VERDICT_HEADINGS}
    numeric = {key for key in groups.keys if all(_is_number(row.settings.get(key)) for row in rows)}
    page = environment.from_string(template).render(
        limits=LIMITS,
        name=", ".join(folder.name or str(folder) for folder in groups.folders),
        style=style,
        script=script,
        style_hash=_csp_hash(style),
        script_hash=_csp_hash(script),
        run_count=groups.runs,
        replica_count=sum(len(group.replicas) for group in groups.groups),
        keys=groups.keys,
        solved=groups.solved,
        min_values=MIN_VALUES,
        folders=groups.folders,
        reasons=Counter(run.reason for run in groups.listed_runs),
        incomplete=[
            {"reason": run.reason, "folder": run.folder, "link": relative_link(run.folder, path), "detail": run.detail}
            for run in groups.listed_runs
        ],
        verdicts=[
            {"title": VERDICT_HEADINGS[verdict], "sentences": sentences, "folded": verdict != DIFFERS}
            for verdict, sentences in verdicts.items()
            if sentences
        ],
        became=[{"label": group.label, "counts": group.became} for group in groups.groups if group.became],
        headers=_headers(groups.keys, numeric),
        rows=[_cells(groups.keys, numeric, row) for row in rows],
        pictures=[
            vars(image) | {"link": relative_link(image.path, path), "name": image.path.name}
            for image in inline(pictures)
        ],
        groups=[_runs_of(group, path) for group in groups.groups],
    )
    # the macros at the top of the template leave empty lines
    return page.lstrip()


def counted(number: int, what: str) -> str:
    """Return a number with a noun in singular or plural: "1 run", "2,000 runs"."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def format_number(value: float) -> str:
    """Return a float with four digits, an integer with all digits, infinity as ∞ and NaN as –."""
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return "–" if math.isnan(value) else f"{'−' * (value < 0)}∞"
    return f"{value:.4g}".replace("-", "−")


def relative_link(target: Path, page: Path) -> str:
    """Return the URL of a file or folder relative to a page, so that both can be moved together."""
    try:
        path = os.path.relpath(target, page.parent)
    except ValueError:  # on another drive
        return Path(os.path.abspath(target)).as_uri()
    # without ./ a colon in the first part would make it a URL scheme
    return "./" + quote(os.fsencode(Path(path).as_posix()))


def view_command(folder: Path) -> str:
    """Return the command that shows a run, quoted for the shell of this system."""
    words = ["python", "-m", "reluviz", "view", str(folder)]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _csp_hash(text: str) -> str:
    """Return the hash by which the Content-Security-Policy allows an inline style or script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _headers(keys: Sequence[str], numeric: Collection[str]) -> list[dict[str, Any]]:
    """Return the headings of the table; a browser may break them between their parts, after dots and underscores."""
    found = [{"parts": _parts(key), "numeric": key in numeric} for key in keys]
    found.append({"parts": ["metric"], "numeric": False})
    return found + [{"parts": [title], "numeric": True} for title in NUMBER_COLUMNS.values()]


def _parts(key: str) -> list[str]:
    return key.replace(".", ".\n").replace("_", "_\n").split("\n")


def _cells(keys: Sequence[str], numeric: Collection[str], row: Row) -> dict[str, Any]:
    settings = [("none" if row.settings.get(key) is None else str(row.settings[key]), key in numeric) for key in keys]
    numbers = [(getattr(row, name), name == "diverged") for name in NUMBER_COLUMNS]
    return {
        "settings": [{"text": text, "numeric": is_number} for text, is_number in settings],
        "metric": row.metric,
        "numbers": [
            {"value": _javascript_number(value), "text": format_number(value), "bad": is_count and bool(value)}
            for value, is_count in numbers
        ],
    }


def _javascript_number(value: float) -> str:
    """Return a number that JavaScript can parse."""
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"


def _runs_of(group: Group, page: Path) -> dict[str, Any]:
    """Return the runs that contain the replicas of a group, in order of first appearance."""
    by_folder: dict[Path, list[Replica]] = {}
    for replica in group.replicas:
        by_folder.setdefault(replica.folder, []).append(replica)
    runs = [
        {
            "folder": folder,
            "link": relative_link(folder, page),
            "pages": [{"name": one.name, "link": relative_link(one, page)} for one in exported_pages(folder)],
            "status": replicas[0].status,
            "seeds": [replica.seed for replica in replicas],
            "command": view_command(folder),
        }
        for folder, replicas in islice(by_folder.items(), LIMITS["runs"])
    ]
    return {"label": group.label, "replicas": len(group.replicas), "run_count": len(by_folder), "runs": runs}


def exported_pages(folder: Path) -> list[Path]:
    """Return up to `MAX_PAGES` HTML pages that were exported into the folder of a run."""
    try:
        return sorted(islice(folder.glob("*.html"), MAX_PAGES))
    except OSError:
        return []
