"""Every command and every program in the README runs."""

import re
import shlex
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from reluviz.__main__ import main
from reluviz.cli.config import choices

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```console\n(.*?)```", README, re.S) for line in block.splitlines()]
RUNS = [line.rpartition("&& ")[2] for line in COMMANDS if "reluviz" in line]
VERB = re.compile(r" (train|explain|export|report) ")
RUN = "logs/relu/TIME"
SWEEP = "logs/sweeps/TIME"
SMALL = ["updates=2", "callbacks=minimal"]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = "\n".join(f"{x},{x * x}" for x in np.linspace(-1, 1, 60))
    (tmp_path / "points.csv").write_text(f"x,y\n{rows}\n")
    return tmp_path


def trained(work: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Train a short run, and return its folder, for which the README writes RUN."""
    monkeypatch.setattr(sys, "argv", ["reluviz", "train", "+exp=relu", *SMALL])
    assert main() == 0
    (run,) = (work / "logs" / "relu").iterdir()
    return str(run.relative_to(work))


@pytest.mark.parametrize("command", [line for line in RUNS if VERB.search(line)])
def test_the_readme_s_command_runs(command: str, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "reluviz"]
    arguments = words[3:]
    if RUN in command or arguments[0] == "export":
        folder = trained(work, monkeypatch)
        arguments = [word.replace(RUN, folder) for word in arguments]
    if arguments[0] == "report":
        monkeypatch.setattr(sys, "argv", ["reluviz", "train", "-m", "+exp=linear", "seed=0,1", *SMALL])
        assert main() == 0
        (sweep,) = (work / "logs" / "sweeps").iterdir()
        arguments = [word.replace(SWEEP, str(sweep.relative_to(work))) for word in arguments]
    if arguments[0] == "export" and "--at" in arguments:
        assert "--at 0,1000,last" in command
        # the run here is shorter than the README's
        arguments[arguments.index("--at") + 1] = "0,1,last"
    elif arguments[0] == "train" and command.endswith(f"ckpt_path={RUN} updates=200000"):
        # as far as the README goes the run would take a minute
        arguments[-1] = "updates=3"
    elif arguments[0] == "train" and "--help" not in arguments:
        arguments += SMALL
    before = set(work.rglob("*"))
    monkeypatch.setattr(sys, "argv", ["reluviz", *arguments])
    assert main() == 0
    if arguments[0] == "report":
        assert {"report.html", "table.csv", "findings.md"} <= {path.name for path in set(work.rglob("*")) - before}
    if arguments[0] == "export":
        made = {path.suffix.removeprefix(".") for path in set(work.rglob("*")) - before if path.is_file()}
        assert made == {word.removeprefix("--") for word in words if word in ("--html", "--gif", "--png", "--csv")}


def test_the_readme_s_view_command_is_the_only_other_one(view_process, work: Path) -> None:  # type: ignore[no-untyped-def]
    others = [line for line in RUNS if not VERB.search(line)]
    assert others == ["python -m reluviz view"]
    (work / "logs").mkdir()
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter("logs/run") as writer:
        writer.add_scalar("loss/train", 1.0, 0)
    with view_process("logs", "--port", "0") as (_, line):
        assert "http://localhost:" in line


def test_the_install_commands_name_files_that_exist() -> None:
    installs = [line for line in COMMANDS if "pip install" in line]
    assert len(installs) == 2
    assert all("-c constraints.txt" in line for line in installs)
    assert (ROOT / "constraints.txt").is_file()


def test_the_programs_run(work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from reluviz.training.lightning_startup import quiet

    reads, trains = re.findall(r"```python\n(.*?)```", README, re.S)
    run(reads, {RUN: trained(work, monkeypatch), "run.plot(1000)": "run.plot(1)"})
    assert (work / "fit.png").is_file()
    with quiet(), warnings.catch_warnings():
        # Lightning finds two segments few for its own logging
        warnings.filterwarnings("ignore", "The number of training batches")
        run(trains, {"updates=2_000": "updates=2"})
    assert "Linear(in_features=20, out_features=1" in capsys.readouterr().out


def run(program: str, shorter: dict[str, str]) -> None:
    for there, here in shorter.items():
        assert there in program
        program = program.replace(there, here)
    exec(compile(program, "README.md", "exec"), {})


def test_every_experiment_stands_in_the_table() -> None:
    table = README.partition("## Experiments")[2].partition("```")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.M)) == choices("exp")


def test_every_picture_exists() -> None:
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file()
