"""Builds objects from settings: a node names a class or function in `_target_` and contains its arguments."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from reluviz.errors import UserError
from reluviz.models.dotted_names import import_by_name

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
        node: the settings.
        key: the node's key, for error messages.

    Raises:
        UserError: if there is no such target, or it has no such argument.
    """
    target = _current_name(str(node.get("_target_")))
    try:
        found = import_by_name(target)
    except LookupError:
        raise UserError(f"{key}._target_={target}: there is no such class or function") from None
    if not callable(found):
        raise UserError(f"{key}._target_={target}: is not a class or function")
    parameters = inspect.signature(found).parameters
    for name, value in node.items():
        if name not in parameters and name != "_target_":
            takes = ", ".join(parameters) or "none"
            raise UserError(f"{key}.{name}={value}: {target} has no such argument (it takes {takes})")
    return found  # type: ignore[no-any-return]


def build(node: Mapping[str, Any], key: str, **extra: Any) -> Any:
    """Call the `_target_` of a node with the node's other values and return the result.

    Args:
        node: the settings.
        key: the node's key, for error messages.
        extra: further arguments, which are not settings.

    Raises:
        UserError: if there is no such target, or it does not accept these values.
    """
    function = find_target(node, key)
    try:
        return function(**{name: value for name, value in node.items() if name != "_target_"}, **extra)
    except TypeError as error:
        raise UserError(f"{key}: {' '.join(str(error).split())}") from error


def _current_name(target: str) -> str:
    """Return the current name of a class or function that may have its name of version 0.1.0."""
    parts = target.split(".")
    for end in range(len(parts), 1, -1):
        if (name := ".".join(parts[:end])) in RENAMED:
            return ".".join([RENAMED[name], *parts[end:]])
    return target
