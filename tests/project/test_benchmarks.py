"""The benchmark programs run and print plausible figures. No test depends on how fast anything is."""

import importlib
import itertools
import json
import math
import operator
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reluviz.data.schedules import EarlySchedule
from reluviz.training import helper_processes

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
COMMANDS = {
    "engines": ["engines.py"],
    "chains": ["chains.py"],
    "course": ["course.py"],
    "first": ["course.py", "--first"],
    "replicas": ["replicas.py"],
    "logging": ["logging.py"],
    "report": ["report.py"],
    "launchers": ["launchers.py"],
    "memory": ["memory.py"],
    "mechanisms": ["mechanisms.py", "--only=isal for PNG files"],
}
MAX_COLUMNS = 84
"""Four more than the programs' 80 columns, because figures from a busy machine have more digits."""
NUMBER = r"-?[\d,]+(?:\.\d*)?k?|nan|inf"
FIGURE = re.compile(rf"({NUMBER})(?: \(({NUMBER})-({NUMBER})\))?(?: (?:x|s|ms|MB))?$")


def tables(text):
    """Return the Markdown tables of a text as [(the paragraph before it, {column: cells})]."""
    found, blocks = [], re.sub("<!--.*-->", "", text).split("\n\n")
    for before, block in itertools.pairwise(blocks):
        if block.startswith("|"):
            header, rule, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
            assert all(re.fullmatch("-+:?", cell) for cell in rule)
            assert {len(row) for row in [rule, *rows]} == {len(header)}
            found.append((before, {name: list(cells) for name, *cells in zip(header, *rows, strict=True)}))
    return found


def ratios(text):
    """Return the ratios that a program prints last."""
    (table,) = (table for _, table in tables(text) if "wanted" in table)
    return {name: numbers(found)[0] for name, found in zip(table[""], table["found"], strict=True)}


def numbers(cell):
    """Return the numbers of a cell: one figure, or a median, minimum and maximum."""
    found = FIGURE.match(cell)
    assert found, cell
    return [float(number.replace(",", "").replace("k", "e3")) for number in found.groups() if number is not None]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """The text printed by each program and the folder it wrote to; the programs are started in various folders."""
    processes = {}
    for name, (program, *options) in COMMANDS.items():
        folder = tmp_path_factory.mktemp(name)
        # in its own folder, logging.py could hide the standard library's module of that name
        cwd, script = (FOLDER, program) if name == "logging" else (folder, str(FOLDER / program))
        command = [sys.executable, script, *options, "--quick", "--write", str(folder / "results.md")]
        process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes[name] = folder, process
    found = {}
    for name, (folder, process) in processes.items():
        out, err = process.communicate(timeout=200)
        assert (process.returncode, err) == (0, ""), name
        found[name] = out, folder
    return found


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
def test_a_program_describes_the_machine_in_80_columns(name, outputs):
    out, _ = outputs[name]
    assert out.startswith(f"{COMMANDS[name][0]}")
    machine = " ".join(out.split("\n\n")[1].split())
    for item in ("cores", "load average", "Python 3.", "torch 2.", "lightning 2.", "numba 0.", "numpy 2."):
        assert item in machine
    assert re.search(r"[Rr]uns\b", out)
    assert max(map(len, out.splitlines())) <= MAX_COLUMNS


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
def test_every_figure_is_finite_not_negative_and_within_its_spread(name, outputs):
    cells = [cell for _, table in tables(outputs[name][0]) for cells in table.values() for cell in cells]
    figures = [numbers(cell) for cell in cells if FIGURE.match(cell)]
    assert len(figures) > 2
    for median, *spread in figures:
        assert math.isfinite(median)
        assert median >= 0
        if spread:
            assert spread[0] <= median <= spread[1]


@pytest.mark.long
@pytest.mark.parametrize("name", COMMANDS)
def test_the_written_section_starts_with_the_command_and_the_ratios(name, outputs):
    out, folder = outputs[name]
    written = (folder / "results.md").read_text()
    command = " ".join(["python", f"benchmarks/{COMMANDS[name][0]}", *COMMANDS[name][1:], "--quick", "--write"])
    assert f"```console\n{command}\n```" in written
    assert str(ROOT) not in written
    assert str(folder) not in written
    # the terminal shows the ratios last
    *details, last = (table for _, table in tables(out))
    assert [table for _, table in tables(written)] == [last, *details]
    assert max(map(len, written.splitlines())) <= MAX_COLUMNS


