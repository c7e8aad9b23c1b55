import errno
import fcntl
import json
import os
import re
import shlex
import struct
import subprocess
import sys
import termios
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from reluviz import console
from reluviz.__main__ import main
from reluviz.cli import config
from reluviz.training.callbacks import ProgressBar

GOLDEN = Path(__file__).parent / "help.txt"
COMMAND = [sys.executable, "-m", "reluviz"]
SHORT = ("updates=4", "snapshots.every=2", "callbacks=minimal")
COMMON = ["name", "status", "engine", "updates", "seeds", "loss/train", "loss/test", "reference"]
MODEL_KEYS = {
    "relu": ["elbow", "input_slope", "bias", "output_weight", "output_bias", "units"],
    "constant": ["theta", "theta/optimum"],
    "linear": ["theta", "theta/optimum"],
}


def reluviz(*words):
    """Run the command line in this process, and return its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", *words])
        return main()


def run_process(*words):
    """Run the command line in a process of its own."""
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def train(logs, *words, status=0):
    """Train, and return the folders of the runs, name -> path."""
    before = set(logs.glob("**/metrics.json"))
    assert reluviz("train", *words) == status
    return {path.parent.name: path.parent for path in sorted(set(logs.glob("**/metrics.json")) - before)}


def train_one(logs, *words):
    """Train one run, and return its folder."""
    (folder,) = train(logs, *words).values()
    return folder


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


@pytest.fixture
def logs(tmp_path):
    return tmp_path / "logs"


@pytest.fixture(scope="module")
def finished_process(tmp_path_factory):
    """A run in a process of its own without a terminal: (process, the folder in which it ran)."""
    folder = tmp_path_factory.mktemp("process")
    words = ["train", "+exp=relu", "updates=20", "snapshots.every=10", "replicas=3"]
    return subprocess.run([*COMMAND, *words], cwd=folder, capture_output=True, text=True, check=False), folder


# verbs and help


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_that_of_the_package(flag, capsys):
    assert reluviz(flag) == 0
    assert capsys.readouterr() == (f"reluviz {version('reluviz')}\n", "")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]], ids=["nothing", "--help", "-h", "help"])
def test_the_help_text_is_the_recorded_one(words, capsys):
    assert reluviz(*words) == 0
    assert capsys.readouterr() == (GOLDEN.read_text(), "")


@pytest.mark.parametrize(
    ("word", "line"),
    [
        (
            "trian",
            "reluviz: trian: must be one of train, view, playground, export, report, explain; did you mean train?\n",
        ),
        (
            "--hlep",
            "reluviz: --hlep: must be one of train, view, playground, export, report, explain; did you mean --help?\n",
        ),
        ("xyz", "reluviz: xyz: must be one of train, view, playground, export, report, explain\n"),
    ],
)
def test_an_unknown_verb_is_refused(word, line, capsys):
    assert reluviz(word) == 2
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize("flag", ["--version", "--help", "trian"])
def test_version_help_and_errors_import_no_large_package(flag):
    code = (
        "import sys; from reluviz.__main__ import main; main();"
        "print({'torch', 'lightning', 'hydra', 'matplotlib', 'numpy', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, flag], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "set()")


def test_the_console_script_runs_the_module():
    script = Path(sys.executable).with_name("reluviz")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"reluviz {version('reluviz')}\n")


def test_the_help_of_train_names_choices_and_keys_and_creates_nothing(tmp_path):
    done = run_process("train", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"model: {', '.join(config.choices('model'))}\n" in done.stdout
    assert "exp: batch, constant, course," in done.stdout
    assert "\nupdates: 150000\n" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--cfg", "job"], ["--cfg=job"], ["-c", "job"]], ids=" ".join)
def test_cfg_shows_the_settings_and_creates_nothing(words, tmp_path, capsys):
    assert reluviz("train", "+exp=linear", *words, "optimizer.lr=0.3") == 0
    out, err = capsys.readouterr()
    cfg = OmegaConf.create(out)
    assert (cfg.name, cfg.optimizer.lr, cfg.updates, err) == ("linear", 0.3, 50, "")
    assert list(tmp_path.iterdir()) == []


def test_info_shows_where_the_settings_come_from_and_creates_nothing(tmp_path):
    # the override that follows is not the value of --info
    done = run_process("train", "--info", "+exp=relu")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Config search path" in done.stdout
    assert "Defaults List" in done.stdout
    assert "exp/relu" in done.stdout
    assert list(tmp_path.iterdir()) == []


# what is printed at the end


LABELS = ["trained", "loss", "result", "time", "folder", "view"]


def printed_end(text):
    """Return the end of a run as printed, label -> text; lines of a result that follow its first are left out."""
    lines = [line for line in text.splitlines() if not line.startswith(" " * 8)]
    # replicas may have several results; the first one counts
    found = {line.split()[0]: line[8:] for line in reversed(lines)}
    assert list(dict.fromkeys(line.split()[0] for line in lines)) == LABELS
    return found


def test_a_process_without_a_terminal_prints_how_the_run_ended_and_nothing_else(finished_process):
    done, _ = finished_process
    assert (done.returncode, done.stderr) == (0, "")
    printed_end(done.stdout)
    assert "\x1b" not in done.stdout


def test_the_printed_end_agrees_with_metrics_json(finished_process):
    done, ran_in = finished_process
    printed = printed_end(done.stdout)
    folder = ran_in / printed["folder"]
    assert printed["view"] == f"python -m reluviz view {printed['folder']}"
    assert re.fullmatch(r"logs/relu/[0-9_-]+", printed["folder"])
    metrics = metrics_of(folder)
    assert printed["trained"] == "20 ReLUs: 20 updates by SGD, lr 0.02, 3 replicas (engine fused)"
    least = metrics["reference"]["least_squares"]
    medians = [
        sorted(values)[1]
        for values in (metrics["loss/train"], metrics["loss/test"], least["loss/train"], least["loss/test"])
    ]
    train, test, best_train, best_test = (f"{value:.4g}" for value in medians)
    assert printed["loss"] == f"train {train}, test {test}; least squares: train {best_train}, test {best_test}"
    assert printed["time"].startswith(f"{metrics['seconds']['total']:.1f} s, ")
    first = metrics["findings"][0]
    assert first["text"].startswith(printed["result"].partition("replicas: ")[2][:40])


def test_the_printed_end_of_a_one_parameter_model_names_the_optimum(logs, capsys):
    metrics = metrics_of(train_one(logs, "+exp=linear", "callbacks=minimal"))
    printed = printed_end(capsys.readouterr().out)
    assert printed["trained"] == "y = theta x: 50 updates by SGD, lr 0.2 (engine exact)"
    theta, star = metrics["theta"][0], metrics["theta/optimum"][0]
    best = metrics["reference"]["loss/train"][0]
    assert printed["loss"] == (
        f"train {metrics['loss/train'][0]:.4g}, test {metrics['loss/test'][0]:.4g};"
        f" theta {theta:.4g}; optimum {star:.4g} with {best:.4g}"
    )


def in_a_terminal(*words, columns=80):
    """Run in a pseudo-terminal, and return the exit status and everything that was written to it."""
    test_end, process_end = os.openpty()
    fcntl.ioctl(process_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {**os.environ, "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        env.pop(name, None)
    started = subprocess.Popen([*COMMAND, *words], stdin=process_end, stdout=process_end, stderr=process_end, env=env)
    os.close(process_end)
    written = b""
    while True:
        try:
            part = os.read(test_end, 65536)
        except OSError:  # raised on Linux when the other end is closed
            break
        if not part:
            break
        written += part
    os.close(test_end)
    return started.wait(), written.decode()


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals of this kind")
def test_a_terminal_shows_updates_and_loss_in_lines_of_its_width_and_then_how_the_run_ended():
    status, text = in_a_terminal(
        # the reference engine, because the fast ones finish before the bar is drawn again
        "train",
        "+exp=relu",
        "updates=1500",
        "snapshots.every=500",
        "callbacks=minimal",
        "engine=reference",
    )
    assert status == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = [line for line in re.split(r"[\r\n]+", plain) if line]
    bars = [line for line in lines if "of 1,500 updates" in line]
    assert max(map(len, bars)) <= 80
    done = [int(re.search(r"([\d,]+) of 1,500 updates", bar)[1].replace(",", "")) for bar in bars]
    assert done[0] == 0
    assert done[-1] == 1500
    assert done == sorted(done)
    assert {500, 1000} <= set(done)
    assert re.search(r"loss \d\.\d{3}e-\d\d", bars[-1])
    assert not re.search("batch|it/s|epoch", plain, re.IGNORECASE)
    assert [line.split()[0] for line in lines if line not in bars and line[:1] != " "] == LABELS
    # the line of the bar is erased before these lines
    assert text.index("\x1b[2K", text.rindex("of 1,500")) < text.index("trained")


# the files of a run


@pytest.mark.parametrize("name", ["relu", "constant", "linear"])
def test_metrics_have_the_documented_keys_and_a_value_for_each_replica(name, logs):
    metrics = metrics_of(train_one(logs, f"+exp={name}", *SHORT, "replicas=3", "seed=5"))
    assert list(metrics) == [*COMMON, *MODEL_KEYS[name], "findings", "seconds", "versions", "distribution"]
    assert metrics["name"] == name
    assert metrics["status"] == "finished"
    assert metrics["engine"] == {"relu": "fused"}.get(name, "exact")
    assert metrics["updates"] == 4
    assert metrics["seeds"] == [5, 6, 7]
    for key in ("loss/train", "loss/test", *MODEL_KEYS[name]):
        values = metrics[key].values() if key == "units" else [metrics[key]]
        assert all(len(value) == 3 for value in values)
    if name == "relu":
        assert {len(row) for key in ("elbow", "input_slope", "bias", "output_weight") for row in metrics[key]} == {20}
        assert len(set(metrics["output_bias"])) == 3
        assert [sum(counts) for counts in zip(*metrics["units"].values(), strict=True)] == [20] * 3
        assert {"least_squares", "ridge", "noise_floor"} == set(metrics["reference"])
    assert {"fit", "total"} <= set(metrics["seconds"])
    assert metrics["seconds"]["fit"] <= metrics["seconds"]["total"]
    assert metrics["versions"]["reluviz"] == version("reluviz")


def test_a_run_s_folder_holds_the_documented_files(logs):
    folder = train_one(logs, "+exp=linear", *SHORT)
    assert folder.parent == logs / "linear"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", folder.name)
    names = {re.sub(r"(tfevents)\..*", r"\1", path.name) for path in folder.iterdir()}
    assert names == {".hydra", "checkpoints", "events.out.tfevents", "metrics.json"}
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["last.ckpt"]
    assert sorted(path.name for path in (folder / ".hydra").iterdir()) == [
        "config.yaml",
        "hydra.yaml",
        "overrides.yaml",
    ]


def test_callbacks_that_are_null_write_no_checkpoints_and_show_no_bar(logs, monkeypatch):
    shown = []
    monkeypatch.setattr(ProgressBar, "on_train_start", lambda *args: shown.append(1))
    train_one(logs, *SHORT)
    folder = train_one(logs, *SHORT, "callbacks.progress=null", "callbacks.checkpoints=null")
    assert shown == [1]
    assert metrics_of(folder)["status"] == "finished"
    names = {re.sub(r"(tfevents)\..*", r"\1", path.name) for path in folder.iterdir()}
    assert names == {".hydra", "events.out.tfevents", "metrics.json"}


def test_a_run_without_a_logger_says_that_nothing_is_recorded(logs, capsys):
    console.say_once.cache_clear()
    train_one(logs, *SHORT, "~logger")
    line = "SnapshotLogger: nothing is recorded, because the trainer has no logger"
    assert capsys.readouterr().err.splitlines() == [line]


@pytest.mark.long
def test_runs_that_start_in_the_same_second_have_different_folders(logs, monkeypatch):
    class FixedTime(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 31, 23, 59, 59)

    monkeypatch.setattr("hydra.core.utils.datetime", FixedTime)
    first, *others = [train_one(logs, "+exp=linear", *SHORT) for _ in range(3)]
    assert first.name == "2026-01-31_23-59-59"
    assert [folder.name for folder in others] == [f"{first.name}-2", f"{first.name}-3"]
    sweeps = [train(logs, "-m", "+exp=linear", *SHORT, "seed=0,1") for _ in range(2)]
    assert [len(sweep) for sweep in sweeps] == [2, 2]
    assert {folder.parent.name for sweep in sweeps for folder in sweep.values()} == {first.name, f"{first.name}-2"}


def test_the_folder_of_a_run_can_be_chosen(tmp_path, capsys):
    assert reluviz("train", "+exp=linear", *SHORT, "hydra.run.dir=mine/first") == 0
    assert metrics_of(tmp_path / "mine/first")["updates"] == 4
    assert not (tmp_path / "logs").exists()
    assert printed_end(capsys.readouterr().out)["view"] == "python -m reluviz view mine/first"
    assert reluviz("train", "+exp=linear", *SHORT, "hydra.run.dir=mine/first") == 2


# seeds


def test_seed_zero_is_the_default_seed(logs):
    first = metrics_of(train_one(logs, "+exp=relu", *SHORT))
    second = metrics_of(train_one(logs, "+exp=relu", *SHORT, "seed=0"))
    other = metrics_of(train_one(logs, "+exp=relu", *SHORT, "seed=1"))
    assert first["seeds"] == second["seeds"] == [0]
    assert first["input_slope"] == second["input_slope"]
    assert first["input_slope"] != other["input_slope"]


def test_seeds_are_listed_or_counted_from_the_first(logs):
    listed = metrics_of(train_one(logs, "+exp=relu", *SHORT, "seeds=[0,5,17]"))
    counted = metrics_of(train_one(logs, "+exp=relu", *SHORT, "replicas=3", "seed=4"))
    assert listed["seeds"] == [0, 5, 17]
    assert counted["seeds"] == [4, 5, 6]
    assert listed["output_weight"][1] == counted["output_weight"][1]


# sweeps


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "+exp=linear", "seed=0,1"],
        ["+exp=linear", "-m", "seed=0,1"],
        ["+exp=linear", "seed=0,1", "--multirun"],
        ["exp=linear", "-m", "seed=0,1"],
    ],
    ids=" ".join,
)
def test_flags_may_stand_anywhere(words, logs, capsys):
    folders = train(logs, *words, *SHORT)
    assert list(folders) == ["seed-0", "seed-1"]
    assert [metrics_of(folder)["seeds"] for folder in folders.values()] == [[0], [1]]
    assert {folder.parent.parent for folder in folders.values()} == {logs / "sweeps"}
    assert capsys.readouterr().err == ""


def test_a_grid_makes_a_folder_for_each_combination(logs, capsys):
    folders = train(logs, "-m", "+exp=linear", *SHORT, "seed=0,1", "optimizer.lr=0.1,0.5")
    assert list(folders) == ["seed-0_lr-0.1", "seed-0_lr-0.5", "seed-1_lr-0.1", "seed-1_lr-0.5"]
    for name, folder in folders.items():
        cfg = OmegaConf.load(folder / ".hydra/config.yaml")
        assert name == f"seed-{cfg.seed}_lr-{cfg.optimizer.lr}"
        assert cfg.updates == 4
    (sweep,) = {folder.parent for folder in folders.values()}
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[-1] == f"view    python -m reluviz view logs/sweeps/{sweep.name}"
    assert out.splitlines()[-2] == f"report  python -m reluviz report logs/sweeps/{sweep.name}"
    assert re.fullmatch(r"sweep   4 finished in \d+\.\d s", out.splitlines()[-4])
    assert out.splitlines()[-3].startswith("result  4 ")


def test_a_job_with_a_bad_value_fails_in_one_line_and_the_other_jobs_run(logs, capsys):
    folders = train(logs, "-m", "+exp=relu", *SHORT, "sampler=epoch", "sampler.batch_size=40,500,20", status=2)
    assert list(folders) == ["batch_size-20", "batch_size-40"]
    out, err = capsys.readouterr()
    assert "2 finished, 1 failed" in out
    at_the_job, at_the_end = err.splitlines()
    assert at_the_job.startswith("reluviz: sampler.batch_size=500: more than the 200 points there are")
    assert at_the_end == f"reluviz: batch_size-500: {at_the_job.removeprefix('reluviz: ')}"


def test_a_job_that_diverges_has_not_failed(logs, capsys):
    folders = train(logs, "-m", "+exp=linear", "optimizer.lr=5,0.1", "updates=50", "callbacks=minimal")
    assert {name: metrics_of(folder)["status"] for name, folder in folders.items()} == {
        "lr-5": "diverged",
        "lr-0.1": "finished",
    }
    out, err = capsys.readouterr()
    assert "1 finished, 1 diverged in" in out
    assert err.startswith("reluviz: diverged: after update 11 theta")
    assert err.count("\n") == 1


def test_an_experiment_that_is_a_sweep_needs_no_flag(logs):
    folders = train(logs, "+exp=stepsize", "updates=2", "callbacks=minimal")
    assert set(folders) == {f"lr-{lr}" for lr in ("0.05", "0.5", "1.5", "3.0", "3.1", "5.0")}
    assert {folder.parent.parent for folder in folders.values()} == {logs / "sweeps"}


def test_folder_names_of_a_sweep_hold_no_equals_sign_and_no_comma(logs):
    folders = train(logs, "-m", "+exp=relu", *SHORT, "seeds=[0,1],[2,3]")
    assert len(folders) == 2
    assert not [name for name in folders if re.search(r"[=,\[\] ]", name)]
    assert sorted(metrics_of(folder)["seeds"] for folder in folders.values()) == [[0, 1], [2, 3]]


def test_a_value_given_twice_is_refused(tmp_path, capsys):
    assert reluviz("train", "-m", "+exp=linear", *SHORT, "seed=0,1,0") == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "reluviz: seed=0,1,0: holds a value twice; each would be the same run\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", [None, "folder/it.json"])
def test_a_full_disk_gives_one_line(monkeypatch, capsys, where):
    def full(rest):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), where)

    monkeypatch.setattr("reluviz.cli.view.main", full)
    monkeypatch.setattr(sys, "argv", ["reluviz", "view"])
    assert main() == 2
    assert capsys.readouterr().err == f"reluviz: {where or 'a file'}: cannot be written to (No space left on device)\n"


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "runs"),
    [(["+exp=linear", "updates=20"], 1), (["-m", "+exp=linear", "updates=20", "seed=0,1,2"], 3), (["--help"], 0)],
    ids=["run", "sweep", "help"],
)
def test_a_reader_that_closes_the_pipe_stops_no_training(tmp_path: Path, words: list[str], runs: int) -> None:
    command = [sys.executable, "-m", "reluviz", "train", *words]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(120) == 0
    assert len([*tmp_path.glob("logs/**/metrics.json")]) == runs


@pytest.mark.long
@pytest.mark.skipif(os.name != "posix", reason="closes streams as a POSIX shell does")
@pytest.mark.parametrize("verb", ["train", "explain"])
def test_a_run_works_with_closed_streams(tmp_path: Path, verb: str) -> None:
    updates = ["updates=20"] if verb == "train" else []
    words = " ".join([shlex.quote(sys.executable), "-m reluviz", verb, "+exp=linear", *updates])
    for closed in (">&-", "2>&-", "<&- >&- 2>&-"):
        done = subprocess.run(
            f"{words} {closed}", shell=True, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0
        assert done.stderr == ""
    assert len([*tmp_path.glob("logs/**/metrics.json")]) == (3 if verb == "train" else 0)


INTERRUPTED_FINALIZER = """
import time, weakref
import reluviz.__main__ as command

class Thing:
    pass

def interrupts(_):
    raise KeyboardInterrupt

def main():
    thing = Thing()
    watched = weakref.ref(thing, interrupts)
    try:
        # Python ignores an exception that is raised while it finalizes an object
        del thing
        time.sleep(10)
    except KeyboardInterrupt:
        # this object is finalized when the process exits
        command.last = Thing()
        command.watched = weakref.ref(command.last, interrupts)
        command.atexit.register(vars(command).pop, "last")
        return 130
    return 0

command.main = main
command.process()
"""


@pytest.mark.long
def test_ctrl_c_is_not_lost_while_python_ignores_exceptions() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED_FINALIZER], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
