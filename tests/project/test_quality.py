"""The code passes the linter, the formatter and the type checker; pins, versions and commands agree across files."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["ruff", "check", "."], id="lint"),
        pytest.param(["ruff", "format", "--check", "."], id="format"),
        pytest.param(["mypy"], id="types", marks=pytest.mark.long),
    ],
)
def test_the_code_passes_the_check(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_dependency_is_pinned() -> None:
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    project = (ROOT / "pyproject.toml").read_text()
    required = re.findall(r'^\s*"([a-z-]+)[>=]', project, re.M) + re.findall(r'"([a-z]+)[>=]=[\d.]+"', project)
    assert {"torch", "lightning", "pytest", "ruff"} <= set(required)
    assert set(required) - pinned == set()


def test_the_changelog_has_a_section_for_the_current_version() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert version is not None
    assert f"## [{version[1]}]" in (ROOT / "CHANGELOG.md").read_text()


def test_continuous_integration_runs_the_test_command_of_the_readme_and_the_long_tests() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    pattern = re.search(r"grep -m 1 -E '(.+)' README.md", script)
    assert pattern is not None
    lines = [line for line in (ROOT / "README.md").read_text().splitlines() if re.match(pattern[1], line)]
    assert lines == ['python -m pip install -c constraints.txt -e ".[test]" && python -m pytest']
    # then the long tests, and no other
    assert re.findall(r"pytest.*", script.replace(pattern[1], "")) == ["pytest -m long"]
