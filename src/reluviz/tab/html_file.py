"""The view and its data in one HTML file, which needs no server and no network.

The modules are the ones that TensorBoard serves. A file opened from a disk may not import others, so each becomes a
function of its own in one script: `import {a} from "./b.js"` reads what b's function has returned.
"""

import base64
import gzip
import json
import re
from collections.abc import Mapping
from html import escape
from importlib import resources
from typing import Any

from reluviz.tab import wire_format

STATIC = resources.files("reluviz.tab") / "static"
START = "app.js"
"""The module that puts the view into a page; index.js is TensorBoard's."""

_IMPORT = re.compile(r'^import (?:\* as (?P<all>\w+)|\{(?P<some>[^}]*)\}) from "\./(?P<file>[\w.]+)";$', re.M)
_EXPORT = re.compile(r"^export (?P<kind>(?:async )?function|class|const) (?P<first>[^\n]*)", re.M)
_NAME = re.compile(r"\w+")

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="reluviz">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body class="reluviz">
<noscript>This page draws with JavaScript, which is switched off.</noscript>
<script type="reluviz/runs">{listing}</script>
{blobs}
<script type="module">
{script}
</script>
</body>
</html>
"""


def html(runs: Mapping[str, Mapping[str, bytes]], title: str | None = None) -> str:
    """Return a page that shows runs.

    Args:
        runs: name of a run -> `data`, `params` and, if there are any, `scalars`, in `wire_format`.
        title: of the page; the names of the runs by default.
    """
    blobs = [
        f'<script type="reluviz/blob" data-run="{escape(run)}" data-kind="{kind}">{_packed(kinds[kind])}</script>'
        for run, kinds in runs.items()
        for kind in ("data", "params", "scalars")
        if kind in kinds
    ]
    return PAGE.format(
        title=escape(title if title is not None else f"reluviz: {', '.join(runs)}"),
        style=(STATIC / "style.css").read_text("utf-8"),
        # in a script only this could end it early
        listing=json.dumps([_listed(run, kinds) for run, kinds in runs.items()]).replace("</", "<\\/"),
        blobs="\n".join(blobs),
        script=script(),
    )


def script() -> str:
    """Return all modules as one script that starts the view."""
    done: dict[str, str] = {}
    _bundle(START, done)
    _bundle("source.js", done)
    start = f"{_variable(START)}.start(document.body, {_variable('source.js')}.embeddedSource(document));"
    return "\n".join([*done.values(), start]).replace("</script", "<\\/script")


def _bundle(file: str, done: dict[str, str]) -> None:
    """Add a module, after those that it imports, as `const m_x = (() => {...; return {exports}})()`."""
    if file in done:
        return
    text = (STATIC / file).read_text("utf-8")
    for found in _IMPORT.finditer(text):
        _bundle(found["file"], done)
    names: list[str] = []

    def exported(found: re.Match[str]) -> str:
        name = _NAME.match(found["first"])
        assert name is not None
        names.append(name[0])
        return f"{found['kind']} {found['first']}"

    def imported(found: re.Match[str]) -> str:
        wanted = found["all"] or f"{{{found['some']}}}".replace(" as ", ": ")
        return f"const {wanted} = {_variable(found['file'])};"

    body = _EXPORT.sub(exported, _IMPORT.sub(imported, text))
    done[file] = f"const {_variable(file)} = (() => {{\n{body}return {{ {', '.join(names)} }};\n}})();"


def _variable(file: str) -> str:
    return f"m_{file.removesuffix('.js')}"


def _packed(blob: bytes) -> str:
    return base64.b64encode(gzip.compress(blob, 9, mtime=0)).decode()


def _listed(run: str, kinds: Mapping[str, bytes]) -> dict[str, Any]:
    """Return what the routes list of a run."""
    header = wire_format.decode(kinds["data"])[1]
    params, told = wire_format.decode(kinds["params"])
    update, wall = params["update"], params["wall"]
    return {
        "run": run,
        "model": header.get("model"),
        "data": header.get("name"),
        "seeds": header.get("seeds"),
        "parameters": sum(count for _, count in told["fields"]),
        "settings": header.get("settings"),
        "last": float(update[-1]) if len(update) else None,
        "wall": float(wall[-1]) if len(wall) else None,
        "snapshots": len(update),
    }
