"""A process beside this one works out and draws what this one would, to the bit; and nothing is lost with it."""

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
from test_plots import shown

from reluviz.analysis import load_run
from reluviz.core.functions import PARAMETERS
from reluviz.core.snapshot import RawSnapshot
from reluviz.data.dataset import Dataset
from reluviz.data.targets import piecewise_linear, sine
from reluviz.record import event_reader
from reluviz.training import helper_processes, remote_worker
from reluviz.training.helper_processes import HelperProcess
from reluviz.training.remote_worker import RemoteWorker
from reluviz.training.snapshot_worker import SnapshotOptions, SnapshotWorker, Worker

WIDTHS = {"input_slope": (5,), "bias": (5,), "output_weight": (5,)}
BOUND = np.full(2, 1e3)
POSIX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them")


def own_target(x: np.ndarray) -> np.ndarray:
    return np.where(x < 0.5, x, np.nan)


def order(model: str = "relu", dataset: Dataset | None = None, **more: object) -> SnapshotOptions:
    told = {"events": True, "histograms": True, "most_units": 3, "pictured": frozenset({0, 4, 9})}
    told |= {"contributions": True, "optimum": None if model == "relu" else 0.5}
    return SnapshotOptions(model, PARAMETERS[model], dataset or piecewise_linear(n=50), 7, "float32", **(told | more))


def taken(model: str, seed: int = 0) -> list[RawSnapshot]:
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


def everything(room: Worker, some: list[RawSnapshot]) -> list[object]:
    """Return all that a darkroom finds out about snapshots, in two parts."""
    found: list[object] = []
    for part in (some[:6], some[6:]):
        one = room.develop(part, [False] * len(part), BOUND)
        found += [one.events, one.norms.tolist(), one.loss_train.tolist(), one.sound.tolist()]
        found += [(sight.update, [shown(png) for png in room.draw(sight)]) for sight in one.sights]
    return [*found, shown(room.history(np.arange(2.0), np.abs(np.random.default_rng(1).normal(size=(2, 50)))))]


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[HelperProcess, HelperProcess]]:
    two = HelperProcess(draws=False), HelperProcess(draws=True)
    yield two
    for one in two:
        one.close()


