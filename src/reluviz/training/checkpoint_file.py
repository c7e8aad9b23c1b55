"""Checkpoint files: read them as data, and check that a run can go on from one before anything is changed.

Lightning restores a checkpoint part by part, and a part that does not fit would end the run when others are restored
and files are open already.

Legend of shapes: R replicas, S snapshots, n recorded samples.
"""

import copy
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from reluviz.core.snapshot import recorded_samples
from reluviz.core.verdicts import MAX_THEORY_REPLICAS
from reluviz.errors import UserError
from reluviz.models.module import RegressionModule
from reluviz.models.torch_files import difference, load_torch_file, state_difference
from reluviz.training.instantiate import find_target
from reluviz.training.lightning_startup import quiet
from reluviz.training.prepare import Prepared, make_trainer


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds, with the parts that every checkpoint of a run has.

    Raises:
        UserError: if it is no checkpoint of reluviz, or is damaged. The message begins with the file's name.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no archive of torch.save")
        loaded = load_torch_file(path)
    except (ValueError, OSError) as error:
        raise UserError(f"{path.name} is not a checkpoint, or is damaged ({error})") from error
    needed: dict[str, Any] = {
        "state_dict": {"updates_done": torch.tensor(0), "segments_done": torch.tensor(0)},
        "global_step": 0,
        "epoch": 0,
        "model": "",
        "hyper_parameters": {},
        "pytorch-lightning_version": "",
    }
    if (wrong := difference(loaded, needed)) is not None:
        raise UserError(f"{path.name} is not a checkpoint of reluviz ({wrong})")
    counts = [loaded["global_step"], loaded["epoch"], *(int(loaded["state_dict"][key]) for key in needed["state_dict"])]
    if not _are_counts(counts):
        raise UserError(f"{path.name} is not a checkpoint of reluviz (a number in it is no count)")
    return dict(loaded)


def misfit(loaded: dict[str, Any], prepared: Prepared) -> str | None:
    """Return in a few words which part of a checkpoint a run cannot be restored from; None if all of them fit.

    Args:
        loaded: the content of the checkpoint; it is not changed.
        prepared: the run, newly built. Its module is changed.
    """
    module = prepared.module
    loaded = loaded | {"state_dict": dict(loaded["state_dict"])}
    if not isinstance(loaded["state_dict"].get("batch_loss"), torch.Tensor):
        return "state_dict.batch_loss is missing"
    try:
        module.on_load_checkpoint(loaded)
    except UserError as error:
        return str(error)
    return (
        state_difference(loaded["state_dict"], module)
        or _optimizer_misfit(loaded, module, prepared)
        or _loops_misfit(loaded, prepared)
        or _snapshots_misfit(loaded, prepared)
    )


def _optimizer_misfit(loaded: dict[str, Any], module: RegressionModule, prepared: Prepared) -> str | None:
    """Compare the states of the optimiser and the scheduler with those of new ones."""
    built = module.configure_optimizers()
    (optimizer,), schedulers = built if isinstance(built, tuple) else ([built], [])
    fresh = optimizer.state_dict()
    wanted = {
        "optimizer_states": [{"state": {}, "param_groups": fresh["param_groups"]}],
        "lr_schedulers": [one.state_dict() for one in schedulers],
    }
    if (wrong := difference(loaded, wanted)) is not None:
        return wrong
    held, groups = (loaded["optimizer_states"][0][key] for key in ("state", "param_groups"))
    if [group["params"] for group in groups] != [group["params"] for group in fresh["param_groups"]]:
        return "optimizer_states[0].param_groups has other parameters"
    solved = module.requirements(prepared.data.sampler).solved
    after_update = {} if solved else _state_after_update(optimizer)
    if not held and not int(loaded["state_dict"]["updates_done"]):
        after_update = {}
    if (wrong := difference(held, after_update, "optimizer_states[0].state")) is not None:
        return wrong
    try:
        optimizer.load_state_dict(copy.deepcopy(loaded["optimizer_states"][0]))
        for scheduler, state in zip(schedulers, loaded["lr_schedulers"], strict=True):
            scheduler.load_state_dict(copy.deepcopy(state))
    except Exception as error:
        # each class of torch has errors of its own
        return f"the optimiser or the scheduler does not accept its state ({' '.join(str(error).split())[:200]})"
    return None


