"""Helper processes compute and draw exactly what this process would, and losing one loses no snapshot."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_plots import visible

from reluviz.analysis import load_run
from reluviz.core.functions import PARAMETERS
from reluviz.core.snapshot import RawSnapshot
from reluviz.data.dataset import Dataset
from reluviz.data.targets import piecewise_linear, sine
from reluviz.record import event_file
from reluviz.training import helper_processes
from reluviz.training.helper_processes import HelperProcess, Pair, RemoteWorker
from reluviz.training.snapshot_worker import SnapshotOptions, SnapshotWorker, Worker

pytestmark = pytest.mark.long

WIDTHS = {"input_slope": (5,), "bias": (5,), "output_weight": (5,)}
LOSS_BOUND = np.full(2, 1e3)
LINUX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


def partly_unknown_target(x: np.ndarray) -> np.ndarray:
    return np.where(x < 0.5, x, np.nan)


def snapshot_options(model: str = "relu", dataset: Dataset | None = None) -> SnapshotOptions:
    return SnapshotOptions(
        model=model,
        trained=PARAMETERS[model],
        dataset=dataset or piecewise_linear(n=50),
        seed=7,
        dtype="float32",
        events=True,
        histograms=True,
        most_units=3,
        picture_updates=frozenset({0, 4, 9}),
        contributions=True,
        optimum=None if model == "relu" else 0.5,
    )


def raw_snapshots(model: str, seed: int = 0) -> list[RawSnapshot]:
    generator = np.random.default_rng(seed)
    return [
        RawSnapshot(
            update,
            1e9 + update,
            {name: generator.normal(size=(2, *WIDTHS.get(name, ()))) for name in PARAMETERS[model]},
            generator.uniform(size=2),
        )
        for update in range(10)
    ]


def results(worker: Worker, raw: list[RawSnapshot]) -> list[object]:
    """Return everything that a worker computes and draws, from two calls of `compute`."""
    found: list[object] = []
    for part in (raw[:6], raw[6:]):
        result = worker.compute(part, [False] * len(part), LOSS_BOUND)
        found += [result.events, result.norms.tolist(), result.loss_train.tolist(), result.not_diverged.tolist()]
        found += [(data.update, [visible(png) for png in worker.draw_pictures(data)]) for data in result.picture_data]
    norms = np.abs(np.random.default_rng(1).normal(size=(2, 50)))
    return [*found, visible(worker.draw_vote_history(np.arange(2.0), norms))]


def new_pair() -> Pair:
    return HelperProcess(draws=False), HelperProcess(draws=True)


def close(helpers: Pair) -> None:
    for helper in helpers:
        helper.close()


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    helpers = new_pair()
    yield helpers
    close(helpers)


@pytest.fixture(autouse=True)
def no_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have NumPy sum the votes, as helper processes do: the sums of compiled code may differ in their last digit."""
    monkeypatch.delitem(sys.modules, "numba", raising=False)


@pytest.mark.parametrize("model", PARAMETERS)
def test_helper_processes_compute_and_draw_the_same_as_this_process(pair: Pair, model: str) -> None:
    raw, options = raw_snapshots(model), snapshot_options(model)
    worker = RemoteWorker(pair, options)
    assert results(worker, raw) == results(SnapshotWorker(options), raw)
    assert worker._fallback is None
    assert worker.drawing_seconds > 0


def test_a_target_that_cannot_be_imported_is_drawn_from_its_values(pair: Pair) -> None:
    data = replace(sine(n=50), target=lambda x: partly_unknown_target(x), x_test=None, y_test=None)
    raw, options = raw_snapshots("relu"), snapshot_options(dataset=data)
    worker = RemoteWorker(pair, options)
    assert results(worker, raw) == results(SnapshotWorker(options), raw)
    assert worker._fallback is None


def test_the_first_snapshot_that_has_diverged_is_drawn_too(pair: Pair) -> None:
    raw = raw_snapshots("relu")
    for snapshot in raw[5:]:
        snapshot.parameters["output_weight"][1, 2] = np.nan
    for worker in (SnapshotWorker(snapshot_options()), RemoteWorker(pair, snapshot_options())):
        result = worker.compute(raw, [True] * 3 + [False] * 7, LOSS_BOUND)
        assert [data.update for data in result.picture_data] == [0, 4, 5, 9]
        assert result.not_diverged.tolist() == [[True, True]] * 5 + [[True, False]] * 5
        assert len(worker.draw_pictures(result.picture_data[2])) == 2


