"""The benchmarks run, and print figures that could be true. How fast anything is, no test asks."""

import itertools
import json
import math
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reluviz.training import helper_processes

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
COMMANDS = {
    "engines": ["engines.py"],
    "course": ["course.py"],
    "first": ["course.py", "--first"],
    "replicas": ["replicas.py"],
    "logging": ["logging.py"],
    "report": ["report.py"],
    "launchers": ["launchers.py"],
}
WIDEST = 84
"""Columns: 80, and some more where a machine is so busy that its figures have many digits."""
NUMBER = r"-?[\d,]+(?:\.\d*)?k?|nan|inf"
FIGURE = re.compile(rf"({NUMBER})(?: \(({NUMBER})-({NUMBER})\))?(?: (?:x|s|ms|MB))?$")


def tables(text):
    """Return the Markdown tables of a text as [(the line before it, {column: cells})]."""
    found, blocks = [], re.sub("<!--.*-->", "", text).split("\n\n")
    for words, block in itertools.pairwise(blocks):
        if block.startswith("|"):
            header, rule, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
            assert all(re.fullmatch("-+:?", cell) for cell in rule)
            assert {len(row) for row in [rule, *rows]} == {len(header)}
            found.append((words, {name: list(cells) for name, *cells in zip(header, *rows, strict=True)}))
    return found


def ratios(text):
    """Return the ratios that a program ends with."""
    (table,) = (table for _, table in tables(text) if "wanted" in table)
    return {what: numbers(found)[0] for what, found in zip(table[""], table["found"], strict=True)}