@pytest.mark.long
def test_the_engines_are_compared_along_every_axis(outputs):
    found = tables(outputs["engines"][0])
    axes = {next(iter(table)): table for _, table in found if "MB" in table}
    assert list(axes) == ["W", "B", "N", "R"]
    for table in axes.values():
        assert {"plain loop", "fused"} <= set(table[""])
        for name, ratio, time in zip(table[""], table["x"], table["microseconds"], strict=True):
            assert min(numbers(time) + numbers(ratio)) > 0
            assert numbers(ratio) == [1] or not name.startswith("plain loop")
    assert {"Lightning", "reference", "exact, full batch"} <= set(axes["W"][""])
    kernels = {title: table for title, table in found if "growth" in table}
    assert list(kernels) == [f"Kernels, B = {batch}, float{bits}:" for batch in (40, 400) for bits in (32, 64)]
    for table in kernels.values():
        assert table["W"] == ["40", "2,560"]
        assert numbers(table["growth"][0]) == [1]
        assert set(table["taken"]) <= {"dense", "sorted"}
    assert min(ratios(outputs["engines"][0]).values()) > 0


@pytest.mark.long
def test_the_engines_are_drawn_in_a_picture(outputs):
    png = (outputs["engines"][1] / "engines.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    assert [int.from_bytes(png[i : i + 4], "big") for i in (16, 20)] == [1100, 820]
    assert "(engines.png)" in (outputs["engines"][1] / "results.md").read_text()


@pytest.mark.long
def test_the_course_job_is_compared_with_the_plain_loop_on_its_six_cases(outputs):
    out, _ = outputs["course"]
    assert "12 updates in 6 runs" in out
    (_, seconds), (_, cases), _ = tables(out)
    assert cases["case"] == [
        f"width={width}, regime={regime}" for width in (10, 20, 40) for regime in ("output", "all")
    ]
    job, fits, plain = (numbers(cell)[0] for cell in seconds["seconds"])
    assert job > fits > 0
    assert list(ratios(out).values()) == pytest.approx([plain / job, plain / fits], rel=0.02)
    # the plain loop's time is extrapolated: the two updates of each case at that case's microseconds an update
    microseconds = [numbers(cell)[0] for cell in cases["the faster"]]
    assert plain == pytest.approx(2 * sum(microseconds) / 1e6, rel=0.02)


@pytest.mark.long
def test_a_first_run_is_compared_with_a_later_run(outputs):
    out, _ = outputs["first"]
    (_, table), _ = tables(out)
    train = "train +exp=relu"
    names = [f"{train}, nothing compiled", f"{train}, warm", "--help", f"{train} --cfg job"]
    assert table["python -m reluviz"] == names
    first, later, help_text, cfg = (numbers(cell)[0] for cell in table["seconds"])
    assert min(first, later) > max(help_text, cfg) > 0
    assert ratios(out)["+exp=relu: first run - later run"] == pytest.approx(first - later, rel=0.02, abs=0.05)
    # torch alone takes more than 100 MB
    assert all(100 < ratios(out)[f"+exp=relu: peak memory, {run} run"] < 5000 for run in ("first", "later"))
    assert 'The first run says: "compiling' in out


@pytest.mark.long
def test_whole_runs_of_many_replicas_are_compared_with_the_engine_alone(outputs):
    out, _ = outputs["replicas"]
    (_, table), _ = tables(out)
    rates = {name: numbers(cell)[0] for name, cell in zip(table["of"], table["updates a second"], strict=True)}
    alone, drawing, engine_of_one, one, engine, whole = rates.values()
    assert list(rates)[-1] == "seconds.fit, 100 replicas"
    # a run also does other work than its updates
    assert engine > whole > one
    assert engine_of_one > one
    threads = int(re.search(r"(\d+) threads? share", out)[1])
    found = ratios(out)
    assert found["whole run / (cores x engine alone)"] == pytest.approx(whole / threads / alone, rel=0.02)
    assert found["whole run / (cores x engine that draws)"] == pytest.approx(whole / threads / drawing, rel=0.02)
    assert found["whole run / (cores x seconds.engine)"] == pytest.approx(whole / threads / engine_of_one, rel=0.02)
    # in MB: at least the parameters and votes of three snapshots in float32
    assert 3 * 4 * (100 * 121 + 50 * 600) / 1e6 < found["event files"] < 20
    assert 100 < found["peak memory"] < 2000


@pytest.mark.long
def test_the_parts_of_a_snapshot_add_up_to_its_time(outputs):
    out, _ = outputs["logging"]
    (_, table), _ = tables(out)
    milliseconds, seconds, calls = (
        dict(zip(table["part"], table[name], strict=True)) for name in ("ms a snapshot", "s a run", "calls")
    )
    parts = table["part"][: table["part"].index("**a snapshot**")]
    assert {"parameters copied", "losses", "votes", "geometry", "scalars", "histograms", "tensors"} <= set(parts)
    assert min(numbers(milliseconds[part])[0] for part in parts) > 0
    assert numbers(milliseconds["Lightning"])[0] > 0
    total = sum(numbers(milliseconds[part])[0] for part in parts)
    assert total == pytest.approx(numbers(milliseconds["**a snapshot**"])[0], rel=0.02)
    assert sum(float(seconds[part]) for part in parts) == pytest.approx(float(seconds["**a snapshot**"]), abs=0.01)
    snapshots = len(EarlySchedule(500).schedule(15_000))
    for part in ("handed over", "history of votes", "**a snapshot**"):
        assert calls[part] == str(snapshots)
    # the findings at the end of a run may read the parameters once more
    assert int(calls["parameters copied"]) in (snapshots, snapshots + 1)
    assert {calls[part] for part in ("picture fit", "picture votes")} == {"10"}
    assert (calls["picture votes/history"], calls["pictures encoded"]) == ("1", "21")
    # one call computes several snapshots; how many depends on how busy the machine is
    assert int(calls["the rest of it"]) < snapshots


@pytest.mark.long
def test_sweeps_are_compared_by_launcher(outputs):
    out, _ = outputs["launchers"]
    (_, table), _ = tables(out)
    assert table["launcher"] == ["none", "joblib"]
    seconds = [numbers(cell)[0] for cell in table["seconds"]]
    assert [numbers(cell)[0] for cell in table["ms a job"]] == pytest.approx([500 * s for s in seconds], rel=0.01)
    assert ratios(out)["none / joblib, 2 jobs"] == pytest.approx(seconds[0] / seconds[1], rel=0.02)
    if sys.platform == "linux":
        first, total = ([numbers(cell)[0] for cell in table[name]] for name in ("MB, first process", "MB, all"))
        # in MB: torch alone takes more than 100; with `none`, only the helper processes add to the first process
        assert min(first) > 100
        assert 0 <= total[0] - first[0] < 250
        assert (total[0] > first[0]) == (helper_processes.processors() > 1)
        assert total[1] > first[1] + 100


@pytest.mark.long
def test_the_course_is_measured_with_and_without_a_mechanism(outputs):
    out, _ = outputs["mechanisms"]
    (_, table), _ = tables(out)
    assert table["mechanism"] == ["isal for PNG files"]
    with_it, without_it = (numbers(table[name][0])[0] for name in ("with it", "without it"))
    assert ratios(out) == {"isal for PNG files: without / with": pytest.approx(without_it / with_it, rel=0.02)}


def test_the_parts_that_switch_off_a_mechanism_exist(benchmarks):
    from benchmarks import mechanisms

    for module, name, _ in mechanisms.PATCHES.values():
        assert operator.attrgetter(name)(importlib.import_module(module))


def test_the_mutants_named_as_equivalent_exist(benchmarks):
    from benchmarks import mutants

    every = {(mutant.file, *(line.strip() for line in mutant.lines())) for mutant in mutants.all_mutants()}
    assert len(every) > 1500
    assert set(mutants.EQUIVALENT) <= every


@pytest.mark.long
def test_a_mutant_is_tried_on_a_copy_of_the_project(benchmarks, tmp_path):
    from queue import Queue

    from benchmarks import mutants

    (elbow,) = (
        mutant
        for mutant in mutants.all_mutants("core/elbows.py")
        if mutant.new == "*" and "-b / w" in mutant.lines()[0]
    )
    copies = Queue()
    copies.put(mutants.copy_project(tmp_path))
    before = (ROOT / "src/reluviz/core/elbows.py").read_text()
    assert "tests/core/" in mutants.try_mutant(elbow, copies)
    assert (ROOT / "src/reluviz/core/elbows.py").read_text() == before
    copy = copies.get()
    assert (copy / "src/reluviz/core/elbows.py").read_text() == before
    # without a change no test fails
    assert mutants.run_tests(copy, "tests/core/test_elbows.py").returncode == 0


def test_memory_growth_is_measured_from_the_jobs_after_the_first_hundred_to_the_last_jobs(benchmarks):
    from benchmarks.launchers import SweepResult, _growth, _one_process
    from benchmarks.measure import Report
    from benchmarks.memory_monitor import MemoryMonitor

    monitor = MemoryMonitor(0, lambda: [])
    # a job each second; each of the first hundred adds 1 MB, each later one 0.1 MB
    monitor.history = [(at, 200.0 + min(at, 100) + 0.1 * max(0, at - 100)) for at in range(1000)]
    ends = [float(at + 1) for at in range(1000)]
    assert _growth(monitor, ends) == pytest.approx((300 + 87.5) / (300 + 2.5) - 1, rel=1e-3)
    assert _growth(monitor, ends[:200]) is None
    report = Report("launchers", "title")
    _one_process(report, 8, [SweepResult(1.0, 1.0, [5.0], None)])
    assert report.ratios == []
    _one_process(report, 1000, [SweepResult(1.0, 1.0, [5.0, 7.0, 9.0], 0.0312)])
    assert [found for _, found, _ in report.ratios] == ["7.00 ms", "3.1 %"]


@pytest.mark.long
def test_a_report_is_measured_on_runs_with_one_in_twenty_damaged(outputs):
    out, _ = outputs["report"]
    assert "360 runs in 9 groups" in out
    counts = {reason: int(count) for count, reason in re.findall(r"(\d+)\s+(damaged|diverged|failed|unfinished)", out)}
    assert sum(counts.values()) == 18
    assert len(counts) == 4
    (_, measured), _ = tables(out)
    assert measured[""] == ["all of it", "without pictures"]
    seconds, per_run = ([numbers(cell)[0] for cell in measured[name]] for name in ("seconds", "ms a run"))
    assert [1e3 * s / 360 for s in seconds] == pytest.approx(per_run, rel=0.02)
    if sys.platform == "linux":
        # in MB: two processes that import NumPy
        assert 50 < ratios(out)["peak memory of all its processes"] < 2000


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def test_writing_a_section_keeps_the_other_sections(benchmarks, tmp_path):
    from benchmarks import measure

    path = tmp_path / "results.md"
    measure.write_section(path, "logging", "## logging\n\n| a |")
    measure.write_section(path, "course", "## course\n")
    measure.write_section(path, "logging", "## logging, again")
    text = path.read_text()
    assert text.startswith("# How fast")
    assert re.findall(r"^## .*", text, re.M) == ["## course", "## logging, again"]
    measure.write_section(path, "course", "## course\n")
    assert path.read_text() == text


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_program(benchmarks, loss):
    from benchmarks import measure

    measure.exit_if_not_finite(1e30, "plain loop")
    with pytest.raises(SystemExit, match=f"plain loop: the loss is {loss}"):
        measure.exit_if_not_finite(loss, "plain loop")


def test_the_time_of_a_part_excludes_the_parts_it_calls(benchmarks, monkeypatch):
    from benchmarks import stopwatch

    clock = itertools.count()
    monkeypatch.setattr(stopwatch.time, "thread_time", lambda: float(next(clock)))
    watch = stopwatch.Stopwatch()
    inner = watch.watched("part", lambda: None)
    outer = watch.watched("whole", lambda: [inner(), inner()])
    outer()
    inner()
    # each call reads the clock twice: the outer one at 0 and 5
    assert watch.seconds == {"part": [1.0, 1.0, 1.0], "whole": [3.0]}


def test_the_time_of_a_part_excludes_other_threads(benchmarks):
    from benchmarks import stopwatch

    watch, barrier = stopwatch.Stopwatch(), threading.Barrier(2)
    in_thread = watch.watched("in thread", lambda: [barrier.wait(), barrier.wait()])
    in_main = watch.watched("in main", lambda: [barrier.wait(), barrier.wait()])
    thread = threading.Thread(target=in_thread)
    thread.start()
    in_main()
    thread.join()
    assert (len(watch.seconds["in thread"]), len(watch.seconds["in main"])) == (1, 1)
    assert min(watch.seconds["in main"] + watch.seconds["in thread"]) >= 0


def test_a_part_without_an_existing_function_is_an_error(benchmarks):
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


def test_the_number_of_updates_is_chosen_for_a_given_time(benchmarks):
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
def test_a_figure_has_three_significant_digits(benchmarks, value, text):
    from benchmarks import measure

    assert measure.format_number(value) == text
