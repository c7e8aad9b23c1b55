"""Runs that are damaged, unfinished, diverged, repeated, linked or old: they are named, and the rest is right."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from reluviz import __main__
from reluviz.analysis import load_run
from reluviz.analysis.report import collect as report_collect
from reluviz.analysis.report.collect import collect
from reluviz.analysis.report.groups import Group, Skipped
from reluviz.record import event_reader, replica_reader, tags
from reluviz.record.event_file import EventFile

ROOT = Path(__file__).parents[2]
SHORT = ("updates=20", "snapshots.every=10", "callbacks=minimal")


def train(*words: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", "train", *words])
        assert __main__.main() in (0, 3)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`original(name)`: a run, trained when it is first asked for."""
    base = tmp_path_factory.mktemp("originals")
    words = {
        "three": ("+exp=relu", *SHORT, "seeds=[4,0,7]"),
        "one": ("+exp=relu", *SHORT, "seed=4"),
        "wide": ("+exp=relu", *SHORT, "seed=4", "model.width=30"),
        "linear": ("+exp=stepsize", "hydra.mode=RUN", "callbacks=minimal", "optimizer.lr=0.5", "replicas=2"),
        "diverged": ("+exp=linear", "updates=50", "callbacks=minimal", "optimizer.lr=5", "replicas=2"),
    }

    def get(name: str) -> Path:
        if not (base / name).exists():
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(base)
                train(*words[name], f"hydra.run.dir={name}")
        return base / name

    return get


def change(run: Path, **changed: Any) -> None:
    """Change metrics.json."""
    path = run / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def metrics_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "metrics.json").read_text())


def one_group(folder: Path) -> tuple[Group, tuple[Skipped, ...]]:
    found = collect([folder])
    (group,) = found.groups
    return group, found.left


# Damage


@pytest.fixture(scope="module")
def benchmarks() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        from benchmarks import synthetic
    return synthetic


@pytest.fixture(scope="module")
def nine(tmp_path_factory: pytest.TempPathFactory, benchmarks: Any) -> list[Path]:
    return list(benchmarks.templates(tmp_path_factory.mktemp("nine"), *SHORT))


