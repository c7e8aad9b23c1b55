"""A report as one HTML file, which needs no server and no network.

Names of folders and values of settings were chosen by anybody: all of them are escaped, and the page allows no
script but its own.
"""

import base64
import hashlib
import os
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Protocol

from reluviz.analysis.report.grid import Row, table
from reluviz.analysis.report.groups import Groups
from reluviz.analysis.report.inline_images import InlineImage, inline
from reluviz.analysis.report.run_lists import anchor, both, count, incomplete, listed
from reluviz.errors import UserError

STATIC = resources.files("reluviz.analysis.report") / "static"
MOST_FINDINGS = 100
"""So many of a kind are in the page; the other files have all."""
DIFFERS = "differs"
VERDICTS = {
    DIFFERS: "Differences that exceed the seeds' spread",
    "alike": "No difference beyond the seeds' spread",
    "unknown": "Cannot be told",
}


class Finding(Protocol):
    """A comparison of groups in words, and what it comes to: differs, alike or unknown."""

    @property
    def verdict(self) -> str: ...  # noqa: D102

    @property
    def sentence(self) -> str: ...  # noqa: D102


PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="reluviz">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src '{style_hash}'; \
script-src '{script_hash}'; base-uri 'none'; form-action 'none'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
{head}
</header>
<main>
{body}
</main>
<footer>Made by <code>python -m reluviz report</code>. Quartiles are those of numpy.percentile.</footer>
<script>{script}</script>
</body>
</html>
"""


def write(
    study: Groups, rows: Sequence[Row], findings: Sequence[Finding], pictures: Sequence[Path], path: Path
) -> None:
    """Write a report as one HTML file, in one move.

    Args:
        study: what was read.
        rows: the table.
        findings: what follows from it.
        pictures: files of `reluviz.analysis.report.pictures.write`.
        path: the file.

    Raises:
        UserError: where a picture cannot be read, or the file cannot be written.
    """
    text = html(study, rows, findings, pictures, path)
    beside = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # a name that is no text, as a file system may hold, must not end the report
            beside.write_bytes(text.encode("utf-8", "replace"))
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


def html(study: Groups, rows: Sequence[Row], findings: Sequence[Finding], pictures: Sequence[Path], path: Path) -> str:
    """Return the page; its links start from `path`."""
    style, script = ((STATIC / name).read_text("utf-8") for name in ("report.css", "report.js"))
    shown = inline(pictures)
    sections = {
        "findings": ("Findings", _findings(findings)),
        "table": ("Table", table(study, rows)),
        "pictures": ("Pictures", "\n".join(_figure(each, path) for each in shown)),
        "runs": ("Runs", listed(study.groups, path)),
    }
    kept = {name: section for name, section in sections.items() if section[1]}
    links = "".join(f'<a href="#{name}">{title}</a>' for name, (title, _) in kept.items())
    return PAGE.format(
        title=escape(f"reluviz report: {_named(study)}"),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        head=f"{_head(study)}\n<nav aria-label='Sections'>{links}</nav>\n{incomplete(study.left, path)}",
        body="\n".join(
            f'<section id="{name}" aria-labelledby="h-{name}"><h2 id="h-{name}">{title}</h2>\n{body}\n</section>'
            for name, (title, body) in kept.items()
        ),
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _named(study: Groups) -> str:
    return ", ".join(folder.name or str(folder) for folder in study.folders)


def _head(study: Groups) -> str:
    replicas = sum(len(group.replicas) for group in study.groups)
    differ = f", which differ in {both([f'<b>{escape(key)}</b>' for key in study.keys])}" if study.keys else ""
    many = f"{count(study.runs, 'run')} found; {count(replicas, 'replica')} in {count(len(study.groups), 'group')}"
    read = ", ".join(f"<code>{escape(str(folder))}</code>" for folder in study.folders)
    return f"<h1>Report on {escape(_named(study))}</h1>\n<p>{many}{differ}.</p>\n<p class='soft'>Read from {read}.</p>"


def _findings(findings: Sequence[Finding]) -> str:
    """Return the findings by what they say: those that say that there is a difference first, the others folded."""
    parts = []
    for verdict, title in VERDICTS.items():
        items = [f"<li>{escape(each.sentence)}</li>" for each in findings if each.verdict == verdict]
        if not items:
            continue
        head, rest = f"{title} ({len(items):,})", f"<li>and {len(items) - MOST_FINDINGS:,} more</li>"
        body = f"<ul>{''.join(items[:MOST_FINDINGS])}{rest if len(items) > MOST_FINDINGS else ''}</ul>"
        if verdict == DIFFERS:
            parts.append(f"<h3>{head}</h3>{body}")
        else:
            parts.append(f"<details class='print'><summary>{head}</summary>{body}</details>")
    return "\n".join(parts)


def _figure(picture: InlineImage, path: Path) -> str:
    caption = f"<figcaption>{escape(picture.title)}.</figcaption>"
    if picture.source is None:
        where = anchor(picture.path, path, picture.path.name)
        return f"<figure><p>{escape(picture.title)}: too large for this page, see {where}.</p></figure>"
    size = f" width='{picture.size[0]}' height='{picture.size[1]}'" if picture.size else ""
    alt = escape(picture.words or picture.title)
    return f'<figure><img src="{picture.source}" alt="{alt}"{size}>{caption}</figure>'
