"""Every command and program in the README and in docs/ runs; the versions in pip lines are those we test with."""

import re
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reluviz.__main__ import main
from reluviz.cli.config import choices

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# the commands of docs/sweeps.md that need other launchers are run by tests/cli
PAGES = {
    path.name: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
}
RUN = "logs/relu/TIME"
SWEEP = "logs/sweeps/TIME"
SMALL = ["updates=2", "callbacks=minimal"]
OTHER_LAUNCHERS = re.compile(r"launcher=(joblib|slurm|ray)|python -m tests\.|-m cluster")


def console(text: str) -> list[str]:
    """Return the command lines of a page's console blocks."""
    return [line for block in re.findall(r"```console\n(.*?)```", text, re.S) for line in block.splitlines()]


def in_tables(text: str) -> list[str]:
    """Return the command lines that stand in tables and sentences."""
    return re.findall(r"`(python -m reluviz [^`]+)`", text)


LINES = {line: None for text in PAGES.values() for line in [*console(text), *in_tables(text)]}
COMMANDS = [
    line.rpartition("&& ")[2] for line in LINES if "python -m reluviz" in line and not OTHER_LAUNCHERS.search(line)
]
VIEWS = [line for line in COMMANDS if line.startswith("python -m reluviz view")]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = "\n".join(f"{x},{x * x}" for x in np.linspace(-1, 1, 60))
    (tmp_path / "points.csv").write_text(f"x,y\n{rows}\n")
    (tmp_path / "salary.csv").write_text(f"YearsExperience,Salary\n{rows}\n")
    (tmp_path / "my data (1).csv").write_text("time [s];name;speed\n0,5;a;1\n1,5;b;0\n")
    return tmp_path


def reluviz(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["reluviz", *words])
    return main()


