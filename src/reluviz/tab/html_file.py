"""The view and its data in one HTML file, which needs no server and no network.

The modules are the ones that TensorBoard serves. A page that is opened from disk cannot import modules, so the bundler
turns each module into a function in one script: `import {a} from "../core/b.js"` reads from the return value of b's
function. The script is embedded without comments and indentation, and compressed like the runs, because it is by far
the largest part of a small page.
"""

import base64
import gzip
import json
import re
from collections.abc import Mapping
from html import escape
from typing import Any

from reluviz.tab.static_files import read_static, resolve_import

PAGE_ENTRY, PLAYGROUND_ENTRY = "app/page.js", "app/playground.js"
"""The entries of a page with runs and of one without; app/index.js is TensorBoard's entry."""
GENERATOR, PLAYGROUND_GENERATOR = "reluviz", "reluviz playground"
"""What the pages say of their origin."""

_IMPORT = re.compile(r'^import (?:\* as (?P<all>\w+)|\{(?P<some>[^}]*)\}) from "(?P<target>\.{1,2}/[\w./]+)";$', re.M)
_EXPORT = re.compile(r"^export (?P<kind>(?:async )?function|class|const) (?P<first>[^\n]*)", re.M)
_NAME = re.compile(r"\w+")
_COMMENT = re.compile(r"^[ \t]*(?://.*|/\*(?s:.*?)\*/[ \t]*)\n", re.M)
"""A comment that has its lines to itself."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="{generator}">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body class="reluviz">
<noscript>This page needs JavaScript, which is switched off.</noscript>
{data}
<!-- The script: gzip in base64. Its source is src/reluviz/tab/static of reluviz. -->
<script type="reluviz/code">{script}</script>
<script type="module">
const packed = document.querySelector('script[type="reluviz/code"]').textContent;
const bytes = Uint8Array.from(atob(packed), (one) => one.charCodeAt(0));
const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
const script = Object.assign(document.createElement("script"), {{ type: "module" }});
script.textContent = await new Response(unpacked).text();
document.head.append(script);
</script>
</body>
</html>
"""


def html(runs: Mapping[str, Mapping[str, bytes]], title: str | None = None) -> str:
    """Return an HTML page that shows runs.

    Args:
        runs: name of a run -> `data`, `params` and, if it has any, `scalars` and `kinks`, in `wire_format`.
        title: of the page; the names of the runs by default.
    """
    # "</" is all that could end the script element early
    listing = json.dumps([_listing_entry(run, kinds) for run, kinds in runs.items()]).replace("</", "<\\/")
    blobs = [
        f'<script type="reluviz/blob" data-run="{escape(run)}" data-kind="{kind}">{_compress(kinds[kind])}</script>'
        for run, kinds in runs.items()
        for kind in ("data", "params", "scalars", "kinks")
        if kind in kinds
    ]
    data = "\n".join([f'<script type="reluviz/runs">{listing}</script>', *blobs])
    return _page(title if title is not None else f"reluviz: {', '.join(runs)}", script(), data)


def playground() -> str:
    """Return an HTML page without runs, which trains models by itself."""
    return _page("reluviz: playground", script(PLAYGROUND_ENTRY), generator=PLAYGROUND_GENERATOR)


def _page(title: str, script: str, data: str = "", generator: str = GENERATOR) -> str:
    style = read_static("style.css")
    packed = _compress(script.encode())
    return PAGE.format(title=escape(title), style=style, data=data, script=packed, generator=generator)


def script(entry: str = PAGE_ENTRY) -> str:
    """Return a module and all that it needs as one script that starts the view."""
    bundled: dict[str, str] = {}
    _bundle(entry, bundled)
    start = f"{_variable(entry)}.startPage(document.body);"
    return "\n".join([*bundled.values(), start])


def _bundle(path: str, bundled: dict[str, str]) -> None:
    """Add a module, after those that it imports, as `const m_x = (() => {...; return {exports}})()`.

    Raises:
        ValueError: if it imports a file that is not in static/.
    """
    if path in bundled:
        return
    text = without_comments(read_static(path))
    for match in _IMPORT.finditer(text):
        _bundle(resolve_import(path, match["target"]), bundled)
    names: list[str] = []

    def replace_export(match: re.Match[str]) -> str:
        name = _NAME.match(match["first"])
        assert name is not None
        names.append(name[0])
        return f"{match['kind']} {match['first']}"

    def replace_import(match: re.Match[str]) -> str:
        imported = match["all"] or f"{{{match['some']}}}".replace(" as ", ": ")
        return f"const {imported} = {_variable(resolve_import(path, match['target']))};"

    body = _EXPORT.sub(replace_export, _IMPORT.sub(replace_import, text))
    bundled[path] = f"const {_variable(path)} = (() => {{\n{body}return {{ {', '.join(names)} }};\n}})();"


def without_comments(text: str) -> str:
    """Return a module without lines of comments, empty lines and indentation.

    The code stays as it is if no template literal spans several lines; tests hold this for all modules.
    """
    return "".join(f"{line.strip()}\n" for line in _COMMENT.sub("", text).split("\n") if line.strip())


def _variable(path: str) -> str:
    """The variable that holds a module's exports: `m_core_models_relu` for core/models/relu.js."""
    return f"m_{path.removesuffix('.js').replace('/', '_')}"


def _compress(blob: bytes) -> str:
    return base64.b64encode(gzip.compress(blob, 9, mtime=0)).decode()


def _listing_entry(run: str, kinds: Mapping[str, bytes]) -> dict[str, Any]:
    """Return what the plugin's route `runs` lists for a run."""
    # imported late, because it imports NumPy, which a page without runs does not need
    from reluviz.tab import wire_format

    header = wire_format.decode(kinds["data"])[1]
    params, params_header = wire_format.decode(kinds["params"])
    update, wall = params["update"], params["wall"]
    return {
        "run": run,
        "model": header.get("model"),
        "data": header.get("name"),
        "seeds": header.get("seeds"),
        "parameters": sum(count for _, count in params_header["fields"]),
        "settings": header.get("settings"),
        "last": float(update[-1]) if len(update) else None,
        "wall": float(wall[-1]) if len(wall) else None,
        "snapshots": len(update),
    }