def numbers(cell):
    """Return the numbers of a cell: a figure, or a median and its spread."""
    found = FIGURE.match(cell)
    assert found, cell
    return [float(number.replace(",", "").replace("k", "e3")) for number in found.groups() if number is not None]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What each program printed and wrote, from folders where nobody would expect it to be started."""
    processes = {}
    for name, (program, *options) in COMMANDS.items():
        folder = tmp_path_factory.mktemp(name)
        # one is started beside itself, where its name could be taken for the standard library's
        cwd, script = (FOLDER, program) if name == "logging" else (folder, str(FOLDER / program))
        words = [sys.executable, script, *options, "--quick", "--write", str(folder / "found.md")]
        process = subprocess.Popen(words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes[name] = folder, process
    found = {}
    for name, (folder, process) in processes.items():
        out, err = process.communicate(timeout=200)
        assert (process.returncode, err) == (0, ""), name
        found[name] = out, folder
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_a_program_says_where_it_ran_in_80_columns(name, ran):
    out, _ = ran[name]
    assert out.startswith(f"{COMMANDS[name][0]}")
    head = " ".join(out.split("\n\n")[1].split())
    for what in ("cores", "load average", "Python 3.", "torch 2.", "lightning 2.", "numba 0.", "numpy 2."):
        assert what in head
    assert re.search(r"[Rr]uns\b", out)
    assert max(map(len, out.splitlines())) <= WIDEST


@pytest.mark.parametrize("name", COMMANDS)
def test_every_figure_is_finite_and_positive_within_its_spread(name, ran):
    cells = [cell for _, table in tables(ran[name][0]) for cells in table.values() for cell in cells]
    figures = [numbers(cell) for cell in cells if FIGURE.match(cell)]
    assert len(figures) > 5
    for median, *spread in figures:
        assert math.isfinite(median)
        assert median >= 0
        if spread:
            assert spread[0] <= median <= spread[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_section_that_is_written_has_the_command_and_the_ratios_first(name, ran):
    out, folder = ran[name]
    written = (folder / "found.md").read_text()
    command = " ".join(["python", f"benchmarks/{COMMANDS[name][0]}", *COMMANDS[name][1:], "--quick", "--write"])
    assert f"```console\n{command}\n```" in written
    assert str(ROOT) not in written
    assert str(folder) not in written
    # the ratios come last on the screen
    *details, last = (table for _, table in tables(out))
    assert [table for _, table in tables(written)] == [last, *details]
    assert max(map(len, written.splitlines())) <= WIDEST


def test_the_engines_are_compared_along_every_axis(ran):
    found = tables(ran["engines"][0])
    axes = {next(iter(table)): table for _, table in found if "MB" in table}
    assert list(axes) == ["W", "B", "N", "R"]
    for table in axes.values():
        assert {"plain loop", "fused"} <= set(table[""])
        for name, ratio, took in zip(table[""], table["x"], table["microseconds"], strict=True):
            assert min(numbers(took) + numbers(ratio)) > 0
            assert numbers(ratio) == [1] or not name.startswith("plain loop")
    assert {"Lightning", "reference", "exact, full batch"} <= set(axes["W"][""])
    kernels = {words: table for words, table in found if "growth" in table}
    assert list(kernels) == [f"Kernels, B = {batch}, float{bits}:" for batch in (40, 400) for bits in (32, 64)]
    for table in kernels.values():
        assert table["W"] == ["40", "2,560"]
        assert numbers(table["growth"][0]) == [1]
        assert set(table["taken"]) <= {"dense", "sorted"}
    assert min(ratios(ran["engines"][0]).values()) > 0


def test_the_engines_have_a_picture(ran):
    png = (ran["engines"][1] / "engines.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert [int.from_bytes(png[i : i + 4], "big") for i in (16, 20)] == [1100, 820]
    assert "(engines.png)" in (ran["engines"][1] / "found.md").read_text()


def test_the_course_job_is_compared_with_the_same_six_cases(ran):
    out, _ = ran["course"]
    assert "12 updates in 6 runs" in out
    (_, seconds), (_, cases), _ = tables(out)
    assert cases["case"] == [
        f"width={width}, regime={regime}" for width in (10, 20, 40) for regime in ("output", "all")
    ]
    whole, fits, plain = (numbers(took)[0] for took in seconds["seconds"])
    assert whole > fits > 0
    assert list(ratios(out).values()) == pytest.approx([plain / whole, plain / fits], rel=0.02)
    # the extrapolation: all updates of a case at the time that one took
    each = [numbers(cell)[0] for cell in cases["the faster"]]
    assert plain == pytest.approx(2 * sum(each) / 1e6, rel=0.02)


def test_a_first_run_and_a_later_one_are_told_apart(ran):
    out, _ = ran["first"]
    (_, table), _ = tables(out)
    train = "train +exp=relu"
    names = [f"{train}, nothing compiled", f"{train}, warm", "--help", f"{train} --cfg job"]
    assert table["python -m reluviz"] == names
    first, later, usage, cfg = (numbers(took)[0] for took in table["seconds"])
    assert min(first, later) > max(usage, cfg) > 0
    assert ratios(out)["+exp=relu: first run - later run"] == pytest.approx(first - later, rel=0.02, abs=0.05)
    # in MB: torch alone takes more than 100
    assert all(100 < ratios(out)[f"+exp=relu: peak memory, {run} run"] < 5000 for run in ("first", "later"))
    assert 'The first run says: "compiling' in out


def test_whole_runs_of_many_replicas_are_compared_with_the_engine_alone(ran):
    out, _ = ran["replicas"]
    (_, table), _ = tables(out)
    rates = {what: numbers(cell)[0] for what, cell in zip(table["of"], table["updates a second"], strict=True)}
    alone, drawing, engine_of_one, one, engine, whole = rates.values()
    assert list(rates)[-1] == "seconds.fit, 100 replicas"
    # a run makes updates, and does more besides
    assert engine > whole > one
    assert engine_of_one > one
    threads = int(re.search(r"(\d+) threads? share", out)[1])
    found = ratios(out)
    assert found["whole run / (cores x engine alone)"] == pytest.approx(whole / threads / alone, rel=0.02)
    assert found["whole run / (cores x engine that draws)"] == pytest.approx(whole / threads / drawing, rel=0.02)
    assert found["whole run / (cores x seconds.engine)"] == pytest.approx(whole / threads / engine_of_one, rel=0.02)
    # parameters and votes of three snapshots, in float32
    assert 3 * 4 * (100 * 121 + 50 * 600) / 1e6 < found["event files"] < 5
    assert 100 < found["peak memory"] < 2000


def test_the_parts_of_a_run_sum_to_it(ran):
    out, _ = ran["logging"]
    (_, table), _ = tables(out)
    each, total, calls = (
        dict(zip(table["part"], table[name], strict=True)) for name in ("ms a snapshot", "s a run", "calls")
    )
    parts = table["part"][: table["part"].index("**a snapshot**")]
    assert {"parameters copied", "losses", "votes", "geometry", "scalars", "histograms", "tensors"} <= set(parts)
    assert min(numbers(each[part])[0] for part in parts) > 0
    assert numbers(each["Lightning"])[0] > 0
    assert sum(numbers(each[part])[0] for part in parts) == pytest.approx(numbers(each["**a snapshot**"])[0], rel=0.02)
    assert sum(float(total[part]) for part in parts) == pytest.approx(float(total["**a snapshot**"]), abs=0.01)
    for part in ("parameters copied", "handed over", "history of votes", "**a snapshot**"):
        assert calls[part] == "32"
    assert {calls[part] for part in ("picture fit", "picture votes")} == {"10"}
    assert (calls["picture votes/history"], calls["pictures encoded"]) == ("1", "21")
    # several snapshots together
    assert int(calls["the rest of it"]) < 32


def test_sweeps_are_compared_by_launcher(ran):
    out, _ = ran["launchers"]
    (_, table), _ = tables(out)
    assert table["launcher"] == ["none", "joblib"]
    took = [numbers(cell)[0] for cell in table["seconds"]]
    assert [numbers(cell)[0] for cell in table["ms a job"]] == pytest.approx([500 * one for one in took], rel=0.01)
    assert ratios(out)["none / joblib, 2 jobs"] == pytest.approx(took[0] / took[1], rel=0.02)
    if sys.platform == "linux":
        first, all_ = ([numbers(cell)[0] for cell in table[name]] for name in ("MB, first process", "MB, all"))
        # in MB: torch alone takes more than 100; neighbours, which joblib's processes do not have, take less
        assert min(first) > 100
        assert 0 <= all_[0] - first[0] < 250
        assert (all_[0] > first[0]) == (helper_processes.processors() > 1)
        assert all_[1] > first[1] + 100


def test_growth_is_that_from_after_the_first_hundred_jobs_to_the_last(benchmarks):
    from benchmarks.launchers import Swept, _growth, _one_process
    from benchmarks.measure import Report
    from benchmarks.tree import Watched

    watched = Watched(0, lambda: [])
    # a job a second: 1 MB each while it starts, then 0.1 each
    watched.course = [(at, 200.0 + min(at, 100) + 0.1 * max(0, at - 100)) for at in range(1000)]
    ends = [float(at + 1) for at in range(1000)]
    assert _growth(watched, ends) == pytest.approx((300 + 87.5) / (300 + 2.5) - 1, rel=1e-3)
    assert _growth(watched, ends[:200]) is None
    report = Report("launchers", "title")
    _one_process(report, 8, [Swept(1.0, 1.0, [5.0], None)])
    assert report.ratios == []
    _one_process(report, 1000, [Swept(1.0, 1.0, [5.0, 7.0, 9.0], 0.0312)])
    assert [found for _, found, _ in report.ratios] == ["7.00 ms", "3.1 %"]


def test_a_report_is_measured_on_runs_of_which_one_in_twenty_is_damaged(ran):
    out, _ = ran["report"]
    assert "360 runs in 9 groups" in out
    counts = {why: int(many) for many, why in re.findall(r"(\d+)\s+(damaged|diverged|failed|unfinished)", out)}
    assert sum(counts.values()) == 18
    assert len(counts) == 4
    (_, measured), _ = tables(out)
    assert measured[""] == ["all of it", "without pictures"]
    seconds, per_run = ([numbers(cell)[0] for cell in measured[name]] for name in ("seconds", "ms a run"))
    assert [1e3 * each / 360 for each in seconds] == pytest.approx(per_run, rel=0.02)
    if sys.platform == "linux":
        # two processes that have NumPy
        assert 50 < ratios(out)["peak memory of all its processes"] < 2000


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def test_writing_a_section_leaves_the_others(benchmarks, tmp_path):
    from benchmarks import measure

    path = tmp_path / "found.md"
    measure.write(path, "logging", "## logging\n\n| a |")
    measure.write(path, "course", "## course\n")
    measure.write(path, "logging", "## logging, again")
    text = path.read_text()
    assert text.startswith("# How fast")
    assert re.findall(r"^## .*", text, re.M) == ["## course", "## logging, again"]
    measure.write(path, "course", "## course\n")
    assert path.read_text() == text


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_fails(benchmarks, loss):
    from benchmarks import measure

    measure.finite(1e30, "it")
    with pytest.raises(SystemExit, match=f"it: the loss is {loss}"):
        measure.finite(loss, "it")


def test_a_part_does_not_count_the_parts_within_it(benchmarks, monkeypatch):
    from benchmarks import stopwatch

    clock = itertools.count()
    monkeypatch.setattr(stopwatch.time, "thread_time", lambda: float(next(clock)))
    watch = stopwatch.Stopwatch()
    inner = watch.watched("part", lambda: None)
    outer = watch.watched("whole", lambda: [inner(), inner()])
    outer()
    inner()
    # each call looks at the clock twice: the outer one at 0 and 5
    assert watch.seconds == {"part": [1.0, 1.0, 1.0], "whole": [3.0]}


def test_threads_do_not_count_each_other(benchmarks):
    from benchmarks import stopwatch

    watch, begun = stopwatch.Stopwatch(), threading.Barrier(2)
    inner = watch.watched("inner", lambda: [begun.wait(), begun.wait()])
    outer = watch.watched("outer", lambda: [begun.wait(), begun.wait()])
    other = threading.Thread(target=inner)
    other.start()
    outer()
    other.join()
    assert (len(watch.seconds["inner"]), len(watch.seconds["outer"])) == (1, 1)
    assert min(watch.seconds["outer"] + watch.seconds["inner"]) >= 0


def test_a_part_that_no_function_is_fails(benchmarks):
    from benchmarks import stopwatch

    watch = stopwatch.Stopwatch()
    with watch.watching({"part": ["json:loads", "json:no_such_function"]}):
        assert json.loads("[1]") == [1]
    assert watch.calls == {"part": ("[1]",)}
    with (
        pytest.raises(AttributeError, match="part: there is none of json:no_such_function"),
        watch.watching({"part": ["json:no_such_function"]}),
    ):
        pass
    assert not hasattr(json.loads, "__wrapped__")


def test_the_number_of_updates_follows_from_the_time_they_take(benchmarks):
    from benchmarks import measure

    assert measure.updates_that_take(0.5, lambda updates: 1e-3 * updates) == 500
    assert measure.updates_that_take(0.5, lambda updates: 2.0 * updates) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.04567, "0.0457"),
        (3, "3.00"),
        (12.34, "12.3"),
        (99.96, "100"),
        (329.6, "330"),
        (2169.7, "2,170"),
        (12_345, "12.3k"),
        (247_396, "247k"),
    ],
)
def test_a_figure_has_three_digits(benchmarks, value, text):
    from benchmarks import measure

    assert measure.figure(value) == text
