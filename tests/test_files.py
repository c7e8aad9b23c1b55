"""Atomic writes, the walk for runs, and names on disk; the package has one place for each of them."""

import ast
import functools
import os
from collections import Counter
from pathlib import Path

import pytest

from reluviz import files
from reluviz.errors import UserError
from reluviz.files import FolderWalk, atomic_write, write_json

SOURCE = Path(__file__).parents[1] / "src"
LINKS = pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")


# Atomic writes


def test_a_reader_sees_the_old_file_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "made" / "table.csv"
    with atomic_write(path) as partial:
        partial.write_text("old")
    with atomic_write(path) as partial:
        partial.write_text("ne")
        assert path.read_text() == "old"
        assert partial.parent == path.parent
        partial.write_text("new")
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["table.csv"]


def test_a_temporary_file_is_hidden_and_has_the_suffix_of_its_file(tmp_path: Path) -> None:
    # writers of pictures and tables choose the format by the suffix
    with atomic_write(tmp_path / "fit.b.png") as partial:
        partial.touch()
        assert partial.name == ".fit.b.part.png"


@pytest.mark.parametrize("error", [ArithmeticError, KeyboardInterrupt])
def test_after_an_exception_the_old_file_is_unchanged(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def write_half() -> None:
        with atomic_write(path) as partial:
            partial.write_text("new")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["table.csv"]


def test_a_file_that_cannot_be_written_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "table.csv", tmp_path / "folder"):
        with pytest.raises(UserError) as refusal, atomic_write(path) as partial:
            partial.write_text("new")
        assert str(refusal.value).startswith(f"{path}: cannot be written (")
        assert "\n" not in str(refusal.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_json_is_strict_and_an_invalid_value_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"loss": 1.5})
    assert path.read_text() == '{\n  "loss": 1.5\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"loss": float("nan")})
    assert path.read_text() == '{\n  "loss": 1.5\n}\n'
    assert os.listdir(tmp_path) == ["metrics.json"]


# The walk for runs


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "logs"
    for name in ("b/1/checkpoints/x", "b/1/.hydra", "a/2", "report/aggregate", ".hidden/3", "checkpoints/4"):
        (root / name).mkdir(parents=True)
    (root / "a" / "2" / "events.out.tfevents.1").touch()
    (root / "report" / files.REPORT_MARKER).touch()
    return root


def visited(walk: FolderWalk, root: Path) -> list[str]:
    return [Path(path).relative_to(root).as_posix() for path, _, _ in walk]


def test_a_walk_leaves_out_hidden_folders_checkpoints_and_reports(tree: Path) -> None:
    assert visited(FolderWalk(tree), tree) == [".", "a", "a/2", "b", "b/1"]


def test_a_walk_of_everything_leaves_nothing_out(tree: Path) -> None:
    found = visited(FolderWalk(tree, everything=True), tree)
    assert sorted(found) == sorted(
        [".", *(path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_dir())]
    )


def test_a_walk_yields_the_names_of_all_files_and_subfolders(tree: Path) -> None:
    found = {
        Path(path).relative_to(tree).as_posix(): (sorted(inside), names) for path, inside, names in FolderWalk(tree)
    }
    assert found["b/1"] == ([".hydra", "checkpoints"], [])
    assert found["a/2"] == ([], ["events.out.tfevents.1"])


def test_a_report_or_a_hidden_folder_that_is_named_is_handled_as_documented(tree: Path) -> None:
    assert visited(FolderWalk(tree / "report"), tree) == []
    assert visited(FolderWalk(tree / ".hidden"), tree) == [".hidden", ".hidden/3"]


@LINKS
@pytest.mark.parametrize("everything", [False, True])
def test_a_walk_follows_links_and_visits_each_folder_once(tree: Path, tmp_path: Path, everything: bool) -> None:
    (tmp_path / "other" / "5").mkdir(parents=True)
    (tree / "a" / "linked").symlink_to(tmp_path / "other")
    (tree / "b" / "loop").symlink_to(tree)
    (tree / "b" / "lost").symlink_to("nowhere")
    found = visited(FolderWalk(tree, everything=everything), tree)
    assert "a/linked/5" in found
    assert not any("loop" in path or "lost" in path for path in found)
    assert max(Counter(found).values()) == 1


def test_walks_that_share_what_they_have_seen_visit_each_folder_once(tree: Path) -> None:
    seen: set[tuple[int, int]] = set()
    first = FolderWalk(tree / "a", seen)
    assert (visited(first, tree), first.met_seen) == (["a", "a/2"], False)
    second = FolderWalk(tree, seen)
    assert (visited(second, tree), second.met_seen) == ([".", "b", "b/1"], True)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whose permissions are checked")
def test_a_folder_without_permission_is_noted(tree: Path) -> None:
    (tree / "b").chmod(0)
    walk = FolderWalk(tree)
    assert visited(walk, tree) == [".", "a", "a/2"]
    assert walk.unreadable == [tree / "b"]
    (tree / "b").chmod(0o700)


# One place each


@functools.cache
def expressions() -> list[tuple[str, str]]:
    """Return file and text of each string, and of each attribute of a name, in the package."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            string = isinstance(node, ast.Constant) and isinstance(node.value, str)
            if string or (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
                found.append((path.relative_to(SOURCE).as_posix(), ast.unparse(node)))
    return found


def places(wanted: str) -> Counter[str]:
    """Return how often an expression stands in each file of the package."""
    return Counter(path for path, text in expressions() if text == wanted)


@pytest.mark.parametrize(
    "name", [files.CONFIG_FOLDER, files.METRICS_FILE, files.FAILURE_FILE, files.SWEEP_FILE, files.REPORT_MARKER]
)
def test_a_name_on_disk_stands_once(name: str) -> None:
    assert places(repr(name)) == {"reluviz/files.py": 1}


def test_the_folder_of_checkpoints_is_named_once_beside_the_callback_of_that_name() -> None:
    assert places(repr(files.CHECKPOINTS_FOLDER)) == {"reluviz/files.py": 1, "reluviz/training/run.py": 1}


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        # aggregate.py replaces a folder as a whole
        ("os.replace", {"reluviz/files.py": 1, "reluviz/analysis/report/aggregate.py": 2}),
        ("os.rename", {}),
        ("os.walk", {"reluviz/files.py": 2}),
    ],
)
def test_only_files_py_renames_files_and_walks_folders(call: str, wanted: dict[str, int]) -> None:
    assert places(call) == wanted
