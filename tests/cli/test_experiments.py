import inspect
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra.utils import get_object
from omegaconf import OmegaConf

from reluviz.__main__ import main
from reluviz.cli import config
from reluviz.cli.sweep import launchers
from reluviz.data import WithReplacement, piecewise_linear
from reluviz.engines.fused import Fused
from reluviz.files import conf_folder

CONF = conf_folder()
COMPILING = "compiling the engine for such runs, once on this computer: a few seconds\n"
EXPERIMENTS = {
    "constant": 1,
    "linear": 1,
    "relu": 1,
    "relu_output": 1,
    "ridge": 1,
    "ridge_lambda": 15,
    "handpicked": 1,
    "width": 4,
    "noise": 5,
    "batch": 5,
    "course": 6,
    "optimizers": 9,
    "gd_vs_sgd": 4,
    "stepsize": 6,
    "depth": 3,
}
"""Experiment -> the number of its runs."""
CHOICES = [
    (group, choice) for group in config.groups() if group not in ("exp", "hydra") for choice in config.choices(group)
]
FEW = ("updates=2", "snapshots.every=1", "data.n=50")
FIXED = {"settings", "folder", "purge_step"}
"""Arguments that are not set by a configuration but by the run."""
DOCUMENTED_NULLS = {"init_from", "positions", "path", "test_path", "x", "y", "decimal", "points"}


def reluviz(*words):
    """Run the command line in this process, and return its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["reluviz", *words])
        return main()


def composed(*overrides):
    """Return a composed configuration without Hydra's node, and without resolving it."""
    cfg = config.compose_checked(list(overrides))
    return {key: value for key, value in OmegaConf.to_container(cfg, resolve=False).items() if key != "hydra"}


def finished(folder):
    """Check that a run of two updates has finished, and return its metrics."""
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["status"] == "finished"
    assert metrics["updates"] == 2
    assert all(math.isfinite(loss) for loss in metrics["loss/train"])
    return metrics


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "points.csv").write_text("x,y\n" + "".join(f"{i / 50},{i % 7}\n" for i in range(50)))


def test_every_experiment_is_tested():
    assert set(EXPERIMENTS) == set(config.choices("exp"))


@pytest.fixture(scope="module")
def logs_of(tmp_path_factory):
    """`logs_of(name)`: the logs of an experiment that was run for two updates."""
    folder, done = tmp_path_factory.mktemp("experiments"), {}

    def run(name):
        if name not in done:
            done[name] = folder / name
            done[name].mkdir()
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(done[name])
                assert reluviz("train", f"+exp={name}", *FEW, "callbacks=minimal") == 0
        return done[name] / "logs"

    return run


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_runs_for_two_updates(name, logs_of, capsys):
    logs = logs_of(name)
    # the first run on a computer says that it compiles its engine
    assert capsys.readouterr().err.replace(COMPILING, "") == ""
    sweep = EXPERIMENTS[name] > 1
    folders = sorted(path.parent for path in logs.glob("**/metrics.json"))
    assert len(folders) == EXPERIMENTS[name]
    for folder in folders:
        parts = folder.relative_to(logs).parts
        assert (len(parts), parts[0]) == ((3, "sweeps") if sweep else (2, name))
        assert finished(folder)["name"] == name
        assert len(list(folder.glob("events.out.tfevents.*"))) == 1


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("relu", {"model.width": 20, "model.train": "all", "optimizer.lr": 0.02, "updates": 150_000}),
        ("relu_output", {"model.width": 20, "model.train": "output", "optimizer.lr": 0.2}),
        ("handpicked", {"model.width": 9, "model.elbows": "given", "model.train": "ridge", "model.ridge": 0.0}),
        ("ridge", {"model.train": "ridge", "model.ridge": 1e-5, "updates": 1}),
        ("constant", {"sampler": {"_target_": "reluviz.data.Full"}, "snapshots.every": 1, "updates": 50}),
        ("linear", {"sampler": {"_target_": "reluviz.data.Full"}, "snapshots.every": 1, "updates": 50}),
    ],
)
def test_an_experiment_sets_its_values(name, wanted):
    cfg = config.compose_checked([f"+exp={name}"])
    found = {key: OmegaConf.select(cfg, key) for key in wanted}
    assert {key: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for key, v in found.items()} == wanted


