"""Every command and every program in the README runs."""

import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from reluviz.__main__ import main
from reluviz.config import choices

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```console\n(.*?)```", README, re.S) for line in block.splitlines()]
RUNS = [line.rpartition("&& ")[2] for line in COMMANDS if "reluviz" in line]
SMALL = ["updates=2", "callbacks=minimal"]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = "\n".join(f"{x},{x * x}" for x in np.linspace(-1, 1, 60))
    (tmp_path / "points.csv").write_text(f"x,y\n{rows}\n")
    return tmp_path


@pytest.mark.parametrize("command", [line for line in RUNS if " train " in line or " explain " in line])
def test_the_readme_s_command_runs(command: str, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = command.split()
    assert words[:3] == ["python", "-m", "reluviz"]
    arguments = words[3:]
    if "ckpt_path=logs/relu/TIME" in arguments:
        monkeypatch.setattr(sys, "argv", ["reluviz", "train", "+exp=relu", *SMALL])
        assert main() == 0
        (run,) = (work / "logs" / "relu").iterdir()
        # as far as the README goes the run would take a minute
        arguments = ["train", f"ckpt_path={run.relative_to(work)}", "updates=3"]
    elif arguments[0] == "train" and "--help" not in arguments:
        arguments += SMALL
    monkeypatch.setattr(sys, "argv", ["reluviz", *arguments])
    assert main() == 0


def test_the_readme_s_view_command_is_the_only_other_one(view_process, work: Path) -> None:  # type: ignore[no-untyped-def]
    others = [line for line in RUNS if " train " not in line and " explain " not in line]
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


def test_the_program_runs(work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from reluviz.quiet import quiet

    (program,) = re.findall(r"```python\n(.*?)```", README, re.S)
    shorter = program.replace("updates=2_000", "updates=2")
    assert shorter != program
    with quiet(), warnings.catch_warnings():
        # Lightning finds two segments few for its own logging
        warnings.filterwarnings("ignore", "The number of training batches")
        exec(compile(shorter, "README.md", "exec"), {})
    assert "Linear(in_features=20, out_features=1" in capsys.readouterr().out


def test_every_experiment_stands_in_the_table() -> None:
    table = README.partition("## Experiments")[2].partition("```")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", table, re.M)) == choices("exp")


def test_every_picture_exists() -> None:
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).is_file()