@pytest.fixture(autouse=True)
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave sums of votes to NumPy, as that process does: in compiled code their last digit may be another."""
    monkeypatch.delitem(sys.modules, "numba", raising=False)


@pytest.mark.parametrize("model", PARAMETERS)
def test_it_finds_and_draws_what_this_process_would(both: tuple[HelperProcess, HelperProcess], model: str) -> None:
    some, wanted = taken(model), order(model)
    room = RemoteWorker(both, wanted)
    assert everything(room, some) == everything(SnapshotWorker(wanted), some)
    assert room._here is None
    assert room.seconds > 0


def test_the_function_that_made_the_data_stays_here(both: tuple[HelperProcess, HelperProcess]) -> None:
    # which another process could not import
    data = replace(sine(n=50), target=lambda x: own_target(x), x_test=None, y_test=None)
    some, wanted = taken("relu"), order(dataset=data)
    room = RemoteWorker(both, wanted)
    assert everything(room, some) == everything(SnapshotWorker(wanted), some)
    assert room._here is None


def test_the_first_snapshot_that_has_diverged_is_drawn_too(both: tuple[HelperProcess, HelperProcess]) -> None:
    some = taken("relu")
    for one in some[5:]:
        one.parameters["output_weight"][1, 2] = np.nan
    for room in (SnapshotWorker(order()), RemoteWorker(both, order())):
        found = room.develop(some, [True] * 3 + [False] * 7, BOUND)
        assert [sight.update for sight in found.sights] == [0, 4, 5, 9]
        assert found.sound.tolist() == [[True, True]] * 5 + [[True, False]] * 5
        assert len(room.draw(found.sights[2])) == 2


@pytest.mark.parametrize("which", [0, 1], ids=["that develops", "that draws"])
@pytest.mark.parametrize("after", ["begin", "develop", "draw"])
def test_what_they_do_not_do_any_more_is_done_here(after: str, which: int) -> None:
    two, some, wanted = (HelperProcess(draws=False), HelperProcess(draws=True)), taken("relu"), order()
    room, here = RemoteWorker(two, wanted), SnapshotWorker(wanted)

    def lose(when: str) -> None:
        if when == after:
            two[which]._process.kill()

    lose("begin")
    found, expected = (each.develop(some, [True] * 10, BOUND) for each in (room, here))
    assert found.events == expected.events
    lose("develop")
    pictures = [*room.draw(found.sights[0])]
    lose("draw")
    pictures += [png for sight in found.sights[1:] for png in room.draw(sight)]
    assert [*map(shown, pictures)] == [shown(png) for sight in expected.sights for png in here.draw(sight)]
    ends = (np.arange(2.0), np.ones((2, 50)))
    assert shown(room.history(*ends)) == shown(here.history(*ends))
    assert room._here is not None
    for one in two:
        one.close()


@POSIX
def test_it_ends_with_the_process_that_it_works_for() -> None:
    code = (
        "import time; from reluviz.training.helper_processes import HelperProcess; one = HelperProcess(draws=True);"
        "print(one._process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
    deadline = time.monotonic() + 20
    while _lives(child):
        assert time.monotonic() < deadline, "it goes on"
        time.sleep(0.02)


def _lives(process: int) -> bool:
    try:
        # one that has ended stays in the table until somebody asks how
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; from reluviz.training import remote_worker; remote_worker.warm_up(True);"
        "print([name for name in ('torch', 'lightning', 'hydra', 'numba') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_module_in_the_folder_at_hand_does_not_get_in_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pickle.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one not in ("", str(tmp_path))])
    one = HelperProcess(draws=True)
    assert one.ask("begin", order())[0] is None
    one.close()


@POSIX
def test_ctrl_c_is_not_for_it() -> None:
    one = HelperProcess(draws=True)
    assert os.getpgid(one._process.pid) != os.getpgid(0)
    one.close()
    assert one._process.returncode == 0


def test_large_runs_and_single_processors_do_without_it(
    both: tuple[HelperProcess, HelperProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = ({"bias": np.zeros((replicas, 40))} for replicas in (1, 2000))
    assert isinstance(remote_worker.choose_worker(order(), few), SnapshotWorker)
    monkeypatch.setattr(helper_processes, "_idle", [both])
    assert isinstance(remote_worker.choose_worker(order(), many), SnapshotWorker)
    first = remote_worker.choose_worker(order(), few)
    assert isinstance(first, RemoteWorker)
    # of one run at a time
    assert isinstance(remote_worker.choose_worker(order(), few), SnapshotWorker)
    first.close()
    first.close()
    assert helper_processes._idle == [both]
    # whoever asks it all the same is answered here
    assert everything(first, taken("relu")) == everything(SnapshotWorker(order()), taken("relu"))
    monkeypatch.setattr(remote_worker, "MOST_POINTS", 49)
    assert isinstance(remote_worker.choose_worker(order(), few), SnapshotWorker)


def test_it_is_begun_where_there_is_a_processor_for_it() -> None:
    code = (
        "import sys; from reluviz.training import helper_processes;"
        " helper_processes.processors = lambda: int(sys.argv[1]);"
        "helper_processes.start(); print(len(helper_processes._idle), 'numpy' in sys.modules)"
    )
    for processors, begun in (("1", "0 False"), ("2", "1 False")):
        done = subprocess.run([sys.executable, "-c", code, processors], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == begun
        assert done.stderr == ""


@pytest.mark.parametrize("when", ["by a module", "before anything"])
def test_nothing_that_is_printed_is_taken_for_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    # before anything else Python imports sitecustomize; isal only when somebody draws
    name = "sitecustomize" if when == "before anything" else "isal"
    (tmp_path / f"{name}.py").write_text("print('x' * 100, flush=True)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    two, some, wanted = (HelperProcess(draws=False), HelperProcess(draws=True)), taken("relu"), order()
    room = RemoteWorker(two, wanted)
    found = everything(room, some)
    assert (room._here is not None) == (when == "before anything")
    assert found[:4] == everything(SnapshotWorker(wanted), some)[:4]
    for one in two:
        one.close()


@POSIX
def test_one_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    two, some, wanted = (HelperProcess(draws=False), HelperProcess(draws=True)), taken("relu"), order()
    room = RemoteWorker(two, wanted)
    monkeypatch.setattr(helper_processes, "LONGEST", 0.2)
    os.kill(two[0]._process.pid, signal.SIGSTOP)
    assert everything(room, some) == everything(SnapshotWorker(wanted), some)
    for one in two:
        one.close()


def test_what_cannot_be_sent_is_worked_out_here(both: tuple[HelperProcess, HelperProcess]) -> None:
    class Own(Dataset):
        pass

    own = Own("own", np.linspace(0, 1, 50), np.linspace(1, 2, 50), (0.0, 1.0))
    some, wanted = taken("relu"), order(dataset=own)
    two = HelperProcess(draws=False), HelperProcess(draws=True)
    assert everything(RemoteWorker(two, wanted), some) == everything(SnapshotWorker(wanted), some)
    for one in two:
        one.close()


COMMAND = """
import sys
from reluviz.training import helper_processes
from reluviz.__main__ import process
if sys.argv.pop() == "alone":
    helper_processes.processors = lambda: 1
process()
"""


@POSIX
@pytest.mark.parametrize("replicas", [1, 3])
def test_a_run_is_the_same_with_them_and_without(tmp_path: Path, replicas: int) -> None:
    found = {}
    for how in ("alone", "together", "bereft"):
        folder = tmp_path / how
        words = ["train", "+exp=relu", "updates=3000", "snapshots.every=100", f"replicas={replicas}"]
        words += [f"hydra.run.dir={folder}", "callbacks.snapshots.pictures=4"]
        process = subprocess.Popen([sys.executable, "-c", COMMAND, *words, how.replace("bereft", "together")])
        while how == "bereft" and process.poll() is None and not [*folder.glob("events*")]:
            time.sleep(0.001)
        if how == "bereft":
            for child in _children(process.pid):
                os.kill(child, signal.SIGKILL)
        assert process.wait(120) == 0
        run, pictures = load_run(folder), {}
        for path in folder.glob("events*"):
            for event in event_reader.events(path):
                for value in event.summary.value:
                    if value.HasField("image"):
                        pictures[value.tag, event.step] = shown(value.image.encoded_image_string)
        metrics = json.loads((folder / "metrics.json").read_text())
        del metrics["seconds"]
        scalars = {tag: [part.tolist() for part in run.scalars(tag)] for tag in run.tags}
        found[how] = run.updates.tolist(), run.rows.tolist(), scalars, metrics, pictures
        assert len(pictures) == 2 * 4 + 1
    assert found["together"][:4] == found["alone"][:4] == found["bereft"][:4]
    assert found["together"][4] == found["alone"][4] == found["bereft"][4]


def _children(process: int) -> list[int]:
    """Return the processes that a process has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == process:
                found.append(int(folder.name))
    return found
