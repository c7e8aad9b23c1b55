"""What the terminal says at the end of runs and sweeps about what became of them."""

import sys
from pathlib import Path

import numpy as np
import pytest

from reluviz.__main__ import main
from reluviz.cli import terminal
from reluviz.cli.sweep.results import JobResult, read_result
from reluviz.core.findings import Finding
from reluviz.training.outcome import Outcome

DEAD = "+exp=relu step_size=1.0 updates=3000"
PREPARED_PLAIN = ("callbacks=minimal", "callbacks.progress=null", "callbacks.checkpoints=null")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(terminal.console, "_width", 80)
    monkeypatch.setattr(terminal.console, "_height", 25)


def printed(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> tuple[list[str], str]:
    """Train, and return the lines of the output and the errors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", "train", *words, *PREPARED_PLAIN])
        assert main() == status
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err


def results(lines: list[str]) -> list[str]:
    """Return the lines from the label `result` up to the next label."""
    start = next(i for i, line in enumerate(lines) if line.startswith("result  "))
    stop = next((i for i in range(start, len(lines)) if lines[i][:8].strip() not in ("", "result")), len(lines))
    return lines[start:stop]


def test_the_end_of_a_run_names_its_first_finding_and_the_advice(capsys: pytest.CaptureFixture[str]) -> None:
    lines, errors = printed(capsys, *DEAD.split())
    assert results(lines) == [
        "result  all 20 units are dead since update 501, so that f is a constant",
        "        try step_size=0.03",
    ]
    assert errors == ""


def test_a_run_that_learned_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines, _ = printed(capsys, "+exp=linear")
    assert results(lines) == ["result  theta has reached its optimum: loss 0.3649, R^2 = -0.023"]


def test_a_diverged_run_says_what_it_always_said_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    lines, errors = printed(capsys, "+exp=linear", "optimizer.lr=5", status=3)
    assert errors == (
        "reluviz: diverged: after update 11 theta has left every bound (loss/train 4.63e+05); optimizer.lr=5.0 is"
        " beyond the largest stable step size, 1/mean(x^2) = 3.04033\n"
    )
    assert not [line for line in lines if line.startswith("result")]


def finding(name: str, rows: range, total: int, text: str = "text") -> Finding:
    return Finding(name, text, "try this", tuple(rows), total)


def test_of_many_replicas_the_most_frequent_findings_are_shown_by_rank(capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        finding("diverged", range(0, 1), 100),
        finding("all_units_dead", range(1, 21), 100),
        finding("most_units_dead", range(21, 23), 100),
        finding("fluctuating", range(15, 60), 100),
        finding("learned", range(100), 100),
    ]
    terminal._print_findings(Outcome("finished", Path(), {"findings": [one.plain() for one in found]}))
    assert capsys.readouterr().out.splitlines() == [
        "result  20 of 100 replicas: text; try this",
        "result  37 of 100 replicas: text; try this",
        "result  40 of 100 replicas: text; try this",
    ]


@pytest.mark.parametrize("length", [10, 50, 62, 63, 90, 200])
def test_a_finding_fits_into_80_columns_and_its_advice_is_not_broken(
    length: int, capsys: pytest.CaptureFixture[str]
) -> None:
    text = ("word " * length)[:length].strip()
    metrics = {"findings": [finding("learned", range(1), 1, text).plain()]}
    terminal._print_findings(Outcome("finished", Path(), metrics))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("try this" in line for line in lines) == 1
    assert (len(lines) == 1) == (8 + len(text) + len("; try this") <= 80)


def test_a_sweep_counts_the_first_findings_of_its_replicas(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ("-m", "+exp=linear", "step_size=0.001,0.2", "replicas=2", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    lines, _ = printed(capsys, *words)
    assert "result  2 far from optimum, 2 at optimum" in lines
    jobs = [read_result(tmp_path / "sweep" / f"step_size-{rate}") for rate in (0.001, 0.2)]
    assert [job.findings for job in jobs] == [("far from optimum",) * 2, ("at optimum",) * 2]
    terminal.print_job_result(0, jobs[0])
    terminal.print_job_result(1, JobResult(tmp_path / "a", "finished", loss=0.5, findings=("learned",)))
    terminal.print_job_result(2, JobResult(tmp_path / "b", "finished", loss=np.pi))
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.endswith("finished, loss 0.3596, 2 far from optimum")
    assert second.endswith("finished, loss 0.5, learned")
    assert third.endswith("finished, loss 3.142")


def test_metrics_of_earlier_versions_have_no_findings(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text('{"status": "finished", "seeds": [0], "loss/train": [1.0]}')
    assert read_result(tmp_path).findings == ("",)
