"""The rooms of the house, and the rule that imports point down only."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
ROOMS = ("cli", "analysis", "tab", "training", "record", "plots", "models", "engines", "core", "data")
"""From top to bottom. An import may point to the same room or to a lower one."""
TOP = ("reluviz", "reluviz.__main__")
"""The public names and the table of verbs; they may import from every room, and no room may import them."""
EXCEPTIONS: dict[tuple[str, str], str] = {}
"""(importing module, imported module) -> why this import may point up; three entries at most."""
DOTTED = re.compile(r"reluviz(?:\.\w+)+")
IN_CODE = re.compile(r"(?:from|import) (reluviz(?:\.\w+)+)")


class Import(NamedTuple):
    """An import of a module by another one. `real` is false if it happens in another process."""

    source: str
    target: str
    where: str
    real: bool = True


def module_name(path: Path, src: Path) -> str:
    """Return the dotted name of a file's module."""
    parts = path.relative_to(src).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(src: Path) -> dict[str, Path]:
    """Return all modules below src, name -> file."""
    return {module_name(path, src): path for path in sorted(src.rglob("*.py"))}


def resolved(name: str, known: dict[str, Path]) -> str | None:
    """Return the longest beginning of a dotted name that is a module; None if there is none."""
    parts = name.split(".")
    return next((".".join(parts[:n]) for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in known), None)


def imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[Import]:
    """Yield every import of a file: anywhere in it, under TYPE_CHECKING, and by a string that names a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            base = ".".join(filter(None, [base, node.module]))
            found = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            text = node.value
            dotted = text.rstrip(".").partition(":")[0]
            # a module's own package is where it looks for files; names of version 0.1.0 are no modules any more
            if DOTTED.fullmatch(dotted) and not name.startswith(f"{dotted}.") and resolved(dotted, known) != "reluviz":
                found = [dotted]
            for code in IN_CODE.findall(text):
                if (target := resolved(code, known)) is not None:
                    yield Import(name, target, where, real=False)
        for full in found:
            target = resolved(full, known)
            if target is not None and target != name:
                yield Import(name, target, where)


def targets(conf: Path, known: dict[str, Path]) -> Iterator[Import]:
    """Yield the `_target_`s of conf/ that name something of reluviz."""
    for path in sorted(conf.rglob("*.yaml")):
        nodes = [yaml.safe_load(path.read_text(encoding="utf-8"))]
        while nodes:
            node = nodes.pop()
            if not isinstance(node, dict):
                continue
            nodes += node.values()
            name = node.get("_target_", "")
            if name.startswith("reluviz"):
                target = resolved(name, known)
                assert target not in (None, "reluviz"), f"{path}: {name} names no module"
                yield Import("conf", str(target), path.relative_to(conf).as_posix())


def every_import(src: Path, conf: Path | None = None) -> list[Import]:
    """Return all imports of the files below src, and the `_target_`s of conf/."""
    known = modules(src)
    found = [one for name, path in known.items() for one in imports(name, path, known)]
    return found + ([] if conf is None else list(targets(conf, known)))


def height(module: str) -> int:
    """Return how high a module stands: 0 for the flat files, 1 for data, ..., 10 for cli, 11 for the top."""
    first, _, rest = module.partition(".")
    if first in ("conf", "hydra_plugins"):
        return len(ROOMS)
    if module in TOP:
        return len(ROOMS) + 1
    room = rest.partition(".")[0]
    return len(ROOMS) - ROOMS.index(room) if room in ROOMS else 0


def pointing_up(found: list[Import]) -> list[Import]:
    """Return the imports that point to a higher room."""
    return [one for one in found if height(one.target) > height(one.source)]


def circles(found: list[Import]) -> list[list[str]]:
    """Return the groups of modules that import each other, directly or not."""
    graph: dict[str, set[str]] = {}
    for one in found:
        if one.real:
            graph.setdefault(one.source, set()).add(one.target)

    def reachable(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for target in graph.get(todo.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        return seen

    below = {name: reachable(name) for name in graph}
    groups = {frozenset(other for other in below[name] if name in below.get(other, ())) for name in graph}
    return sorted(sorted(group) for group in groups if group)


def test_there_are_ten_rooms_and_at_most_six_flat_modules() -> None:
    inside = [path for path in (SRC / "reluviz").iterdir() if path.name != "__pycache__"]
    assert sorted(path.name for path in inside if path.is_dir()) == sorted(ROOMS)
    assert len([path for path in inside if path.suffix == ".py"]) <= 6


def test_every_import_points_down() -> None:
    found = every_import(SRC, ROOT / "conf")
    assert len(found) > 500
    assert len(EXCEPTIONS) <= 3
    up = [one for one in pointing_up(found) if (one.source, one.target) not in EXCEPTIONS]
    assert not up, "\n".join(f"{one.source} ({one.where}) imports {one.target}, which stands higher" for one in up)


def test_every_exception_is_needed() -> None:
    up = {(one.source, one.target) for one in pointing_up(every_import(SRC))}
    assert set(EXCEPTIONS) <= up


def test_no_modules_import_each_other() -> None:
    assert circles(every_import(SRC)) == []


UPWARD = {
    "at the head": "from reluviz.cli import config\n",
    "of a name in it": "from reluviz.cli.config import parse\n",
    "as a whole": "import reluviz.cli.config\n",
    "within a function": "def f():\n    from reluviz.cli import config\n",
    "for types alone": "if TYPE_CHECKING:\n    from reluviz.cli import config\n",
    "relative": "from ..cli import config\n",
    "by its name": "import_module('reluviz.cli.config')\n",
    "by a name that is put together": "import_module(f'reluviz.cli.{name}')\n",
    "in another process": "run('from reluviz.cli.config import parse; parse([])')\n",
    "of the top": "from reluviz import load_run\n",
}


@pytest.mark.parametrize("code", UPWARD.values(), ids=UPWARD)
def test_an_import_that_points_up_is_found(code: str, tmp_path: Path) -> None:
    for name in ("__init__.py", "cli/__init__.py", "cli/config.py", "core/__init__.py", "core/elbows.py"):
        (tmp_path / "reluviz" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "reluviz" / name).touch()
    assert pointing_up(every_import(tmp_path)) == []
    (tmp_path / "reluviz" / "core" / "elbows.py").write_text(code)
    (up,) = {(one.source, one.target.removesuffix(".config")) for one in pointing_up(every_import(tmp_path))}
    assert up[0] == "reluviz.core.elbows"
    assert up[1] in ("reluviz.cli", "reluviz")


def test_a_circle_is_found(tmp_path: Path) -> None:
    (tmp_path / "reluviz" / "core").mkdir(parents=True)
    for name, code in {
        "a": "from reluviz.core import b",
        "b": "from reluviz.core import c",
        "c": "def f():\n    from reluviz.core.a import x",
    }.items():
        (tmp_path / "reluviz" / "core" / f"{name}.py").write_text(code)
    (tmp_path / "reluviz" / "core" / "__init__.py").touch()
    assert circles(every_import(tmp_path)) == [["reluviz.core.a", "reluviz.core.b", "reluviz.core.c"]]


def test_snapshots_are_computed_without_torch() -> None:
    code = (
        "import sys; from reluviz.core import distribution, functions, snapshot, votes; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