@pytest.mark.parametrize("processes", [1, 2])
def test_every_kind_of_damage_is_counted_and_named_and_the_rest_is_right(
    benchmarks: Any, nine: list[Path], tmp_path: Path, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # from one run on, other processes read
    monkeypatch.setattr(report_collect, "ALONE", 1 if processes > 1 else 10_000)
    tree = benchmarks.write(tmp_path / "runs", nine, 72, damaged=len(benchmarks.DAMAGE) / 72)
    found = collect([tmp_path / "runs"])
    assert found.runs == 72
    assert {left.folder: left.why for left in found.left} == tree.left
    assert Counter(left.why for left in found.left) == {"damaged": 14, "unfinished": 1, "diverged": 1, "failed": 1}
    assert all(left.detail and "\n" not in left.detail for left in found.left)
    assert found.keys == ("model.width", "optimizer")
    for group in found.groups:
        wanted = tree.final[f"width-{group.settings['model.width']}_optimizer-{group.settings['optimizer']}"]
        final = group.final["loss/test"]
        assert sorted(final[~np.isnan(final)]) == sorted(wanted)
    # the unfinished one is in a group, without an end
    (unfinished,) = (left.folder for left in found.left if left.why == "unfinished")
    (value,) = (
        value
        for group in found.groups
        for replica, value in zip(group.replicas, group.final["loss/test"], strict=True)
        if replica.folder == unfinished
    )
    assert np.isnan(value)


@pytest.mark.parametrize(
    ("damage", "detail"),
    [
        ("events cut off", "its event file ends before the first snapshot, and the run went to 20"),
        ("events garbled", "a record of its event file is damaged"),
        ("events empty", "its event file ends before the first snapshot, and the run went to 20"),
        ("metrics cut off", "metrics.json is damaged"),
        ("metrics empty", "metrics.json is empty"),
        ("settings cut off", ".hydra/config.yaml is damaged"),
        ("settings mangled", ".hydra/config.yaml is damaged"),
        ("choices cut off", ".hydra/hydra.yaml is damaged"),
        ("nothing there", "there is nothing in it"),
        ("failed", "model.width=0: too few"),
        ("unfinished", "at update 20 of 20"),
    ],
)
def test_what_is_wrong_is_said(benchmarks: Any, nine: list[Path], tmp_path: Path, damage: str, detail: str) -> None:
    shutil.copytree(nine[0], tmp_path / "good")
    spoilt = Path(shutil.copytree(nine[0], tmp_path / "spoilt"))
    why, harm = benchmarks.DAMAGE[damage]
    harm(spoilt)
    (left,) = (left for left in collect([tmp_path]).left if left.why != "repeat")
    assert (left.folder, left.why) == (spoilt, why)
    assert left.detail.startswith(detail)


def test_metrics_that_do_not_fit_their_seeds_are_damaged(original: Callable[[str], Path], tmp_path: Path) -> None:
    for name, changed in {
        "a": {"loss/test": [1.0]},
        "b": {"loss/train": "none"},
        "c": {"seeds": None},
        "d": {"seeds": [1, 2]},
        "e": {"updates": "many"},
    }.items():
        change(Path(shutil.copytree(original("three"), tmp_path / name)), **changed)
    found = collect([tmp_path])
    assert found.groups == ()
    assert [left.why for left in found.left] == ["damaged"] * 5
    assert all("metrics" in left.detail for left in found.left)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"loss/train": [0.1, float("nan"), 0.2]}, "is damaged"),
        ({"updates": float("inf")}, "is damaged"),
        ({"units": None}, "does not hold what it should (units: None)"),
        ({"units": {"dead": 3}}, "does not hold what it should (units/dead is no list of numbers)"),
        ({"loss/test": ["1", "2", "3"]}, "does not hold what it should (loss/test is no list of numbers)"),
        ({"loss/test": 10**400}, "does not hold what it should (loss/test is no list of numbers)"),
        ({"loss/train": [None, None, None]}, "does not hold what it should (finished without a loss)"),
        ({"seeds": "407"}, "does not hold what it should (seeds is no list of whole numbers)"),
        ({"seeds": [4.5, 0, 7]}, "does not hold what it should (seeds is no list of whole numbers)"),
    ],
)
def test_metrics_of_the_wrong_kind_are_damaged(
    original: Callable[[str], Path], tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    change(run := Path(shutil.copytree(original("three"), tmp_path / "a")), **changed)
    (left,) = collect([tmp_path]).left
    assert (left.folder, left.why, left.detail) == (run, "damaged", f"metrics.json {said}")


@pytest.mark.parametrize("key", ["status", "updates", "seeds", "loss/train", "loss/test"])
def test_metrics_that_lack_a_key_are_damaged(original: Callable[[str], Path], tmp_path: Path, key: str) -> None:
    path = Path(shutil.copytree(original("three"), tmp_path / "a")) / "metrics.json"
    path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != key}))
    (left,) = collect([tmp_path]).left
    assert left.detail == f"metrics.json does not hold what it should ({key} is missing)"


def in_place_of(path: Path, how: str) -> None:
    content = path.read_bytes()
    path.unlink()
    match how:
        case "a folder":
            path.mkdir()
        case "a pipe":
            os.mkfifo(path)
        case "another encoding":
            path.write_bytes(b"# \xff\xfe\n" + content)
        case "brackets":
            path.write_text("[" * 100_000)
        case "a digit too many":
            path.write_bytes(re.sub(rb"^replicas: 1$", b"replicas: 1" + b"0" * 20, content, flags=re.M))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("name", "how", "detail"),
    [
        ("metrics.json", "a folder", "metrics.json is no file"),
        ("metrics.json", "a pipe", "metrics.json is no file"),
        ("metrics.json", "another encoding", "metrics.json is damaged"),
        ("metrics.json", "brackets", "metrics.json is damaged"),
        ("events*", "a folder", "{} is no file"),
        ("events*", "a pipe", "{} is no file"),
        (".hydra/config.yaml", "a folder", ".hydra/config.yaml is no file"),
        (".hydra/config.yaml", "a pipe", ".hydra/config.yaml is no file"),
        (".hydra/config.yaml", "another encoding", ".hydra/config.yaml is damaged"),
        (".hydra/config.yaml", "a digit too many", ".hydra/config.yaml is damaged: replicas: 1" + "0" * 20),
        (".hydra/hydra.yaml", "a folder", ".hydra/hydra.yaml is damaged"),
        (".hydra/hydra.yaml", "a pipe", ".hydra/hydra.yaml is damaged"),
    ],
)
def test_what_is_no_file_of_its_kind_is_named_and_not_waited_for(
    original: Callable[[str], Path], tmp_path: Path, name: str, how: str, detail: str
) -> None:
    shutil.copytree(original("one"), tmp_path / "good")
    spoilt = Path(shutil.copytree(original("wide"), tmp_path / "spoilt"))
    (path,) = spoilt.glob(name)
    in_place_of(path, how)
    group, (left,) = one_group(tmp_path)
    assert (left.folder, left.why, left.detail) == (spoilt, "damaged", detail.format(path.name))
    assert [replica.folder.name for replica in group.replicas] == ["good"]


