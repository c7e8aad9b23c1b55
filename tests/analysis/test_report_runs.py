"""Damaged, unfinished, diverged, repeated, linked and old runs are named in a report; the other runs are correct."""

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
from reluviz.analysis.report import printout
from reluviz.analysis.report.collect import collect
from reluviz.analysis.report.groups import Group, ListedRun
from reluviz.console import Console
from reluviz.record import event_file, replica_reader, tags
from reluviz.record.event_file import EventFile

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
SHORT = ("updates=20", "snapshots=linear", "snapshots.every=10", "callbacks=minimal")


def train(*words: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", "train", *words])
        assert __main__.main() in (0, 3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`trained(name)` returns a run, trained at the first call."""
    base = tmp_path_factory.mktemp("originals")
    words = {
        "three": ("+exp=relu", *SHORT, "seeds=[4,0,7]"),
        "one": ("+exp=relu", *SHORT, "seed=4"),
        "early": ("+exp=relu", "updates=20", "snapshots.every=10", "callbacks=minimal", "seed=5"),
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


def change_metrics(run: Path, **changed: Any) -> None:
    """Change values in metrics.json."""
    path = run / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def read_metrics(run: Path) -> dict[str, Any]:
    return json.loads((run / "metrics.json").read_text())


def one_group(folder: Path) -> tuple[Group, tuple[ListedRun, ...]]:
    found = collect([folder])
    (group,) = found.groups
    return group, found.listed_runs


# Damage


@pytest.fixture(scope="module")
def benchmarks() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        from benchmarks import synthetic
    return synthetic


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory, benchmarks: Any) -> list[Path]:
    return list(benchmarks.templates(tmp_path_factory.mktemp("nine"), *SHORT))


@pytest.mark.parametrize("processes", [1, 2])
def test_every_kind_of_damage_is_counted_and_named_and_other_runs_are_correct(
    benchmarks: Any, templates: list[Path], tmp_path: Path, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # read in other processes from one run on
    monkeypatch.setattr(report_collect, "MIN_RUNS_FOR_PROCESSES", 1 if processes > 1 else 10_000)
    tree = benchmarks.write(tmp_path / "runs", templates, 72, damaged=len(benchmarks.DAMAGE) / 72)
    found = collect([tmp_path / "runs"])
    assert found.runs == 72
    assert {listed.folder: listed.reason for listed in found.listed_runs} == tree.left
    assert Counter(listed.reason for listed in found.listed_runs) == {
        "damaged": 14,
        "unfinished": 1,
        "diverged": 1,
        "failed": 1,
    }
    assert all(listed.detail and "\n" not in listed.detail for listed in found.listed_runs)
    assert found.keys == ("model.width", "optimizer")
    for group in found.groups:
        expected = tree.final[f"width-{group.settings['model.width']}_optimizer-{group.settings['optimizer']}"]
        final = group.final["loss/test"]
        assert sorted(final[~np.isnan(final)]) == sorted(expected)
    # the unfinished run is in a group, without final values
    (unfinished,) = (listed.folder for listed in found.listed_runs if listed.reason == "unfinished")
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
def test_the_kind_of_damage_is_named(
    benchmarks: Any, templates: list[Path], tmp_path: Path, damage: str, detail: str
) -> None:
    shutil.copytree(templates[0], tmp_path / "good")
    damaged_run = Path(shutil.copytree(templates[0], tmp_path / "spoilt"))
    why, damage_run = benchmarks.DAMAGE[damage]
    damage_run(damaged_run)
    (listed,) = (listed for listed in collect([tmp_path]).listed_runs if listed.reason != "repeat")
    assert (listed.folder, listed.reason) == (damaged_run, why)
    assert listed.detail.startswith(detail)


def test_metrics_that_do_not_match_their_seeds_are_damaged(trained: Callable[[str], Path], tmp_path: Path) -> None:
    for name, changed in {
        "a": {"loss/test": [1.0]},
        "b": {"loss/train": "none"},
        "c": {"seeds": None},
        "d": {"seeds": [1, 2]},
        "e": {"updates": "many"},
    }.items():
        change_metrics(Path(shutil.copytree(trained("three"), tmp_path / name)), **changed)
    found = collect([tmp_path])
    assert found.groups == ()
    assert [listed.reason for listed in found.listed_runs] == ["damaged"] * 5
    assert all("metrics" in listed.detail for listed in found.listed_runs)


@pytest.mark.parametrize(
    ("changed", "detail"),
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
def test_metrics_of_the_wrong_type_are_damaged(
    trained: Callable[[str], Path], tmp_path: Path, changed: dict[str, Any], detail: str
) -> None:
    change_metrics(run := Path(shutil.copytree(trained("three"), tmp_path / "a")), **changed)
    (listed,) = collect([tmp_path]).listed_runs
    assert (listed.folder, listed.reason, listed.detail) == (run, "damaged", f"metrics.json {detail}")


@pytest.mark.parametrize("key", ["status", "updates", "seeds", "loss/train", "loss/test"])
def test_metrics_that_lack_a_key_are_damaged(trained: Callable[[str], Path], tmp_path: Path, key: str) -> None:
    path = Path(shutil.copytree(trained("three"), tmp_path / "a")) / "metrics.json"
    path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != key}))
    (listed,) = collect([tmp_path]).listed_runs
    assert listed.detail == f"metrics.json does not hold what it should ({key} is missing)"


def replace_file(path: Path, how: str) -> None:
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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
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
def test_folders_pipes_and_wrong_encodings_are_named_as_damaged_and_do_not_block(
    trained: Callable[[str], Path], tmp_path: Path, name: str, how: str, detail: str
) -> None:
    shutil.copytree(trained("one"), tmp_path / "good")
    damaged_run = Path(shutil.copytree(trained("wide"), tmp_path / "spoilt"))
    (path,) = damaged_run.glob(name)
    replace_file(path, how)
    group, (listed,) = one_group(tmp_path)
    assert (listed.folder, listed.reason, listed.detail) == (damaged_run, "damaged", detail.format(path.name))
    assert [replica.folder.name for replica in group.replicas] == ["good"]


def test_an_unforeseen_error_affects_one_run_only(
    trained: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained("one"), tmp_path / "a")
    shutil.copytree(trained("wide"), tmp_path / "b")
    read = replica_reader.read_replicas

    def failing_read(paths: list[Path]) -> replica_reader.ReplicaSeries:
        if paths[0].parent.name == "b":
            raise AttributeError("no such thing\x1b[31m")
        return read(paths)

    monkeypatch.setattr(replica_reader, "read_replicas", failing_read)
    _, (listed,) = one_group(tmp_path)
    assert listed.detail == "cannot be understood (AttributeError: no such thing?[31m)"


def test_a_truncated_record_is_named(trained: Callable[[str], Path], tmp_path: Path) -> None:
    (path,) = Path(shutil.copytree(trained("one"), tmp_path / "a")).glob("events*")
    os.truncate(path, path.stat().st_size - 7)
    (listed,) = collect([tmp_path]).listed_runs
    assert listed.detail == "the last record of its event file is cut off"


NOT_ALLOWED = """
import ctypes, sys
from pathlib import Path
from reluviz.analysis.report.collect import collect

# root may read everything unless it drops CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
data = (ctypes.c_uint32 * 6)()
libc = ctypes.CDLL(None, use_errno=True)
libc.capget(header, data)
data[0] &= ~0b110
libc.capset(header, data)
for listed in collect([Path(sys.argv[1])]).listed_runs:
    print(listed.folder.name, listed.reason, listed.detail)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="drops the rights of root as on Linux")
def test_a_folder_that_may_not_be_read_is_named(trained: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(trained("one"), tmp_path / "good")
    for name in ("run", "runs"):
        shutil.copytree(trained("wide"), tmp_path / name / ("a" * (name == "runs")))
        (tmp_path / name).chmod(0)
    try:
        words = [sys.executable, "-c", NOT_ALLOWED, str(tmp_path)]
        found = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    finally:
        for name in ("run", "runs"):
            (tmp_path / name).chmod(0o755)
    assert found.splitlines() == [f"{name} damaged cannot be read (Permission denied)" for name in ("run", "runs")]


def test_names_and_reasons_are_printed_without_terminal_control_characters(
    trained: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained("one"), tmp_path / "good")
    damaged_run = Path(shutil.copytree(trained("wide"), tmp_path / "two\nlines\x1b[31m"))
    (damaged_run / "failure.json").write_text(json.dumps({"reason": "\x1b[2Jtoo\nwide"}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", "report", str(tmp_path), "--pictures", "none"])
        # a console keeps the width that the environment named when it was created
        patch.setattr(printout, "console", Console(highlight=False, width=500, height=25))
        assert __main__.main() == 0
    for text in (capsys.readouterr().out, (tmp_path / "report" / "findings.md").read_text().replace("\\", "")):
        assert "two?lines?[31m: ?[2Jtoo wide\n" in text
        assert "\x1b[" not in text


# Runs that did not end


def test_an_unfinished_run_has_curves_and_no_final_values(trained: Callable[[str], Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained("three"), tmp_path / "a"))
    (run / "metrics.json").unlink()
    whole = one_group(tmp_path)[0]
    (path,) = event_file.event_files(run)
    before = path.stat().st_size - sum(len(event.SerializeToString()) + 16 for event in _events_from(run, 20))
    # as if killed while it wrote the last snapshot
    os.truncate(path, before + 100)
    group, listed = one_group(tmp_path)
    assert listed == (ListedRun(run, "unfinished", "at update 10 of 20"),)
    assert [(replica.seed, replica.status) for replica in group.replicas] == [
        (seed, "unfinished") for seed in (0, 4, 7)
    ]
    assert group.final == {}
    assert group.updates.tolist() == [0, 1, 10]
    np.testing.assert_array_equal(group.curves["loss/test"], whole.curves["loss/test"][:, :3])


def _events_from(run: Path, update: int) -> list[Event]:
    """Return the events of a run from the first one at an update on."""
    found = [event for path in event_file.event_files(run) for event in event_file.read_events(path)]
    first = next(i for i, event in enumerate(found) if event.step == update)
    return found[first:]


def test_an_interrupted_run_is_unfinished(trained: Callable[[str], Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained("three"), tmp_path / "a"))
    change_metrics(run, status="interrupted", updates=20)
    config = run / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("updates: 20\n", "updates: 30\n"))
    group, listed = one_group(tmp_path)
    assert listed == (ListedRun(run, "unfinished", "interrupted at update 20 of 30"),)
    assert group.final == {}
    assert [replica.status for replica in group.replicas] == ["interrupted"] * 3
    np.testing.assert_allclose(group.curves["loss/test"], load_run(run).loss("test").T[[1, 0, 2]], rtol=1e-12)
    # a finished run that is resumed for more updates
    change_metrics(run, status="finished")
    assert one_group(tmp_path)[1] == (ListedRun(run, "unfinished", "at update 20 of 30"),)


def test_a_diverged_replica_is_infinite_and_the_other_replicas_keep_their_last_values(
    trained: Callable[[str], Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained("three"), tmp_path / "a"))
    losses = read_metrics(run)["loss/test"]
    change_metrics(
        run, status="diverged", **{"loss/train": [0.1, None, 0.1], "loss/test": [losses[0], 1e30, losses[2]]}
    )
    group, (listed,) = one_group(tmp_path)
    assert [replica.seed for replica in group.replicas] == [0, 4, 7]
    assert group.final["loss/test"].tolist() == [np.inf, losses[0], losses[2]]
    assert group.diverged == 1
    assert np.isnan(group.final["units/dead"]).tolist() == [True, False, False]
    assert listed == ListedRun(run, "diverged", "at update 20 of 20: seed 0; the other 2 stopped there")
    # a loss beyond a million times the first one or var(y) has diverged too
    change_metrics(run, **{"loss/train": [0.1, 0.1, 1e8]})
    assert one_group(tmp_path)[0].final["loss/test"].tolist() == [1e30, losses[0], np.inf]
    assert np.isinf(one_group(tmp_path)[0].quartiles("loss/test")).tolist() == [False, False, True]


def test_runs_that_diverged_count_as_infinite_in_medians_and_bands(
    trained: Callable[[str], Path], tmp_path: Path
) -> None:
    shutil.copytree(trained("diverged"), tmp_path / "a")
    group, (listed,) = one_group(tmp_path)
    assert group.final["loss/train"].tolist() == [np.inf, np.inf]
    assert group.final["theta"].tolist() == [np.inf, np.inf]
    assert listed.detail == "at update 11 of 50: seeds 0, 1"
    assert group.quartiles("loss/test").tolist() == [np.inf] * 3
    # grouped with a longer run, they are infinite after their end, so the band rises
    other = Path(shutil.copytree(trained("diverged"), tmp_path / "b"))
    longer = EventFile(str(other))
    (value,) = (value for value in _last_values(other) if value.tag == tags.REPLICAS)
    for update in (12, 50):
        event = Event(step=update)
        event.summary.value.append(value)
        longer.add_event(event)
    longer.close()
    change_metrics(other, status="finished", updates=50, seeds=[2, 3])
    found = collect([tmp_path])
    (group,) = found.groups
    assert group.updates.tolist()[-2:] == [12, 50]
    assert np.isinf(group.curves["loss/test"][:2, -2:]).all()
    assert np.isinf(group.band("loss/test")[1, -1])
    assert np.isfinite(group.band("loss/test")[0, -3:]).tolist() == [True, True, True]


def _last_values(run: Path) -> Any:
    found = [event for path in event_file.event_files(run) for event in event_file.read_events(path)]
    return [event for event in found if any(value.tag == tags.REPLICAS for value in event.summary.value)][
        -1
    ].summary.value


# Seeds and folders


def test_no_seed_counts_twice(trained: Callable[[str], Path], tmp_path: Path) -> None:
    first = Path(shutil.copytree(trained("three"), tmp_path / "a"))
    second = Path(shutil.copytree(trained("one"), tmp_path / "b"))
    change_metrics(second, **{"loss/test": [9.0]})
    group, listed = one_group(tmp_path)
    assert [replica.seed for replica in group.replicas] == [0, 4, 7]
    assert {replica.folder for replica in group.replicas} == {first}
    assert listed == (ListedRun(second, "repeat", f"seed 4: counted once, as in {first}"),)
    assert group.final["loss/test"].tolist() == [read_metrics(first)["loss/test"][row] for row in (1, 0, 2)]
    # the run that ended counts, even if it is not the first
    (first / "metrics.json").unlink()
    found = collect([tmp_path])
    (group,) = found.groups
    assert group.final["loss/test"][1] == 9.0
    assert np.isnan(group.final["loss/test"][[0, 2]]).all()
    assert {(run.folder, run.reason) for run in found.listed_runs} == {(first, "unfinished"), (first, "repeat")}


def test_runs_with_different_snapshot_schedules_are_one_group_with_curves_at_their_shared_updates(
    trained: Callable[[str], Path], tmp_path: Path
) -> None:
    for name in ("three", "early"):
        shutil.copytree(trained(name), tmp_path / name)
    group, listed = one_group(tmp_path)
    assert listed == ()
    assert [replica.seed for replica in group.replicas] == [0, 4, 5, 7]
    assert group.updates.tolist() == [0, 1, 10, 20]
    early = load_run(tmp_path / "early")
    assert len(early.updates) == 10
    at = [early.at(update) for update in (0, 1, 10, 20)]
    assert group.curves["loss/test"][2].tolist() == early.loss("test")[at, 0].tolist()
    assert not np.isnan(group.curves["loss/test"]).any()


def test_runs_of_other_settings_may_have_the_same_seed(trained: Callable[[str], Path], tmp_path: Path) -> None:
    for name in ("one", "wide"):
        shutil.copytree(trained(name), tmp_path / name)
    found = collect([tmp_path])
    assert [dict(group.settings) for group in found.groups] == [{"model.width": 20}, {"model.width": 30}]
    assert found.listed_runs == ()


@pytest.mark.skipif(os.name != "posix", reason="makes links")
def test_a_run_that_several_links_lead_to_is_found_once(trained: Callable[[str], Path], tmp_path: Path) -> None:
    real = Path(shutil.copytree(trained("three"), tmp_path / "with a space" / "run"))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "link").symlink_to(real.parent)
    (real.parent / "loop").symlink_to(tmp_path / "logs")
    (real.parent / "gone").symlink_to(tmp_path / "nowhere")
    found = collect([tmp_path / "logs", real.parent, real, tmp_path])
    assert found.runs == 1
    assert found.listed_runs == ()
    (group,) = found.groups
    assert group.replicas[0].folder == tmp_path / "logs" / "link" / "run"


def test_an_empty_folder_counts_as_a_run_only_next_to_runs(trained: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(trained("three"), tmp_path / "sweep" / "a")
    (tmp_path / "sweep" / "b").mkdir()
    (tmp_path / "notes" / "old").mkdir(parents=True)
    found = collect([tmp_path])
    assert found.runs == 2
    assert found.listed_runs == (ListedRun(tmp_path / "sweep" / "b", "damaged", "there is nothing in it"),)


def test_folders_with_foreign_event_files_are_no_runs(trained: Callable[[str], Path], tmp_path: Path) -> None:
    shutil.copytree(trained("three"), tmp_path / "a")
    EventFile(str(tmp_path / "foreign")).close()
    found = collect([tmp_path])
    assert (found.runs, found.listed_runs) == (1, ())


# Sources of the values


def remove_tag(run: Path, tag: str) -> None:
    """Remove the values of a tag from the event files of a run."""
    (path,) = event_file.event_files(run)
    found = list(event_file.read_events(path))
    path.unlink()
    file = EventFile(str(run))
    for event in found:
        kept = [value for value in event.summary.value if value.tag != tag]
        if len(kept) < len(event.summary.value):
            del event.summary.value[:]
            event.summary.value.extend(kept)
        file.add_event(event)
    file.close()


def test_the_curves_of_an_old_run_of_one_replica_are_its_scalars(
    trained: Callable[[str], Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained("one"), tmp_path / "a"))
    new = one_group(tmp_path)[0]
    remove_tag(run, tags.REPLICAS)
    old, listed = one_group(tmp_path)
    assert listed == ()
    assert set(old.curves) == set(new.curves)
    assert old.updates.tolist() == new.updates.tolist() == [0, 1, 10, 20]
    for tag, curve in new.curves.items():
        np.testing.assert_allclose(old.curves[tag], curve, rtol=1e-6)
    assert {tag: value.tolist() for tag, value in old.final.items()} == {
        tag: value.tolist() for tag, value in new.final.items()
    }


def test_an_old_run_of_several_replicas_has_final_values_and_no_curves(
    trained: Callable[[str], Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained("three"), tmp_path / "a"))
    remove_tag(run, tags.REPLICAS)
    group, listed = one_group(tmp_path)
    assert listed == ()
    assert group.final["loss/test"].tolist() == [read_metrics(run)["loss/test"][row] for row in (1, 0, 2)]
    assert all(np.isnan(curve).all() for curve in group.curves.values())


def test_a_run_without_event_files_has_final_values(trained: Callable[[str], Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained("three"), tmp_path / "a"))
    (path,) = event_file.event_files(run)
    path.unlink()
    group, listed = one_group(tmp_path)
    assert listed == ()
    assert len(group.final["loss/test"]) == 3


def test_the_settings_of_a_run_without_the_command_line_are_read_from_its_events(
    trained: Callable[[str], Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained("three"), tmp_path / "a"))
    shutil.rmtree(run / ".hydra")
    ends = read_metrics(run)["loss/test"]
    (run / "metrics.json").unlink()
    wide = Path(shutil.copytree(trained("wide"), tmp_path / "wide"))
    found = collect([tmp_path])
    assert found.listed_runs == ()
    assert found.keys == ("model.width", "trainer.accelerator", "trainer.devices", "trainer.precision")
    (group,) = (group for group in found.groups if group.settings["model.width"] == 20)
    assert group.final["loss/test"].tolist() == [ends[row] for row in (1, 0, 2)]
    assert wide.is_dir()


def test_a_resumed_run_overwrites_its_earlier_snapshots(trained: Callable[[str], Path], tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained("one"), tmp_path / "a"))
    last = next(value for value in _last_values(run) if value.tag == tags.REPLICAS)
    again = EventFile(str(run))
    again.add_event(Event(step=10, session_log=SessionLog(status=SessionLog.START)))
    event = Event(step=20)
    event.summary.value.append(last)
    again.add_event(event)
    again.close()
    found = replica_reader.read_replicas(event_file.event_files(run))
    assert found.updates.tolist() == [0, 1, 20]
    assert found.values.shape == (3, 1, 6)
    assert found.complete


def test_large_records_of_other_tags_are_skipped_without_checking_them(
    trained: Callable[[str], Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained("one"), tmp_path / "a"))
    picture = Event(step=20)
    picture.summary.value.add(tag="fit").image.encoded_image_string = os.urandom(300_000)
    file = EventFile(str(run))
    file.add_event(picture)
    file.close()
    before = replica_reader.read_replicas(event_file.event_files(run))
    assert before.complete
    path = event_file.event_files(run)[-1]
    data = bytearray(path.read_bytes())
    # a damaged byte inside the skipped picture is not noticed
    data[-1000] ^= 0xFF
    path.write_bytes(data)
    after = replica_reader.read_replicas(event_file.event_files(run))
    assert after.updates.tolist() == before.updates.tolist()
    path.write_bytes(bytes(data[:-10]))
    assert not replica_reader.read_replicas(event_file.event_files(run)).complete


def test_of_very_many_values_only_every_second_or_fourth_snapshot_is_kept(
    trained: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(trained("linear"), tmp_path / "a"))
    whole = one_group(tmp_path)[0]
    assert len(whole.updates) == 51
    monkeypatch.setattr(report_collect, "MAX_VALUES", 1)
    monkeypatch.setattr(report_collect, "MIN_VALUES_PER_RUN", 100)
    thinned = one_group(tmp_path)[0]
    # with 2 replicas and 3 fields, 51, 26 and 13 snapshots are 306, 156 and 78 values
    assert thinned.updates.tolist() == [*range(0, 50, 4), 50]
    for tag, curve in thinned.curves.items():
        np.testing.assert_array_equal(curve, whole.curves[tag][:, thinned.updates])
    # a run with more snapshots in the same group is reduced to the same snapshots
    other = Path(shutil.copytree(run, tmp_path / "b"))
    change_metrics(other, seeds=[5], **{key: [1.0] for key in ("loss/train", "loss/test", "theta")})
    (path,) = event_file.event_files(other)
    _first_replica(other, path)
    both = one_group(tmp_path)[0]
    assert [replica.seed for replica in both.replicas] == [0, 1, 5]
    assert both.updates.tolist() == thinned.updates.tolist()
    assert not np.isnan(both.curves["loss/test"]).any()


def _first_replica(run: Path, path: Path) -> None:
    """Remove all replicas except the first one from the event files of a run."""
    found = list(event_file.read_events(path))
    path.unlink()
    file = EventFile(str(run))
    for event in found:
        for value in event.summary.value:
            if value.tag == tags.REPLICAS:
                value.tensor.tensor_shape.dim[0].size = 1
                value.tensor.tensor_content = value.tensor.tensor_content[: len(value.tensor.tensor_content) // 2]
        file.add_event(event)
    file.close()