def test_the_course_is_three_widths_times_two_regimes(logs_of):
    found = set()
    for file in logs_of("course").glob("sweeps/*/*/.hydra/config.yaml"):
        cfg = OmegaConf.load(file)
        found.add((cfg.model.width, cfg.model.train, cfg.optimizer.lr))
    assert found == {(w, *regime) for w in (10, 20, 40) for regime in (("output", 0.2), ("all", 0.02))}


def test_optimizers_are_three_at_three_widths_with_30_replicas(logs_of):
    found, updates = {}, 0
    for file in logs_of("optimizers").glob("sweeps/*/*/.hydra/config.yaml"):
        cfg = OmegaConf.load(file)
        found[cfg.model.width, cfg.optimizer._target_, cfg.optimizer.get("momentum", 0)] = cfg.optimizer.lr
        preset = config.compose_checked(["+exp=optimizers"])
        updates += preset.replicas * preset.updates
        assert (cfg.replicas, cfg.data.noise) == (30, 0.01)
        assert cfg.sampler == {"_target_": "reluviz.data.WithReplacement", "batch_size": 40}
    kinds = [("torch.optim.SGD", 0), ("torch.optim.SGD", 0.9), ("torch.optim.Adam", 0)]
    assert found == {(width, *kind): 0.02 for width in (10, 20, 40) for kind in kinds}
    assert updates == 8_100_000


def test_all_optimizers_start_from_the_same_weights_and_see_the_same_minibatches(monkeypatch):
    """Replica r of each starts and draws bit for bit the same; different replicas differ."""
    seen = {}
    original = Fused.run

    def run(self, state, optimizer, piece, *rest):
        kind = type(optimizer).__name__, optimizer.param_groups[0].get("momentum", 0)
        start = {name: value.detach().clone() for name, value in state.parameters.items()} if piece.start == 0 else None
        seen.setdefault(state.parameters["bias"].shape[1], {}).setdefault(kind, []).append(
            (start, piece.indices.clone())
        )
        return original(self, state, optimizer, piece, *rest)

    monkeypatch.setattr(Fused, "run", run)
    # warming up makes an update of a copy of the model
    monkeypatch.setattr("reluviz.training.prepare.warm_up", lambda prepared: None)
    assert reluviz("train", "+exp=optimizers", "updates=3", "snapshots.every=2", "callbacks=minimal") == 0
    assert sorted(seen) == [10, 20, 40]
    for width, kinds in seen.items():
        assert sorted(kinds) == [("Adam", 0), ("SGD", 0), ("SGD", 0.9)]
        (first, *_), *others = kinds.values()
        weights, _ = first
        assert weights["input_slope"].shape == (30, width)
        assert len(weights["input_slope"].unique(dim=0)) == 30
        for other in others:
            assert all(torch.equal(other[0][0][name], value) for name, value in weights.items())
        drawn = [torch.cat([indices for _, indices in pieces], dim=1) for pieces in kinds.values()]
        assert drawn[0].shape == (30, 3, 40)
        assert len(drawn[0].unique(dim=0)) == 30
        assert all(torch.equal(one, drawn[0]) for one in drawn[1:])
        # a replica draws what a run with its seed alone would draw
        for r in (0, 29):
            assert torch.equal(drawn[0][r], torch.from_numpy(WithReplacement(40).draw([r], 0, 3, 200)[0]))
    assert torch.equal(*(seen[width]["Adam", 0][0][1] for width in (10, 40)))


def test_handpicked_elbows_are_at_the_corners_of_the_target(logs_of):
    (folder,) = logs_of("handpicked").glob("handpicked/*")
    assert finished(folder)["elbow"][0] == pytest.approx([k / 10 for k in range(1, 10)], abs=1e-6)