def _state_after_update(optimizer: torch.optim.Optimizer) -> dict[int, Any]:
    """Return the kind of state that an optimiser has after an update: index of a parameter -> its state.

    Empty if that cannot be found out by an update with gradients of 0, as for LBFGS, which needs a function.
    """
    if isinstance(optimizer, torch.optim.LBFGS):
        return {}
    try:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.zeros_like(parameter)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer.step()
        found: dict[int, Any] = optimizer.state_dict()["state"]
        return found
    except Exception:
        # a class of the user's own, which this check does not know
        return {}
    finally:
        optimizer.zero_grad(set_to_none=True)


def _loops_misfit(loaded: dict[str, Any], prepared: Prepared) -> str | None:
    """Compare the counts of Lightning's training loop with those of a new trainer."""
    with quiet():
        trainer = make_trainer(prepared.settings["trainer"], max_steps=1, logger=False, enable_progress_bar=False)
    wanted = {"loops": {"fit_loop": trainer.fit_loop.state_dict()}}
    if (wrong := difference(loaded, wanted)) is not None:
        return wrong
    if not _are_counts(loaded["loops"]["fit_loop"]):
        return "loops.fit_loop holds a number that is no count"
    loaders = loaded["loops"]["fit_loop"]["state_dict"].get("combined_loader", [{}])
    return difference(loaders, [{}], "loops.fit_loop.state_dict.combined_loader")


def _snapshots_misfit(loaded: dict[str, Any], prepared: Prepared) -> str | None:
    """Compare the histories that the callback of the snapshots has stored with the size of the run."""
    name = getattr(find_target(prepared.settings["callbacks"]["snapshots"], "callbacks.snapshots"), "__qualname__", "")
    place = f"callbacks.{name}"
    state = loaded.get("callbacks", {}).get(name) if isinstance(loaded.get("callbacks"), dict) else None
    if not isinstance(state, dict):
        return f"{place} is missing"
    replicas, samples = len(prepared.module.seeds), len(recorded_samples(len(prepared.dataset.x)))
    wanted: dict[str, Any] = {"history": {"stride": 1, "seen": 1}, "initial_loss": None}
    sizes: dict[str, dict[str, tuple[int, ...]]] = {
        "history": {"norms": (samples,)},
        "loss_history": {"losses": (replicas,), "counts": (replicas, 3)},
    }
    for part, tensors in sizes.items():
        if part == "loss_history" and part not in state:
            # versions up to 0.2.0 stored none
            continue
        updates = state[part].get("updates") if isinstance(state.get(part), dict) else None
        if not isinstance(updates, list) or not all(type(update) is int for update in updates):
            return f"{place}.{part}.updates is no list of whole numbers"
        for key, shape in tensors.items():
            held = state[part].get(key)
            if isinstance(held, torch.Tensor) and not held.numel() and (key == "counts" or not updates):
                # a model without units counts none
                continue
            wanted.setdefault(part, {})[key] = torch.empty(len(updates), *shape, dtype=_DTYPES[key])
    if state.get("initial_loss") is not None:
        wanted["initial_loss"] = torch.empty(replicas, dtype=torch.float64)
    if state.get("initial_parameters"):
        shown = {name: getattr(prepared.module, name)[:MAX_THEORY_REPLICAS] for name in prepared.module.values()}
        if isinstance(state["initial_parameters"], dict) and state["initial_parameters"].keys() - shown.keys():
            return f"{place}.initial_parameters is of another model"
        wanted["initial_parameters"] = {name: torch.empty(value.shape).double() for name, value in shown.items()}
    return difference(state, wanted, place)


_DTYPES = {"norms": torch.float32, "losses": torch.float64, "counts": torch.int32}


def _are_counts(values: Any) -> bool:
    """Return whether all numbers in nested mappings and lists are whole and not negative."""
    if isinstance(values, dict | list):
        return all(map(_are_counts, values.values() if isinstance(values, dict) else values))
    return not isinstance(values, int | float) or (isinstance(values, int) and 0 <= values < 2**53)
