"""Find and build what a node of settings names in `_target_`, also by the names of version 0.1.0."""

from collections.abc import Callable, Mapping
from typing import Any

from reluviz.models import target_nodes

RENAMED = {
    "reluviz.callbacks": "reluviz.training.callbacks",
    "reluviz.callbacks.checkpoints": "reluviz.training.callbacks.checkpoints",
    "reluviz.callbacks.progress": "reluviz.training.callbacks.progress_bar",
    "reluviz.callbacks.snapshots": "reluviz.training.callbacks.snapshot_logger",
    "reluviz.data.files": "reluviz.data.point_files",
    "reluviz.data.module": "reluviz.data.datamodule",
    "reluviz.data.snapshots": "reluviz.data.schedules",
    "reluviz.data.snapshots.Linear": "reluviz.data.Linear",
    "reluviz.data.snapshots.Log": "reluviz.data.Log",
    "reluviz.logger": "reluviz.record.logger",
    "reluviz.models.base": "reluviz.models.module",
}
"""Names of version 0.1.0 (modules or whole `_target_`s) -> current names, so that its runs can be resumed."""


def find_target(node: Mapping[str, Any], key: str) -> Callable[..., Any]:
    """Return the class or function that the `_target_` of a node names, after checking the names of its arguments.

    Args:
        node: the settings; `_target_` may be a name of version 0.1.0.
        key: the node's key, for error messages.

    Raises:
        UserError: if there is no such target, or it has no such argument.
    """
    node = _withcurrent_name(node)
    found = target_nodes.find_target(node, key)
    target_nodes.check_argument_names(found, node, key)
    return found


def model_name(node: Mapping[str, Any]) -> str | None:
    """Return the name of the model that the settings `model` build; None if their class is not one of the models.

    Raises:
        UserError: as `find_target`, and if the settings of a chain are wrong.
    """
    found: Any = find_target(node, "model")
    named = getattr(found, "model_of", None)
    return getattr(found, "model", None) if named is None else named(node)


def build(node: Mapping[str, Any], key: str, **extra: Any) -> Any:
    """Call the `_target_` of a node; see `target_nodes.build`. `_target_` may be a name of version 0.1.0."""
    return target_nodes.build(_withcurrent_name(node), key, **extra)


def _withcurrent_name(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node with the current name of its `_target_`."""
    return {**node, "_target_": current_name(str(node.get("_target_")))}


def current_name(target: str) -> str:
    """Return the current name of a class or function that may have its name of version 0.1.0."""
    parts = target.split(".")
    for end in range(len(parts), 1, -1):
        if (name := ".".join(parts[:end])) in RENAMED:
            return ".".join([RENAMED[name], *parts[end:]])
    return target