def test_handpicked_elbows_end_below_learned_ones(tmp_path):
    """The lesson of handpicked: with the best output layer nine elbows at the corners beat twenty that were learned."""
    losses = {}
    for name, words in {
        "handpicked": ["+exp=handpicked"],
        "learned": ["+exp=relu"],
        "handpicked, trained": ["+exp=handpicked", "regime=output"],
    }.items():
        assert reluviz("train", *words, "callbacks=minimal", f"hydra.run.dir={name.replace(', ', '-')}") == 0
        metrics = json.loads(Path(name.replace(", ", "-"), "metrics.json").read_text())
        losses[name] = [metrics[f"loss/{which}"][0] for which in ("train", "test")]
        assert metrics["updates"] == (1 if name == "handpicked" else 150_000)
    assert losses["handpicked"] == pytest.approx([0.01032, 0.00091], rel=0.01)
    assert losses["learned"] == pytest.approx([0.0175, 0.0108], rel=0.02)
    # gradient descent on the same output layer has not arrived, as the README says
    assert losses["handpicked, trained"][1] == pytest.approx(0.06, abs=0.005)


def test_the_best_lambda_of_ridge_lambda_grows_with_the_width_and_its_report_does_not_speak_of_seeds(capsys):
    assert reluviz("train", "-m", "+exp=ridge_lambda", "callbacks=minimal", "hydra.sweep.dir=sweep") == 0
    losses = {}
    for file in Path("sweep").glob("*/metrics.json"):
        cfg = OmegaConf.load(file.parent / ".hydra/config.yaml")
        losses.setdefault(cfg.model.width, {})[cfg.model.ridge] = json.loads(file.read_text())["loss/test"][0]
    assert {width: min(each, key=each.get) for width, each in losses.items()} == {10: 1e-9, 20: 1e-7, 40: 1e-5}
    capsys.readouterr()
    assert reluviz("report", "sweep", "--pictures", "none") == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.startswith(("1e-", "0.")) and len(line.split()) == 3]
    assert [line.split() for line in out.splitlines() if "ridge  width" in line] == [["ridge", "width", "loss/test"]]
    assert len(rows) == 15
    for ridge, width, loss in rows:
        assert float(loss) == pytest.approx(losses[int(width)][float(ridge)], rel=0.005)
    for text in (out, Path("sweep/report/findings.md").read_text()):
        assert "seed" not in text
    assert "each with its own seed" not in Path("sweep/report/report.html").read_text()


def test_the_report_on_solved_networks_with_several_starts_compares_them_seed_by_seed(capsys):
    words = ["+exp=ridge_lambda", "model.width=4", "model.ridge=1e-5,1e-1", "replicas=8", "callbacks=minimal"]
    assert reluviz("train", "-m", *words, "hydra.sweep.dir=sweep") == 0
    assert reluviz("report", "sweep", "--pictures", "none") == 0
    assert "8 shared seeds" in " ".join(capsys.readouterr().out.split())


@pytest.mark.long
def test_another_30_seeds_have_another_median_where_the_losses_have_two_modes():
    medians = []
    for seed in (0, 30):
        words = ["+exp=optimizers", "hydra.mode=RUN", "model.width=10", "optimizer=momentum", f"seed={seed}"]
        assert reluviz("train", *words, "callbacks=minimal", f"hydra.run.dir=from-{seed}") == 0
        losses = sorted(json.loads(Path(f"from-{seed}", "metrics.json").read_text())["loss/test"])
        # at least a sixth of the starts ends near 0.01, and a sixth above 0.1
        assert losses[4] < 0.02
        assert losses[-5] > 0.1
        medians.append((losses[14] + losses[15]) / 2)
    # 0.059 and 0.018
    assert medians[0] > 2 * medians[1]


