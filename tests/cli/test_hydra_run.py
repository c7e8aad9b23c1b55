import sys

import pytest
from hydra.types import RunMode
from omegaconf import OmegaConf

from reluviz.__main__ import main
from reluviz.cli import config, hydra_run

SHORT = ("updates=4", "snapshots.every=2", "callbacks=minimal")


def reluviz(*words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", *words])
        return main()


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


class CountingLoader(hydra_run.WrappedLoader):
    """Counts the configurations that are composed."""

    count = 0

    def load_configuration(self, *args, **kwargs):
        self.count += 1
        return self.loader.load_configuration(*args, **kwargs)


def content(cfg):
    """Return a configuration as text, its flags, and the text without Hydra's node after resolving."""
    task = OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"])
    flags = [OmegaConf.is_struct(cfg), OmegaConf.is_readonly(cfg), OmegaConf.is_struct(cfg.hydra)]
    return OmegaConf.to_yaml(cfg), flags, OmegaConf.to_yaml(task, resolve=True)


@pytest.mark.long
@pytest.mark.parametrize(
    ("jobs", "composed"),
    [
        ([["seed=0"], ["seed=1"], ["seed=2"]], 1),
        ([["+exp=relu", f"seed={seed}", f"optimizer.lr={lr}"] for seed in (0, 5) for lr in ("1e-3", "null")], 1),
        ([[f"model.width={width}", f"regime={regime}"] for width in (10, 20) for regime in ("output", "all")], 2),
        ([["model.elbows='even'", "name=1"], ["model.elbows=torch", "name=true"], ["model.elbows=a", "name=a b"]], 1),
        ([["step_size=${updates}"], ["step_size=0.5"], ["step_size=${seed}"]], 1),
        # values that do more than replace one value
        ([["seeds=[0,1]"], ["seeds=[2]"]], 2),
        ([["optimizer={lr:1,weight_decay:2}"], ["optimizer={lr:3}"]], 2),
        ([["+optimizer.eps=1"], ["+optimizer.eps=2"]], 2),
        ([["~optimizer.lr"], ["~optimizer.weight_decay"]], 2),
        # a key that is set twice, or as a part of another value
        ([["seed=0", "seed=1"], ["seed=0", "seed=2"], ["seed=3", "seed=2"]], 3),
        ([["optimizer.lr=1", "optimizer={lr:2}"], ["optimizer.lr=3", "optimizer={lr:2}"]], 2),
        # different keys, or in a different order
        ([["seed=0"], ["seed=0", "replicas=2"], ["replicas=2", "seed=0"], ["replicas=3", "seed=1"]], 3),
        # groups
        ([["optimizer=adam"], ["optimizer=sgd"], ["optimizer=adam"]], 2),
        ([["sampler=epoch", "sampler.batch_size=10"], ["sampler=full"], ["sampler=epoch", "sampler.batch_size=9"]], 2),
    ],
)
def test_the_configuration_of_a_job_is_the_one_that_hydra_composes(jobs, composed):
    with config.initialized_hydra() as instance:
        fixed = ["hydra.sweep.dir=there", "hydra.job.config.override_dirname.exclude_keys=[seed]"]
        sweep = instance.config_loader.load_configuration("config", fixed, RunMode.MULTIRUN)
        counting = CountingLoader(instance.config_loader)
        caching = hydra_run.CachingLoader(counting)
        found = [caching.load_sweep_config(sweep, job) for job in jobs]
        for cfg, job in zip(found, jobs, strict=True):
            assert content(cfg) == content(instance.config_loader.load_sweep_config(sweep, job))
        assert counting.count == composed


def test_changes_of_a_job_s_configuration_do_not_reach_later_jobs():
    with config.initialized_hydra() as instance:
        sweep = instance.config_loader.load_configuration("config", [], RunMode.MULTIRUN)
        caching = hydra_run.CachingLoader(instance.config_loader)
        for seed in range(3):
            cfg = caching.load_sweep_config(sweep, [f"seed={seed}"])
            expected = content(instance.config_loader.load_sweep_config(sweep, [f"seed={seed}"]))
            assert content(cfg) == expected
            OmegaConf.set_struct(cfg, False)
            cfg.model.width = 7
            cfg.hydra.job.num = 5
            del cfg["data"]


def test_a_group_may_come_from_hydra_s_search_path(tmp_path):
    for name, text in {"exp/mine": "defaults: [/extra: a]", "extra/a": "x: 1", "extra/b": "y: 2"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text(f"# @package _global_\n{text}\n")
    with config.initialized_hydra() as instance:
        fixed = [f"hydra.searchpath=[file://{tmp_path}]"]
        sweep = instance.config_loader.load_configuration("config", fixed, RunMode.MULTIRUN)
        caching = hydra_run.CachingLoader(instance.config_loader)
        found = [caching.load_sweep_config(sweep, ["+exp=mine", f"extra={one}"]) for one in "ab"]
    assert [(cfg.get("x"), cfg.get("y"), cfg.get("extra")) for cfg in found] == [(1, None, None), (None, 2, None)]


@pytest.mark.long
def test_the_number_of_cached_configurations_is_limited():
    with config.initialized_hydra() as instance:
        sweep = instance.config_loader.load_configuration("config", [], RunMode.MULTIRUN)
        caching = hydra_run.CachingLoader(instance.config_loader)
        for seed in range(hydra_run.MAX_CACHED_CONFIGS + 3):
            assert caching.load_sweep_config(sweep, [f"seeds=[{seed}]"]).seeds == [seed]
        assert len(caching.cache) == hydra_run.MAX_CACHED_CONFIGS


# compared with Hydra's own entry point


def hydra_files(folder):
    """Return the files that Hydra has written below a folder, path -> content."""
    paths = [*folder.glob("**/.hydra/*"), *folder.glob("**/multirun.yaml")]
    return {path.relative_to(folder): path.read_text().replace(str(folder), "FOLDER") for path in paths}


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["+exp=relu", "hydra.run.dir=a b", "optimizer=adam"], 3),
        (["exp=linear", "+hydra.job.env_set.RELUVIZ=1", "hydra.mode=RUN", "hydra.run.dir=one", "hydra.job.id=7"], 3),
        (["+exp=course", "hydra.sweep.dir=many"], 19),
        (["-m", "+exp=relu", "hydra.sweep.dir=many", "seed=0,2", "optimizer=adam,sgd", "data.noise=0.1,1e-2"], 25),
    ],
    ids=["run", "hydra", "preset", "grid"],
)
def test_the_files_of_hydra_are_those_that_its_entry_point_writes(words, count, tmp_path, monkeypatch, capsys):
    direct, by_entry_point = tmp_path / "direct", tmp_path / "by_entry_point"
    called = []
    entry = hydra_run.run_entry_point
    for folder in (direct, by_entry_point):
        folder.mkdir()
        monkeypatch.chdir(folder)
        if folder == by_entry_point:
            monkeypatch.setattr(hydra_run, "run_single", lambda cfg, *rest: called.append(entry([], *rest)))
            monkeypatch.setattr(
                hydra_run,
                "run_multirun",
                lambda overrides, more, job, _: called.append(entry(["-m"], [*overrides, *more], job)),
            )
        assert reluviz("train", *words, *SHORT) == 0
    assert len(called) == 1
    assert len(hydra_files(direct)) == count
    assert hydra_files(direct) == hydra_files(by_entry_point)
    # the first run on a computer may print that it compiles
    assert capsys.readouterr().err in (
        "",
        "compiling the engine for such runs, once on this computer: a few seconds\n",
    )


def test_a_flag_of_hydra_s_needs_its_entry_point(monkeypatch):
    flags = []
    entry = hydra_run.run_entry_point
    monkeypatch.setattr(
        hydra_run, "run_entry_point", lambda words, *rest: (flags.append(words), entry(words, *rest))[1]
    )
    assert reluviz("train", "--run", "+exp=linear", *SHORT) == 0
    assert reluviz("train", "+exp=linear", *SHORT) == 0
    assert flags == [["--run"]]
