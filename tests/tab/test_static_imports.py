"""The folders of the view's JavaScript modules: imports point down only, without cycles, and reach every module."""

import re

import pytest

from reluviz.tab.static_files import resolve_import, static_files

FOLDERS = ("app", "views", "drawing", "trainer", "core")
"""From top to bottom. A module imports modules of its own folder and of lower folders."""
ENTRIES = {"app/index.js", "app/page.js", "app/playground.js"}
"""TensorBoard imports the first, a page with runs begins with the second, and one without runs with the third."""
IMPORT = re.compile(r"""^\s*(?:import|export)\b(?:[^;"']*\bfrom)?\s*["']([^"']+)["']""", re.M)


def read_imports() -> dict[str, list[str]]:
    """Module -> the modules that it imports."""
    modules = {path: body.decode() for path, body in static_files().items() if path.endswith(".js")}
    return {path: [resolve_import(path, target) for target in IMPORT.findall(text)] for path, text in modules.items()}


def import_errors(imports: dict[str, list[str]]) -> list[str]:
    """What is wrong with the imports, one line for each error."""
    errors = [f"{path} lies in no known folder" for path in imports if path.split("/")[0] not in FOLDERS]
    if errors:
        return errors
    for path, targets in imports.items():
        for target in targets:
            if target not in imports:
                errors.append(f"{path} imports {target}, which does not exist")
            elif FOLDERS.index(target.split("/")[0]) < FOLDERS.index(path.split("/")[0]):
                errors.append(f"{path} imports {target}, which lies in a higher folder")
    imported = {target for targets in imports.values() for target in targets}
    errors += [f"no module imports {path}" for path in sorted(imports.keys() - imported - ENTRIES)]
    remaining = dict(imports)
    while leaves := [path for path, targets in remaining.items() if not remaining.keys() & set(targets)]:
        for path in leaves:
            del remaining[path]
    return errors + ([f"a cycle of imports among {', '.join(sorted(remaining))}"] if remaining else [])


def test_imports_point_down_without_cycles_and_reach_every_module() -> None:
    imports = read_imports()
    assert {path.split("/")[0] for path in imports} <= set(FOLDERS)
    assert "core/votes.js" in imports["views/votes.js"]
    assert "core/models/relu.js" in imports["core/models.js"]
    assert import_errors(imports) == []


@pytest.mark.parametrize(
    ("path", "targets", "error"),
    [
        ("core/votes.js", ["drawing/plot.js"], "core/votes.js imports drawing/plot.js, which lies in a higher folder"),
        ("drawing/format.js", ["drawing/scales.js"], "a cycle of imports among"),
        ("views/new.js", [], "no module imports views/new.js"),
        ("views/votes.js", ["core/gone.js"], "views/votes.js imports core/gone.js, which does not exist"),
        ("new.js", [], "new.js lies in no known folder"),
    ],
)
def test_each_error_is_reported(path: str, targets: list[str], error: str) -> None:
    imports = read_imports()
    imports[path] = [*imports.get(path, []), *targets]
    assert any(found.startswith(error) for found in import_errors(imports))
