"""ARCHITECTURE.md, CONTRIBUTING.md and SECURITY.md name files, definitions and tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "reluviz"
PAGES = ("ARCHITECTURE.md", "CONTRIBUTING.md")


def code_spans(page: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", (ROOT / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_exists(page: str) -> None:
    files = [span for span in code_spans(page) if re.fullmatch(r"[\w./]+(\.\w+|/)", span) and "NAME" not in span]
    assert len(files) > 15
    for file in files:
        assert any((folder / file).exists() for folder in (ROOT, PACKAGE, PACKAGE / "tab" / "static")), file


@pytest.mark.parametrize("page", PAGES)
def test_every_definition_that_is_named_stands_in_the_source(page: str) -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.js")])
    names = {span for span in code_spans(page) if re.fullmatch(r"\w+", span)}
    assert len(names) > 5
    for name in names:
        assert re.search(rf"\b{name}\b", source), name


def test_the_rooms_are_those_of_the_package() -> None:
    table = re.findall(r"^\| `(\w+)/` \|", (ROOT / "ARCHITECTURE.md").read_text(), re.M)
    assert sorted(table) == sorted(path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name[0] != "_")


def test_every_test_and_program_that_security_names_exists() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    files = re.findall(r"(?:tests|benchmarks)/[\w/]+\.py", text)
    assert len(files) > 10
    assert [file for file in files if not (ROOT / file).is_file()] == []
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    tests = re.findall(r"`(test_\w+)`", text)
    assert len(tests) >= 3
    assert [name for name in tests if f"def {name}(" not in source] == []