HINT = "model.train=output keeps step_size=0.02, which suits all layers; regime=output sets both, step_size=0.2"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["+exp=width", "model.train=output"], HINT),
        (["+exp=relu", "model.train=all,output"], HINT),
        (["+exp=relu", "model.train=output", "optimizer=momentum"], HINT),
        (["+exp=relu", "model.train=output", "optimizer=adam"], None),
        (["+exp=relu", "model.train=output", "step_size=0.02"], None),
        (["+exp=relu", "model.train=output", "optimizer.lr=0.02"], None),
        (["+exp=width", "regime=output"], None),
        (["+exp=relu_output", "model.train=output"], None),
        (["+exp=relu", "model.train=hidden"], None),
        (["+exp=course", "model.train=output"], None),
        (["+exp=relu"], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "hint" if value else "none",
)
def test_the_output_layer_with_the_step_size_of_all_layers_is_answered_with_another_one(words, hint):
    assert config.step_size_hint(words, config.compose_checked(words)) == hint


def test_the_hint_is_one_line_before_the_runs_of_a_sweep(capsys):
    assert reluviz("train", "-m", "+exp=width", "model.train=output", *FEW, "callbacks=minimal", "replicas=1") == 0
    assert capsys.readouterr().out.startswith(f"hint    {HINT}\n")


@pytest.mark.parametrize(("group", "choice"), CHOICES, ids=[f"{group}={choice}" for group, choice in CHOICES])
def test_every_choice_trains(group, choice, tmp_path, capsys):
    words = [f"{group}={choice}", "updates=2"]
    if f"{group}={choice}" == "data=file":
        words.append("data.path=points.csv")
    if f"{group}={choice}" == "data=points":
        words.append("data.points=[[0,1],[0.5,2],[1,3]]")
    if message := launchers.missing_package(group, choice):
        # the tests of clusters install it
        assert reluviz("train", *words) == 2
        assert capsys.readouterr().err == f"reluviz: {message}\n"
        return
    assert reluviz("train", *words, *(["callbacks=minimal"] if group != "callbacks" else [])) == 0
    # the first run on a computer prints that it compiles
    assert capsys.readouterr().err in (
        "",
        COMPILING,
    )
    (folder,) = tmp_path.glob("logs/run/*")
    finished(folder)
    cfg = OmegaConf.load(folder / ".hydra/hydra.yaml")
    assert cfg.hydra.runtime.choices[group] == choice


TARGETS = [
    (group, choice, key, node)
    for group, choice in CHOICES
    if group not in ("regime", "launcher", "sweeper")
    for content in [OmegaConf.to_container(OmegaConf.load(CONF / group / f"{choice}.yaml"))]
    for key, node in ([("", content)] if "_target_" in content else content.items())
    if isinstance(node, dict)
]


@pytest.mark.parametrize(
    ("group", "choice", "key", "node"), TARGETS, ids=[f"{g}={c}{k and '.' + k}" for g, c, k, _ in TARGETS]
)
def test_a_configuration_agrees_with_the_signature_of_its_target(group, choice, key, node):
    """Every key is an argument with the same default, and no argument of reluviz's own targets is missing."""
    found = get_object(node["_target_"])
    arguments = inspect.signature(found).parameters
    keys = set(node) - {"_target_"}
    foreign = not node["_target_"].startswith("reluviz.")
    assert keys <= set(arguments)
    if foreign:
        # defaults may differ from torch's, but keys that only repeat torch's defaults must agree with them
        for name in keys & {"betas", "eps", "alpha"}:
            default = arguments[name].default
            assert node[name] == (list(default) if isinstance(default, tuple) else default)
        return
    set_by_run = {"seeds", "optimizer", "scheduler", "engine", "domain"} if group == "model" else FIXED
    assert keys == set(arguments) - set_by_run
    # the presets minimal and everything differ from the defaults on purpose
    for name in keys if choice not in ("minimal", "everything") else ():
        default = arguments[name].default
        # YAML has lists only
        default = list(default) if isinstance(default, tuple) else default
        if node[name] is None:
            assert name in DOCUMENTED_NULLS
            assert default is None
        else:
            assert node[name] == default
            assert type(node[name]) is type(default) or {type(node[name]), type(default)} == {int, float}


