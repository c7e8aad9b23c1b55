"""A run that cannot fit into memory is refused with its estimate, before anything is built or written."""

import re
import sys

import pytest

from reluviz.__main__ import main
from reluviz.cli import config
from reluviz.cli.config import compose_checked
from reluviz.errors import UserError
from reluviz.training import memory, plan, run

GB = 1e9


def settings_of(*overrides: str) -> dict:
    return plan.plan_run(config.without_hydra(compose_checked(list(overrides)))).settings


def refusal(capsys, monkeypatch, *words: str) -> str:
    monkeypatch.setattr(sys, "argv", ["reluviz", "train", *words])
    assert main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (["replicas=10000000"], "replicas=10000000 model.width=20"),
        (["seeds=[0,1,2]", "model.width=100000", "data.n=1000000"], "model.width=100000 data.n=1000000"),
        (["data.n=100000000"], "data.n=100000000"),
        (["sampler.batch_size=10000000000"], "sampler.batch_size=10000000000 model.width=20"),
        (["sampler.batch_size=100000000", "engine=reference"], "sampler.batch_size=100000000 model.width=20"),
        (["sampler.batch_size=100000000", "optimizer=rmsprop"], "sampler.batch_size=100000000 model.width=20"),
        (["sampler=full", "engine=reference", "data.n=20000000", "model.width=40"], "data.n=20000000 model.width=40"),
        (["model.width=100000", "data.n=100000"], "model.width=100000 data.n=100000"),
    ],
)
def test_a_run_that_cannot_fit_is_refused_with_its_estimate_and_leaves_nothing(
    words, keys, capsys, monkeypatch, tmp_path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "available_bytes", lambda: 8 * GB)
    line = refusal(capsys, monkeypatch, *words)
    pattern = r"the run would take about ([0-9,.]+) GB of memory, and 8.0 GB are available"
    found = re.fullmatch(re.escape(f"reluviz: {keys}: ") + pattern, line)
    assert found, line
    assert float(found[1].replace(",", "")) > 8
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_many_points_is_refused_once_their_number_is_known(monkeypatch, tmp_path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("x,y\n" + "\n".join(f"{i},{i % 7}" for i in range(1000)))
    overrides = ["data=file", f"data.path={path}"]
    assert settings_of(*overrides)["data"]["path"] == str(path)
    monkeypatch.setattr(memory, "BASE_BYTES", 0)
    monkeypatch.setattr(memory, "POINT_BYTES", 1e8)
    with pytest.raises(UserError, match=r"^data\.path=.*points\.csv: the run would take about 100\.[0-9] GB"):
        settings_of(*overrides)


def test_the_estimate_is_no_more_than_what_runs_were_measured_to_take() -> None:
    # peaks without the packages' 350 MB, measured on Linux
    for measured, overrides in {
        1190e6: ["data.n=5000000"],
        490e6: ["replicas=20000"],
        180e6: ["sampler.batch_size=20000000"],
        200e6: ["sampler.batch_size=1000000", "engine=reference"],
        2950e6: ["model.width=100000", "optimizer=adam"],
    }.items():
        settings = settings_of(*(text for text in overrides if not text.startswith("data.n")))
        samples = int(overrides[0].partition("data.n=")[2] or 200)
        total = sum(memory.memory_of(settings, samples, target_known=True).values())
        assert measured / 3 < total < measured, overrides
    # ten million points of a file took 1,110 MB
    settings = settings_of("sampler=full")
    assert 0.7e9 < sum(memory.memory_of(settings, 10**7, target_known=False).values()) < 1.11e9


def test_without_knowledge_of_the_memory_nothing_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    memory.check_memory({"seeds": None, "replicas": 10**12, "engine": "auto", "model": {"width": 10**5}})


def test_settings_of_other_types_are_left_to_their_classes(monkeypatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: GB)
    memory.check_memory({"seeds": None, "replicas": 1, "engine": "auto", "model": {"width": "wide"}, "data": None})


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_available_memory_is_the_least_of_free_memory_and_the_limit_of_the_group(monkeypatch) -> None:
    texts = {"/proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:   3000 kB\nSwapFree:  500 kB\n"}
    monkeypatch.setattr(memory, "_text", lambda path: texts.get(path, ""))
    assert memory.available_bytes() == 3500 * 1024
    texts["/sys/fs/cgroup/memory.max"] = "max\n"
    assert memory.available_bytes() == 3500 * 1024
    texts["/sys/fs/cgroup/memory.max"] = "1000000\n"
    assert memory.available_bytes() == 1e6
    texts.clear()
    assert memory.available_bytes() is None


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 74.5 GiB for an array"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
        RuntimeError("CUDA out of memory. Tried to allocate 8 GiB"),
    ],
    ids=["numpy", "torch on Linux", "torch on Windows", "CUDA"],
)
def test_memory_that_runs_out_during_a_run_ends_it_with_one_line(error, capsys, monkeypatch, tmp_path) -> None:
    def fails(*args, **kwargs):
        raise error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "train", fails)
    line = refusal(capsys, monkeypatch, "updates=1")
    assert line.startswith("reluviz: not enough memory (")


def test_other_errors_of_torch_are_not_about_memory(monkeypatch, tmp_path) -> None:
    def fails(*args, **kwargs):
        raise RuntimeError("shapes do not match")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "train", fails)
    monkeypatch.setattr(sys, "argv", ["reluviz", "train", "updates=1"])
    with pytest.raises(RuntimeError, match="shapes"):
        main()