def test_damage_that_nobody_has_thought_of_costs_no_other_run(
    original: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(original("one"), tmp_path / "a")
    shutil.copytree(original("wide"), tmp_path / "b")
    read = replica_reader.read

    def stumbles(paths: list[Path]) -> replica_reader.Replicas:
        if paths[0].parent.name == "b":
            raise AttributeError("no such thing\x1b[31m")
        return read(paths)

    monkeypatch.setattr(replica_reader, "read", stumbles)
    _, (left,) = one_group(tmp_path)
    assert left.detail == "cannot be understood (AttributeError: no such thing?[31m)"


def test_a_record_that_is_cut_off_is_said_to_be(original: Callable[[str], Path], tmp_path: Path) -> None:
    (path,) = Path(shutil.copytree(original("one"), tmp_path / "a")).glob("events*")
    os.truncate(path, path.stat().st_size - 7)
    (left,) = collect([tmp_path]).left
    assert left.detail == "the last record of its event file is cut off"


NOT_ALLOWED = """
import ctypes, sys
from pathlib import Path
from reluviz.analysis.report.collect import collect

# root may read everything, unless it gives that up: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
data = (ctypes.c_uint32 * 6)()
libc = ctypes.CDLL(None, use_errno=True)
libc.capget(header, data)
data[0] &= ~0b110
libc.capset(header, data)
for left in collect([Path(sys.argv[1])]).left:
    print(left.folder.name, left.why, left.detail)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="says how root gives up its rights on Linux")
def test_a_folder_that_may_not_be_read_is_named(original: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(original("one"), tmp_path / "good")
    for name in ("run", "runs"):
        shutil.copytree(original("wide"), tmp_path / name / ("a" * (name == "runs")))
        (tmp_path / name).chmod(0)
    try:
        words = [sys.executable, "-c", NOT_ALLOWED, str(tmp_path)]
        found = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    finally:
        for name in ("run", "runs"):
            (tmp_path / name).chmod(0o755)
    assert found.splitlines() == [f"{name} damaged cannot be read (Permission denied)" for name in ("run", "runs")]


def test_names_and_reasons_hold_no_commands_to_a_terminal(
    original: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(original("one"), tmp_path / "good")
    spoilt = Path(shutil.copytree(original("wide"), tmp_path / "two\nlines\x1b[31m"))
    (spoilt / "failure.json").write_text(json.dumps({"reason": "\x1b[2Jtoo\nwide"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", "report", str(tmp_path), "--pictures", "none"])
        patch.setenv("COLUMNS", "500")
        assert __main__.main() == 0
    for said in (capsys.readouterr().out, (tmp_path / "report" / "findings.md").read_text().replace("\\", "")):
        assert "two?lines?[31m: ?[2Jtoo wide\n" in said
        assert "\x1b[" not in said


# Runs that did not come to their end


def test_an_unfinished_run_has_curves_and_no_end(original: Callable[[str], Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(original("three"), tmp_path / "a"))
    (run / "metrics.json").unlink()
    whole = one_group(tmp_path)[0]
    (path,) = event_reader.files(run)
    before = path.stat().st_size - sum(len(event.SerializeToString()) + 16 for event in _since(run, 20))
    # killed while it wrote the last snapshot
    os.truncate(path, before + 100)
    group, left = one_group(tmp_path)
    assert left == (Skipped(run, "unfinished", "at update 10 of 20"),)
    assert [(replica.seed, replica.status) for replica in group.replicas] == [
        (seed, "unfinished") for seed in (0, 4, 7)
    ]
    assert group.final == {}
    assert group.updates.tolist() == [0, 1, 10]
    np.testing.assert_array_equal(group.curves["loss/test"], whole.curves["loss/test"][:, :3])


def _since(run: Path, update: int) -> list[Event]:
    """Return the last snapshot of a run and all events after it."""
    found = [event for path in event_reader.files(run) for event in event_reader.events(path)]
    first = next(i for i, event in enumerate(found) if event.step == update)
    return found[first:]


def test_an_interrupted_run_is_unfinished(original: Callable[[str], Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(original("three"), tmp_path / "a"))
    change(run, status="interrupted", updates=20)
    config = run / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("updates: 20\n", "updates: 30\n"))
    group, left = one_group(tmp_path)
    assert left == (Skipped(run, "unfinished", "interrupted at update 20 of 30"),)
    assert group.final == {}
    assert [replica.status for replica in group.replicas] == ["interrupted"] * 3
    np.testing.assert_allclose(group.curves["loss/test"], load_run(run).loss("test").T[[1, 0, 2]], rtol=1e-12)
    # a finished one that is to go further, and does
    change(run, status="finished")
    assert one_group(tmp_path)[1] == (Skipped(run, "unfinished", "at update 20 of 30"),)


def test_a_diverged_replica_is_infinite_and_the_others_are_as_far_as_they_came(
    original: Callable[[str], Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(original("three"), tmp_path / "a"))
    losses = metrics_of(run)["loss/test"]
    change(run, status="diverged", **{"loss/train": [0.1, None, 0.1], "loss/test": [losses[0], 1e30, losses[2]]})
    group, (left,) = one_group(tmp_path)
    assert [replica.seed for replica in group.replicas] == [0, 4, 7]
    assert group.final["loss/test"].tolist() == [np.inf, losses[0], losses[2]]
    assert group.diverged == 1
    assert np.isnan(group.final["units/dead"]).tolist() == [True, False, False]
    assert left == Skipped(run, "diverged", "at update 20 of 20: seed 0; the other 2 stopped there")
    # beyond a million times what it began with, or var(y), it has diverged too
    change(run, **{"loss/train": [0.1, 0.1, 1e8]})
    assert one_group(tmp_path)[0].final["loss/test"].tolist() == [1e30, losses[0], np.inf]
    assert np.isinf(one_group(tmp_path)[0].quartiles("loss/test")).tolist() == [False, False, True]


def test_runs_that_diverged_count_as_infinite_in_medians_and_bands(
    original: Callable[[str], Path], tmp_path: Path
) -> None:
    shutil.copytree(original("diverged"), tmp_path / "a")
    group, (left,) = one_group(tmp_path)
    assert group.final["loss/train"].tolist() == [np.inf, np.inf]
    assert group.final["theta"].tolist() == [np.inf, np.inf]
    assert left.detail == "at update 11 of 50: seeds 0, 1"
    assert group.quartiles("loss/test").tolist() == [np.inf] * 3
    # together with runs of the same settings that go on, the band rises where they end
    other = Path(shutil.copytree(original("diverged"), tmp_path / "b"))
    longer = EventFile(str(other))
    (value,) = (value for value in _last_of(other) if value.tag == tags.REPLICAS)
    for update in (12, 50):
        event = Event(step=update)
        event.summary.value.append(value)
        longer.add_event(event)
    longer.close()
    change(other, status="finished", updates=50, seeds=[2, 3])
    found = collect([tmp_path])
    (group,) = found.groups
    assert group.updates.tolist()[-2:] == [12, 50]
    assert np.isinf(group.curves["loss/test"][:2, -2:]).all()
    assert np.isinf(group.band("loss/test")[1, -1])
    assert np.isfinite(group.band("loss/test")[0, -3:]).tolist() == [True, True, True]


def _last_of(run: Path) -> Any:
    found = [event for path in event_reader.files(run) for event in event_reader.events(path)]
    return [event for event in found if any(value.tag == tags.REPLICAS for value in event.summary.value)][
        -1
    ].summary.value


# Seeds and places


def test_no_seed_counts_twice(original: Callable[[str], Path], tmp_path: Path) -> None:
    first = Path(shutil.copytree(original("three"), tmp_path / "a"))
    second = Path(shutil.copytree(original("one"), tmp_path / "b"))
    change(second, **{"loss/test": [9.0]})
    group, left = one_group(tmp_path)
    assert [replica.seed for replica in group.replicas] == [0, 4, 7]
    assert {replica.folder for replica in group.replicas} == {first}
    assert left == (Skipped(second, "repeat", f"seed 4: counted once, as in {first}"),)
    assert group.final["loss/test"].tolist() == [metrics_of(first)["loss/test"][row] for row in (1, 0, 2)]
    # of two runs the one that came to its end counts, wherever it is
    (first / "metrics.json").unlink()
    found = collect([tmp_path])
    (group,) = found.groups
    assert group.final["loss/test"][1] == 9.0
    assert np.isnan(group.final["loss/test"][[0, 2]]).all()
    assert {(one.folder, one.why) for one in found.left} == {(first, "unfinished"), (first, "repeat")}


def test_runs_of_other_settings_may_have_the_same_seed(original: Callable[[str], Path], tmp_path: Path) -> None:
    for name in ("one", "wide"):
        shutil.copytree(original(name), tmp_path / name)
    found = collect([tmp_path])
    assert [dict(group.settings) for group in found.groups] == [{"model.width": 20}, {"model.width": 30}]
    assert found.left == ()


@pytest.mark.skipif(os.name != "posix", reason="makes links")
def test_a_run_is_found_once_whichever_ways_lead_to_it(original: Callable[[str], Path], tmp_path: Path) -> None:
    real = Path(shutil.copytree(original("three"), tmp_path / "with a space" / "run"))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "link").symlink_to(real.parent)
    (real.parent / "loop").symlink_to(tmp_path / "logs")
    (real.parent / "gone").symlink_to(tmp_path / "nowhere")
    found = collect([tmp_path / "logs", real.parent, real, tmp_path])
    assert found.runs == 1
    assert found.left == ()
    (group,) = found.groups
    assert group.replicas[0].folder == tmp_path / "logs" / "link" / "run"


def test_an_empty_folder_is_a_run_only_beside_runs(original: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(original("three"), tmp_path / "sweep" / "a")
    (tmp_path / "sweep" / "b").mkdir()
    (tmp_path / "notes" / "old").mkdir(parents=True)
    found = collect([tmp_path])
    assert found.runs == 2
    assert found.left == (Skipped(tmp_path / "sweep" / "b", "damaged", "there is nothing in it"),)


def test_events_of_others_are_no_runs(original: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(original("three"), tmp_path / "a")
    EventFile(str(tmp_path / "foreign")).close()
    found = collect([tmp_path])
    assert (found.runs, found.left) == (1, ())


# Where the numbers come from


def strip(run: Path, tag: str) -> None:
    """Take the summaries of a tag out of a run's events."""
    (path,) = event_reader.files(run)
    found = list(event_reader.events(path))
    path.unlink()
    file = EventFile(str(run))
    for event in found:
        kept = [value for value in event.summary.value if value.tag != tag]
        if len(kept) < len(event.summary.value):
            del event.summary.value[:]
            event.summary.value.extend(kept)
        file.add_event(event)
    file.close()


def test_of_an_old_run_of_one_replica_its_scalars_are_its_curves(
    original: Callable[[str], Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(original("one"), tmp_path / "a"))
    new = one_group(tmp_path)[0]
    strip(run, tags.REPLICAS)
    old, left = one_group(tmp_path)
    assert left == ()
    assert set(old.curves) == set(new.curves)
    assert old.updates.tolist() == new.updates.tolist() == [0, 1, 10, 20]
    for tag, curve in new.curves.items():
        np.testing.assert_allclose(old.curves[tag], curve, rtol=1e-6)
    assert {tag: value.tolist() for tag, value in old.final.items()} == {
        tag: value.tolist() for tag, value in new.final.items()
    }


def test_of_an_old_run_of_several_replicas_the_ends_are_known(original: Callable[[str], Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(original("three"), tmp_path / "a"))
    strip(run, tags.REPLICAS)
    group, left = one_group(tmp_path)
    assert left == ()
    assert group.final["loss/test"].tolist() == [metrics_of(run)["loss/test"][row] for row in (1, 0, 2)]
    assert all(np.isnan(curve).all() for curve in group.curves.values())


def test_a_run_without_event_files_has_its_end(original: Callable[[str], Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(original("three"), tmp_path / "a"))
    (path,) = event_reader.files(run)
    path.unlink()
    group, left = one_group(tmp_path)
    assert left == ()
    assert len(group.final["loss/test"]) == 3


def test_a_run_of_somebody_s_own_trainer_is_taken_by_what_it_told(
    original: Callable[[str], Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(original("three"), tmp_path / "a"))
    shutil.rmtree(run / ".hydra")
    ends = metrics_of(run)["loss/test"]
    (run / "metrics.json").unlink()
    wide = Path(shutil.copytree(original("wide"), tmp_path / "wide"))
    found = collect([tmp_path])
    assert found.left == ()
    assert found.keys == ("model.width", "trainer.accelerator", "trainer.devices", "trainer.precision")
    (group,) = (group for group in found.groups if group.settings["model.width"] == 20)
    assert group.final["loss/test"].tolist() == [ends[row] for row in (1, 0, 2)]
    assert wide.is_dir()


def test_what_a_run_that_went_on_has_written_again_counts(original: Callable[[str], Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(original("one"), tmp_path / "a"))
    last = next(value for value in _last_of(run) if value.tag == tags.REPLICAS)
    again = EventFile(str(run))
    again.add_event(Event(step=10, session_log=SessionLog(status=SessionLog.START)))
    event = Event(step=20)
    event.summary.value.append(last)
    again.add_event(event)
    again.close()
    found = replica_reader.read(event_reader.files(run))
    assert found.updates.tolist() == [0, 1, 20]
    assert found.values.shape == (3, 1, 6)
    assert found.whole


def test_a_record_is_stepped_over_unless_it_begins_as_one_of_ours(
    original: Callable[[str], Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(original("one"), tmp_path / "a"))
    picture = Event(step=20)
    picture.summary.value.add(tag="fit").image.encoded_image_string = os.urandom(300_000)
    file = EventFile(str(run))
    file.add_event(picture)
    file.close()
    before = replica_reader.read(event_reader.files(run))
    assert before.whole
    path = event_reader.files(run)[-1]
    data = bytearray(path.read_bytes())
    # nobody has looked at what is within the picture
    data[-1000] ^= 0xFF
    path.write_bytes(data)
    after = replica_reader.read(event_reader.files(run))
    assert after.updates.tolist() == before.updates.tolist()
    path.write_bytes(bytes(data[:-10]))
    assert not replica_reader.read(event_reader.files(run)).whole


def test_of_very_many_numbers_every_other_snapshot_is_kept(
    original: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(original("linear"), tmp_path / "a"))
    whole = one_group(tmp_path)[0]
    assert len(whole.updates) == 51
    monkeypatch.setattr(report_collect, "NUMBERS", 1)
    monkeypatch.setattr(report_collect, "FEWEST", 100)
    some = one_group(tmp_path)[0]
    # 2 replicas, 3 fields: 51, 26 and 13 snapshots would be 306, 156 and 78 numbers
    assert some.updates.tolist() == [*range(0, 50, 4), 50]
    for tag, curve in some.curves.items():
        np.testing.assert_array_equal(curve, whole.curves[tag][:, some.updates])
    # a finer one beside it is brought to the same snapshots
    other = Path(shutil.copytree(run, tmp_path / "b"))
    change(other, seeds=[5], **{key: [1.0] for key in ("loss/train", "loss/test", "theta")})
    (path,) = event_reader.files(other)
    _first_replica(other, path)
    both = one_group(tmp_path)[0]
    assert [replica.seed for replica in both.replicas] == [0, 1, 5]
    assert both.updates.tolist() == some.updates.tolist()
    assert not np.isnan(both.curves["loss/test"]).any()


def _first_replica(run: Path, path: Path) -> None:
    """Leave only the first replica in a run's events."""
    found = list(event_reader.events(path))
    path.unlink()
    file = EventFile(str(run))
    for event in found:
        for value in event.summary.value:
            if value.tag == tags.REPLICAS:
                value.tensor.tensor_shape.dim[0].size = 1
                value.tensor.tensor_content = value.tensor.tensor_content[: len(value.tensor.tensor_content) // 2]
        file.add_event(event)
    file.close()