def test_the_defaults_of_a_run_are_the_documented_ones():
    cfg = composed()
    assert cfg["data"] == {"_target_": "reluviz.data.piecewise_linear", "n": 200, "noise": 0.1, "seed": 1}
    assert cfg["sampler"] == {"_target_": "reluviz.data.WithReplacement", "batch_size": 40}
    assert cfg["snapshots"] == {"_target_": "reluviz.data.Early", "every": 1000}
    assert cfg["model"] == {
        "_target_": "reluviz.models.ReLUModule",
        "width": 20,
        "elbows": "uniform",
        "positions": None,
        "train": "all",
        "ridge": 1e-5,
        "init_from": None,
    }
    assert cfg["optimizer"] == {"_target_": "torch.optim.SGD", "lr": "${step_size}", "weight_decay": 0.0}
    assert cfg["step_size"] == 0.02
    single = {"seed": 0, "seeds": None, "replicas": 1, "updates": 150_000, "engine": "auto", "ckpt_path": None}
    assert {key: cfg[key] for key in single} == single
    assert cfg["trainer"] == {"accelerator": "cpu", "devices": 1, "precision": "32-true"}


def test_defaults_in_python_are_those_in_conf():
    from reluviz.data.datamodule import SegmentData
    from reluviz.models import RegressionModule

    cfg = composed()
    data = SegmentData(piecewise_linear())
    assert data.updates == cfg["updates"]
    assert data.sampler == get_object(cfg["sampler"]["_target_"])(batch_size=40)
    assert data.snapshots == get_object(cfg["snapshots"]["_target_"])(every=1000)
    signature = inspect.signature(RegressionModule).parameters
    assert signature["engine"].default == cfg["engine"]
    assert signature["seeds"].default == (cfg["seed"],)


def test_the_presets_of_callbacks_differ_only_in_how_much_they_record():
    presets = {name: composed(f"callbacks={name}")["callbacks"] for name in ("minimal", "default", "everything")}
    recorded = {
        name: [preset["snapshots"][key] for key in ("pictures", "histograms", "contributions")]
        for name, preset in presets.items()
    }
    assert recorded == {"minimal": [0, False, False], "default": [10, True, False], "everything": [50, True, True]}
    assert len({json.dumps({**preset, "snapshots": 0}) for preset in presets.values()}) == 1


@pytest.mark.parametrize("folder", ["/", "."])
def test_conf_is_found_from_any_folder(folder, tmp_path):
    words = [sys.executable, "-m", "reluviz", "train", "+exp=linear", "--cfg", "job"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert OmegaConf.create(done.stdout).name == "linear"


def test_a_folder_conf_in_the_working_directory_is_ignored(tmp_path):
    Path("conf").mkdir()
    Path("conf/config.yaml").write_text("name: other\n")
    assert composed()["name"] == "run"


@pytest.mark.parametrize(
    ("words", "train", "lr"),
    [
        (["+exp=relu", "regime=output"], "output", 0.2),
        (["+exp=relu", "regime=all"], "all", 0.02),
        (["+exp=relu", "optimizer=adam"], "all", 0.001),
        (["+exp=relu_output"], "output", 0.2),
        (["+exp=relu_output", "optimizer.lr=0.3"], "output", 0.3),
        (["+exp=handpicked"], "ridge", 0.02),
        (["+exp=handpicked", "regime=output"], "output", 0.2),
        (["+exp=ridge", "regime=output"], "output", 0.2),
        (["+exp=linear", "optimizer=adam"], None, 0.001),
        (["+exp=linear", "optimizer=momentum"], None, 0.2),
        (["+exp=constant"], None, 0.1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_regime_and_optimiser_keep_their_values_in_an_experiment(words, train, lr):
    cfg = config.compose_checked(words)
    assert cfg.model.get("train") == train
    assert cfg.optimizer.lr == lr
