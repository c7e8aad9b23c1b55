"""A report as one HTML file, which needs no server and no network.

Names of folders and values of settings are not trusted: all are escaped, and the page allows no script but its own.
"""

import base64
import hashlib
import os
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Protocol

from reluviz.analysis.report.findings import ALIKE, DIFFERS, UNKNOWN
from reluviz.analysis.report.groups import Groups
from reluviz.analysis.report.html_table import Row, html_table
from reluviz.analysis.report.inline_images import InlineImage, inline
from reluviz.analysis.report.run_lists import anchor, counted, join_words, list_incomplete_runs, runs_of_groups
from reluviz.errors import UserError

STATIC = resources.files("reluviz.analysis.report") / "static"
MAX_FINDINGS = 100
"""The page shows at most this many findings for each verdict; findings.md has all."""
VERDICT_HEADINGS = {
    DIFFERS: "Differences that exceed the seeds' spread",
    ALIKE: "No difference beyond the seeds' spread",
    UNKNOWN: "Cannot be told",
}


class Finding(Protocol):
    """The fields of a `findings.Finding` that the page shows; a protocol, so that the page depends on no others."""

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
    partial = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # a file name that is not valid Unicode must not stop the report
            partial.write_bytes(text.encode("utf-8", "replace"))
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


def render_page(
    groups: Groups, rows: Sequence[Row], findings: Sequence[Finding], pictures: Sequence[Path], path: Path
) -> str:
    """Return the page as HTML; its links are relative to `path`."""
    style, script = ((STATIC / name).read_text("utf-8") for name in ("report.css", "report.js"))
    sections = {
        "findings": ("Findings", _findings_html(findings)),
        "table": ("Table", html_table(groups, rows)),
        "pictures": ("Pictures", "\n".join(_picture_html(picture, path) for picture in inline(pictures))),
        "runs": ("Runs", runs_of_groups(groups.groups, path)),
    }
    nonempty_sections = {name: section for name, section in sections.items() if section[1]}
    links = "".join(f'<a href="#{name}">{title}</a>' for name, (title, _) in nonempty_sections.items())
    incomplete = list_incomplete_runs(groups.listed_runs, path)
    return PAGE.format(
        title=escape(f"reluviz report: {_folder_names(groups)}"),
        style=style,
        script=script,
        style_hash=_csp_hash(style),
        script_hash=_csp_hash(script),
        head=f"{_header(groups)}\n<nav aria-label='Sections'>{links}</nav>\n{incomplete}",
        body="\n".join(
            f'<section id="{name}" aria-labelledby="h-{name}"><h2 id="h-{name}">{title}</h2>\n{body}\n</section>'
            for name, (title, body) in nonempty_sections.items()
        ),
    )


def _csp_hash(text: str) -> str:
    """Return the hash by which the Content-Security-Policy allows an inline style or script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _folder_names(groups: Groups) -> str:
    return ", ".join(folder.name or str(folder) for folder in groups.folders)


def _header(groups: Groups) -> str:
    replicas = sum(len(group.replicas) for group in groups.groups)
    differ = f", which differ in {join_words([f'<b>{escape(key)}</b>' for key in groups.keys])}" if groups.keys else ""
    counts_text = (
        f"{counted(groups.runs, 'run')} found; {counted(replicas, 'replica')} in {counted(len(groups.groups), 'group')}"
    )
    folder_list = ", ".join(f"<code>{escape(str(folder))}</code>" for folder in groups.folders)
    return (
        f"<h1>Report on {escape(_folder_names(groups))}</h1>\n<p>{counts_text}{differ}.</p>\n"
        f"<p class='soft'>Read from {folder_list}.</p>"
    )


def _findings_html(findings: Sequence[Finding]) -> str:
    """Return the findings by verdict: the differences first, then the other verdicts, collapsed."""
    parts = []
    for verdict, title in VERDICT_HEADINGS.items():
        sentences = [f"<li>{escape(finding.sentence)}</li>" for finding in findings if finding.verdict == verdict]
        if not sentences:
            continue
        head, rest = f"{title} ({len(sentences):,})", f"<li>and {len(sentences) - MAX_FINDINGS:,} more</li>"
        body = f"<ul>{''.join(sentences[:MAX_FINDINGS])}{rest if len(sentences) > MAX_FINDINGS else ''}</ul>"
        if verdict == DIFFERS:
            parts.append(f"<h3>{head}</h3>{body}")
        else:
            parts.append(f"<details class='print'><summary>{head}</summary>{body}</details>")
    return "\n".join(parts)


def _picture_html(picture: InlineImage, path: Path) -> str:
    caption = f"<figcaption>{escape(picture.title)}.</figcaption>"
    if picture.source is None:
        link = anchor(picture.path, path, picture.path.name)
        return f"<figure><p>{escape(picture.title)}: too large for this page, see {link}.</p></figure>"
    size = f" width='{picture.size[0]}' height='{picture.size[1]}'" if picture.size else ""
    alt = escape(picture.description or picture.title)
    return f'<figure><img src="{picture.source}" alt="{alt}"{size}>{caption}</figure>'