@pytest.mark.long
@pytest.mark.parametrize("which", [helper_processes.COMPUTING, helper_processes.DRAWING], ids=["computing", "drawing"])
@pytest.mark.parametrize("after", ["begin_run", "compute", "draw_pictures"])
def test_this_process_does_the_work_of_a_killed_helper(after: str, which: int) -> None:
    helpers, raw, options = new_pair(), raw_snapshots("relu"), snapshot_options()
    remote, local = RemoteWorker(helpers, options), SnapshotWorker(options)

    def kill_after(method: str) -> None:
        if method == after:
            helpers[which].process.kill()
            helpers[which].process.join()

    kill_after("begin_run")
    result, expected = (worker.compute(raw, [True] * 10, LOSS_BOUND) for worker in (remote, local))
    assert result.events == expected.events
    kill_after("compute")
    pictures = [*remote.draw_pictures(result.picture_data[0])]
    kill_after("draw_pictures")
    pictures += [png for data in result.picture_data[1:] for png in remote.draw_pictures(data)]
    wanted = [png for data in expected.picture_data for png in local.draw_pictures(data)]
    assert [*map(visible, pictures)] == [*map(visible, wanted)]
    history = (np.arange(2.0), np.ones((2, 50)))
    assert visible(remote.draw_vote_history(*history)) == visible(local.draw_vote_history(*history))
    # a computing process has no further work after it has computed all snapshots
    assert (remote._fallback is None) == (which == helper_processes.COMPUTING and after != "begin_run")
    close(helpers)


