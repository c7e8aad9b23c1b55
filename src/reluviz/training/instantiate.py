"""From settings to objects: a node names its class or function in `_target_` and holds the arguments."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from reluviz.errors import UserError
from reluviz.models.optimizers import find
from reluviz.training.renamed_targets import current


def callee(node: Mapping[str, Any], key: str) -> Callable[..., Any]:
    """Return the `_target_` of a node, which takes the node's other values.

    Raises:
        UserError: if there is no such target, or it has no such argument.
    """
    target = current(str(node.get("_target_")))
    try:
        found = find(target)
    except LookupError:
        raise UserError(f"{key}._target_={target}: there is no such class or function") from None
    if not callable(found):
        raise UserError(f"{key}._target_={target}: is not a class or function")
    known = inspect.signature(found).parameters
    for name, value in node.items():
        if name not in known and name != "_target_":
            takes = ", ".join(known) or "none"
            raise UserError(f"{key}.{name}={value}: {target} has no such argument (it takes {takes})")
    return found  # type: ignore[no-any-return]


def build(node: Mapping[str, Any], key: str, **extra: Any) -> Any:
    """Call the `_target_` of a node with the node's other values.

    Args:
        node: the settings.
        key: where they stand, for error messages.
        extra: arguments that are no settings.

    Raises:
        UserError: if there is no such target, or it does not take these values.
    """
    function = callee(node, key)
    try:
        return function(**{name: value for name, value in node.items() if name != "_target_"}, **extra)
    except TypeError as error:
        raise UserError(f"{key}: {' '.join(str(error).split())}") from error