def trained(work: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Train a short run, and return its folder, which the pages call RUN."""
    assert reluviz(monkeypatch, "train", "+exp=relu", *SMALL) == 0
    (run,) = (work / "logs" / "relu").iterdir()
    return str(run.relative_to(work))


def swept(work: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """Run a short sweep, and return its folder, which the pages call SWEEP."""
    assert reluviz(monkeypatch, "train", "-m", *words, *SMALL) == 0
    (sweep,) = (work / "logs" / "sweeps").iterdir()
    return str(sweep.relative_to(work))


def shortened(words: list[str], command: str) -> list[str]:
    """Return the words of a command for the short runs of these tests."""
    if words[0] == "export" and "--at" in words:
        assert "--at 0,1000,last" in command or "--at 0,last" in command
        words[words.index("--at") + 1] = words[words.index("--at") + 1].replace("1000", "1")
    elif words[0] == "train" and any(word.startswith("ckpt_path=") for word in words):
        assert words[-1] == "updates=200000"
        words[-1] = "updates=3"
    elif words[0] == "playground":
        words = [*words, "--no-open"]
    elif words[0] == "train" and not {"--help", "--cfg"} & set(words):
        # the last value of a key counts
        words = [word for word in words if not word.startswith(("updates=", "replicas="))] + SMALL
        if "sweeper=optuna" in words:
            words.append("sweep.trials=2")
    return words


def with_marks(command: str) -> Any:
    """Mark a sweep `long`; tests/cli/test_experiments.py runs one of each experiment."""
    return pytest.param(command, marks=pytest.mark.long) if " train -m " in command else command


@pytest.mark.parametrize("command", [with_marks(line) for line in COMMANDS if line not in VIEWS])
def test_a_command_of_the_documentation_runs(command: str, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "reluviz"]
    words = words[3:]
    if RUN in command or words[0] == "export" or "ckpt_path=last" in words:
        folder = trained(work, monkeypatch)
        words = [word.replace(RUN, folder) for word in words]
    if words[0] == "report":
        folder = swept(work, monkeypatch, "+exp=linear", "seed=0,1")
        words = [word.replace(SWEEP, folder) for word in words]
    if any(word.startswith("sweep.resume=") for word in words):
        folder = swept(work, monkeypatch, *[word for word in words[2:] if not word.startswith("sweep.resume=")])
        words = [word.replace(SWEEP, folder) for word in words]
    words = shortened(words, command)
    before = set(work.rglob("*"))
    if "--help" in words and words[0] == "export":
        with pytest.raises(SystemExit, match="0"):
            reluviz(monkeypatch, *words)
        return
    assert reluviz(monkeypatch, *words) == 0
    made = {path for path in set(work.rglob("*")) - before if path.is_file()}
    if words[0] == "report":
        assert {"report.html", "table.csv", "findings.md"} <= {path.name for path in made}
    if words[0] == "export":
        kinds = {word.removeprefix("--") for word in words if word in ("--html", "--gif", "--png", "--csv")}
        assert {path.suffix.removeprefix(".") for path in made} == kinds


@pytest.mark.parametrize("command", VIEWS)
def test_a_view_command_of_the_documentation_serves(  # type: ignore[no-untyped-def]
    command: str, view_process, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(work, monkeypatch)
    if "lightning_logs" in command:
        (work / "logs").rename(work / "lightning_logs")
    with view_process(*shlex.split(command)[4:], "--port", "0") as (_, line):
        assert "http://0.0.0.0:" in line if "0.0.0.0" in command else "http://localhost:" in line


def test_the_readme_has_two_commands_after_the_one_for_a_small_torch() -> None:
    installs = [line for line in console(README) if "pip install" in line]
    assert len(installs) == 3
    torch, run, test = installs
    assert re.fullmatch(r"python -m pip install torch==[\d.]+ --index-url \S+/cpu", torch)
    assert run == "python -m pip install -c constraints.txt -e . && python -m reluviz train +exp=relu"
    assert test == 'python -m pip install -c constraints.txt -e ".[test]" && python -m pytest'
    assert README.count("\n") <= 110


def test_versions_in_pip_lines_are_those_of_the_constraints_file() -> None:
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))
    lines = [line for text in PAGES.values() for line in console(text) if "pip install" in line]
    versions = [pair for line in lines for pair in re.findall(r"([\w.-]+)==([\w.]+)", line)]
    assert versions
    assert all(pinned[name] == version for name, version in versions)
    assert all("-c constraints.txt" in line for line in lines if "-e " in line)
    options = {word for line in lines for word in re.findall(r"\.\[([\w,]+)\]", line)}
    project = (ROOT / "pyproject.toml").read_text()
    for name in {name for option in options for name in option.split(",")}:
        assert re.search(rf"^{name} = \[", project, re.M)


def test_the_programs_of_the_documentation_run(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from reluviz.training.lightning_startup import quiet

    trains, takes, reads = re.findall(r"```python\n(.*?)```", PAGES["python.md"], re.S)
    with quiet(), warnings.catch_warnings():
        # Lightning finds two segments few for its own logging
        warnings.filterwarnings("ignore", "The number of training batches")
        run(trains, {"updates=2_000": "updates=2"})
    assert "Linear(in_features=20, out_features=1" in capsys.readouterr().out
    run(takes, {})
    trained(work, monkeypatch)
    run(reads, {"run.plot(1000)": "run.plot(1)"})
    assert (work / "fit.png").is_file()


def run(program: str, shorter: dict[str, str]) -> None:
    for written, short in shorter.items():
        assert written in program
        program = program.replace(written, short)
    exec(compile(program, "docs/python.md", "exec"), {})


def test_the_table_of_experiments_is_complete() -> None:
    table = PAGES["settings.md"].partition("## Experiments")[2].partition("## Keys")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.M)) == choices("exp")


@pytest.mark.parametrize("page", [*PAGES, "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_link_and_picture_of_a_page_exists(page: str) -> None:
    folder = ROOT / "docs" if (ROOT / "docs" / page).exists() else ROOT
    links = re.findall(r"\]\(([^)#]+)\)", (folder / page).read_text(encoding="utf-8"))
    for link in links:
        assert link.startswith("https://") or (folder / link).exists(), link
