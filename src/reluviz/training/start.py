"""The state of a run before its first update, found without torch where the configuration needs none."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from reluviz.core.initial_state import initial_state
from reluviz.core.models import MODELS, Array
from reluviz.core.models.architecture import Architecture
from reluviz.data.dataset import Dataset
from reluviz.data.samplers import Sampler
from reluviz.engines.support import PRECISIONS, Requirements, engine_for
from reluviz.files import conf_folder
from reluviz.models.relu_settings import check_settings, trained_names
from reluviz.training.plan import Plan, check_callbacks, check_points, plan_run
from reluviz.training.validation import RULES


@dataclass(frozen=True)
class Start:
    """The first replica of a run before its first update.

    Attributes:
        settings: the configuration as plain values.
        dataset: the points, with the units of training.
        sampler: which points each update uses.
        seeds: the seeds of all replicas.
        model: the model's name.
        parameters: of the first replica, as trained, name -> [1] or [1, W].
        trained: names of the trained parameters.
        lr: the learning rate of the first update.
        precision: the run's precision, "float32" or "float64".
    """

    settings: dict[str, Any]
    dataset: Dataset
    sampler: Sampler
    seeds: list[int]
    model: str
    parameters: dict[str, Array]
    trained: tuple[str, ...]
    lr: float
    precision: str

    @property
    def optimizer_settings(self) -> Mapping[str, Any]:
        """The optimiser's `_target_` and arguments."""
        node: Mapping[str, Any] = self.settings["optimizer"]
        return node

    def parameter_copies(self) -> dict[str, Array]:
        """Return the parameters."""
        return self.parameters


def find_start(cfg: DictConfig, choices: Mapping[str, str], step_given: bool = True) -> Start:
    """Return the start of a run, after the same checks as `prepare`.

    Torch is imported only if the settings contain what torch or Lightning alone can check.

    Args:
        cfg: the configuration.
        choices: the choice of each config group, as Hydra records it.
        step_given: whether the user has given the step size; see `plan_run`.

    Raises:
        UserError: if the run could not be trained.
    """
    plan = plan_run(cfg, step_given)
    if needs_torch(plan.settings, choices):
        return _start_with_torch(plan)
    plan = plan.for_model(choices["model"])
    settings, dataset = plan.settings, plan.dataset
    node, model = settings["model"], choices["model"]
    has_units = MODELS[model].has_units
    if has_units:
        check_settings(node["width"], node["elbows"], node["positions"], node["train"], node["ridge"])
    check_points(model, dataset)
    requirements = Requirements(
        model=model,
        class_name=node["_target_"].rpartition(".")[2],
        solved=node.get("train") == "ridge",
        optimizer=settings["optimizer"],
        sampler=plan.sampler,
    )
    engine_for(settings["engine"], requirements)
    check_callbacks(settings)
    precision = PRECISIONS[settings["trainer"]["precision"]]
    if MODELS[model].in_user_units is not None:
        dataset = replace(dataset, scaling=dataset.chosen_scaling())
    if has_units:
        points, positions = dataset.as_trained, node["positions"]
        if positions is not None:
            positions = dataset.scaling.trained_x(np.array(positions)).tolist()
        placement = node["width"], node["elbows"], plan.seeds[0], points.domain, positions
        state = initial_state(*placement, points.x, precision)
        trained = trained_names(Architecture((node["width"],)), node["train"])
    else:
        # a start beyond the range of float32 is infinite
        with np.errstate(over="ignore"):
            state = {"theta": np.asarray(np.float32(node["start"]))}
        trained = tuple(MODELS[model].parameters)
    return Start(
        settings=settings,
        dataset=dataset,
        sampler=plan.sampler,
        seeds=plan.seeds,
        model=model,
        parameters={name: value[None].astype(np.float64) for name, value in state.items()},
        trained=trained,
        # the schedulers of conf/ begin with it
        lr=settings["optimizer"]["lr"],
        precision=precision,
    )


def _start_with_torch(plan: Plan) -> Start:
    from reluviz.training.prepare import prepare_plan

    prepared = prepare_plan(plan)
    module = prepared.module
    precision = PRECISIONS[plan.settings["trainer"].get("precision", "32-true")]
    if precision == "float64":
        module.double()
    module.place_on(plan.dataset)
    configured = module.configure_optimizers()
    optimizer = configured[0][0] if isinstance(configured, tuple) else configured
    return Start(
        settings=plan.settings,
        dataset=replace(plan.dataset, scaling=module.scaling),
        sampler=plan.sampler,
        seeds=plan.seeds,
        model=module.model,
        parameters={name: value[:1] for name, value in module.parameter_copies().items()},
        trained=module.trained,
        lr=float(optimizer.param_groups[0]["lr"]),
        precision=precision,
    )


def needs_torch(settings: Mapping[str, Any], choices: Mapping[str, str]) -> bool:
    """Return whether the settings contain what only torch or Lightning can check or compute.

    That is every node that differs from its preset in conf/ in more than values that `RULES` checks, a file of weights,
    an accelerator, and a model whose initial state only its module knows.
    """
    model, trainer, optimizer = settings["model"], settings["trainer"], settings["optimizer"]
    record = MODELS.get(choices.get("model", ""))
    if record is None or not (record.has_units or record.feature is not None) or model.get("init_from") is not None:
        return True
    if record.feature is not None and model.keys() != {"_target_", "start"}:
        return True
    if any(not _as_preset(settings, group, choices) for group in ("model", "optimizer", "trainer")):
        return True
    if trainer["accelerator"] != "cpu" or (optimizer.get("nesterov") and not optimizer["momentum"]):
        return True
    optional = [group for group in ("scheduler", "logger") if settings.get(group) not in (None, {})]
    return any(not _as_preset(settings, group, choices) for group in ("callbacks", *optional))


def _as_preset(settings: Mapping[str, Any], group: str, choices: Mapping[str, str]) -> bool:
    """Return whether a node has the keys of its preset, and the preset's values wherever no rule checks them."""
    path = conf_folder() / group / f"{choices.get(group)}.yaml"
    if not path.is_file():
        return False
    plain = {key: value for key, value in settings.items() if not isinstance(value, dict)}
    preset = OmegaConf.to_container(OmegaConf.create(plain | {group: OmegaConf.load(path)}), resolve=True)
    assert isinstance(preset, dict)
    return _agree(settings[group], preset[group], group)


def _agree(node: Any, preset: Any, key: str) -> bool:
    if isinstance(node, dict) and isinstance(preset, dict):
        # a missing callback is checked elsewhere
        same_keys = node.keys() <= preset.keys() if key == "callbacks" else node.keys() == preset.keys()
        return same_keys and all(_agree(value, preset[name], f"{key}.{name}") for name, value in node.items())
    return key in RULES or bool(node == preset)