@LINUX
def test_a_helper_ends_with_the_process_that_started_it() -> None:
    code = (
        "import time; from reluviz.training.helper_processes import HelperProcess; helper = HelperProcess(draws=True);"
        "print(helper.process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
    deadline = time.monotonic() + 20
    while _is_running(child):
        assert time.monotonic() < deadline, "the helper is still running"
        time.sleep(0.02)


def _is_running(process: int) -> bool:
    try:
        # a process that has ended is a zombie (Z) until its exit status is read
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_helper_imports_no_heavy_package_but_matplotlib() -> None:
    code = (
        "import sys; from reluviz.training import helper_processes, snapshot_worker; snapshot_worker.warm_up(True);"
        "print([name for name in ('torch', 'lightning', 'hydra', 'numba') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_helper_does_not_import_from_the_working_directory_unless_this_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder not in ("", str(tmp_path))])
    helper = HelperProcess(draws=True)
    assert helper.call("begin_run", snapshot_options())[0] is None
    helper.close()


@LINUX
def test_a_helper_ignores_ctrl_c_from_its_beginning() -> None:
    helper = HelperProcess(draws=True)
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        os.kill(helper.process.pid, signal.SIGINT)
        time.sleep(0.01)
    assert helper.call("begin_run", snapshot_options())[0] is None
    helper.close()
    assert helper.process.exitcode == 0


def test_a_helper_does_not_run_the_main_module_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "print('once')\n"
        "from reluviz.training import helper_processes\n"
        "from test_helper_processes import snapshot_options\n"
        "helper = helper_processes.HelperProcess(draws=False)\n"
        "print(helper.call('begin_run', snapshot_options())[0])\n"
        "helper.close()\n"
    )
    paths = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert done.stdout == "once\nNone\n"


def test_one_small_run_at_a_time_has_the_helper_processes(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = ({"bias": np.zeros((replicas, 40))} for replicas in (1, 2000))
    assert isinstance(helper_processes.choose_worker(snapshot_options(), few), SnapshotWorker)
    monkeypatch.setattr(helper_processes, "_idle", [pair])
    assert isinstance(helper_processes.choose_worker(snapshot_options(), many), SnapshotWorker)
    worker = helper_processes.choose_worker(snapshot_options(), few)
    assert isinstance(worker, RemoteWorker)
    assert isinstance(helper_processes.choose_worker(snapshot_options(), few), SnapshotWorker)
    worker.release()
    worker.release()
    assert helper_processes._idle == [pair]
    # after its release a worker works in this process
    assert results(worker, raw_snapshots("relu")) == results(SnapshotWorker(snapshot_options()), raw_snapshots("relu"))
    monkeypatch.setattr(helper_processes, "MAX_SENT_POINTS", 49)
    assert isinstance(helper_processes.choose_worker(snapshot_options(), few), SnapshotWorker)


def test_helpers_are_started_if_there_is_a_second_processor_and_before_numpy_is_imported() -> None:
    code = (
        "import sys; from reluviz.training import helper_processes;"
        " helper_processes.processors = lambda: int(sys.argv[1]);"
        "helper_processes.start(); print(len(helper_processes._idle), 'numpy' in sys.modules)"
    )
    for processors, expected in (("1", "0 False"), ("2", "1 False")):
        done = subprocess.run([sys.executable, "-c", code, processors], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected
        assert done.stderr == ""


@pytest.mark.parametrize("when", ["while drawing", "at startup"])
def test_printed_text_does_not_disturb_the_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    # Python imports sitecustomize at startup; drawing imports isal
    name = "sitecustomize" if when == "at startup" else "isal"
    (tmp_path / f"{name}.py").write_text("print('x' * 100, flush=True)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    helpers, raw, options = new_pair(), raw_snapshots("relu"), snapshot_options()
    worker = RemoteWorker(helpers, options)
    found = results(worker, raw)
    assert worker._fallback is None
    assert found[:4] == results(SnapshotWorker(options), raw)[:4]
    close(helpers)


@LINUX
def test_a_helper_that_does_not_answer_is_given_up_after_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    helpers, raw, options = new_pair(), raw_snapshots("relu"), snapshot_options()
    worker = RemoteWorker(helpers, options)
    monkeypatch.setattr(helper_processes, "ANSWER_TIMEOUT_SECONDS", 0.2)
    os.kill(helpers[0].process.pid, signal.SIGSTOP)
    assert results(worker, raw) == results(SnapshotWorker(options), raw)
    close(helpers)


def test_a_data_set_that_cannot_be_pickled_is_handled_in_this_process() -> None:
    class LocalDataset(Dataset):
        pass

    dataset = LocalDataset("local", np.linspace(0, 1, 50), np.linspace(1, 2, 50), (0.0, 1.0))
    raw, options = raw_snapshots("relu"), snapshot_options(dataset=dataset)
    helpers = new_pair()
    assert results(RemoteWorker(helpers, options), raw) == results(SnapshotWorker(options), raw)
    close(helpers)


COMMAND = """
import sys
from reluviz.training import helper_processes
from reluviz.__main__ import process
if sys.argv.pop() == "none":
    helper_processes.processors = lambda: 1
process()
"""


@pytest.mark.long
@LINUX
@pytest.mark.parametrize("replicas", [1, 3])
def test_a_run_is_the_same_with_helpers_without_and_with_killed_ones(tmp_path: Path, replicas: int) -> None:
    found = {}
    for how in ("none", "helpers", "killed"):
        folder = tmp_path / how
        words = ["train", "+exp=relu", "updates=3000", "snapshots.every=100", f"replicas={replicas}"]
        words += [f"hydra.run.dir={folder}", "callbacks.snapshots.pictures=4"]
        process = subprocess.Popen([sys.executable, "-c", COMMAND, *words, how.replace("killed", "helpers")])
        while how == "killed" and process.poll() is None and not [*folder.glob("events*")]:
            time.sleep(0.001)
        if how == "killed":
            for child in _children(process.pid):
                os.kill(child, signal.SIGKILL)
        assert process.wait(120) == 0
        run, pictures = load_run(folder), {}
        for path in folder.glob("events*"):
            for event in event_file.read_events(path):
                for value in event.summary.value:
                    if value.HasField("image"):
                        pictures[value.tag, event.step] = visible(value.image.encoded_image_string)
        metrics = json.loads((folder / "metrics.json").read_text())
        del metrics["seconds"]
        scalars = {tag: [part.tolist() for part in run.scalars(tag)] for tag in run.tags}
        found[how] = run.updates.tolist(), run.rows.tolist(), scalars, metrics, pictures
        assert len(pictures) == 2 * 4 + 1
    assert found["helpers"][:4] == found["none"][:4] == found["killed"][:4]
    assert found["helpers"][4] == found["none"][4] == found["killed"][4]


def _children(process: int) -> list[int]:
    """Return the child processes of a process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(folder.name))
    return found
