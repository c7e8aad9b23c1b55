"""Find and build what a node of settings names: a class or function in `_target_`, its arguments in the other keys."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reluviz.errors import UserError

ARGUMENT_ERRORS = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RuntimeError)
"""Exceptions that classes of torch raise for invalid arguments."""


@dataclass(frozen=True)
class Kind:
    """A kind of classes of torch.

    Attributes:
        base: their base class, which is none of them itself.
        example: the name of one of them, for error messages.
    """

    base: type
    example: str


def find_target(node: Mapping[str, Any], key: str, kind: Kind | None = None) -> Callable[..., Any]:
    """Return the class or function that the `_target_` of a node names.

    Args:
        node: the settings.
        key: the node's key, for error messages.
        kind: what the target must be; None for any class or function.

    Raises:
        UserError: if there is no such target, or it is of another kind.
    """
    target = node.get("_target_")
    if kind is not None and not isinstance(target, str):
        raise UserError(f"{key}._target_ is missing: the name of a class")
    module, _, name = str(target).rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError):
        wanted = "class or function" if kind is None else f"class; for example {kind.example}"
        raise UserError(f"{key}._target_={target}: there is no such {wanted}") from None
    if kind is None and not callable(found):
        raise UserError(f"{key}._target_={target}: is not a class or function")
    if kind is not None and not _is_of_kind(found, kind):
        raise UserError(f"{key}._target_={target}: is not a class of the kind of {kind.example}")
    return found  # type: ignore[no-any-return]


def check_argument_names(
    function: Callable[..., Any], node: Mapping[str, Any], key: str, kind: Kind | None = None
) -> None:
    """Check that the class or function which a node names has all the arguments that the node gives to it.

    Raises:
        UserError: if it lacks one of them.
    """
    known = list(inspect.signature(function).parameters)
    for name, value in _arguments(node).items():
        if name in known:
            continue
        if kind is None:
            takes = ", ".join(known) or "none"
            raise UserError(f"{key}.{name}={value}: {node['_target_']} has no such argument (it takes {takes})")
        # the first argument is no setting: the parameters, or the optimiser
        takes = ", ".join(known[1:])
        wrong = f"{function.__name__} has no such argument (it takes {takes})"
        raise UserError(f"{key}.{name}: {wrong}; leave it out with ~{key}.{name}")


def build(node: Mapping[str, Any], key: str, *first: Any, kind: Kind | None = None, **extra: Any) -> Any:
    """Call the `_target_` of a node with the node's other values and return the result.

    Args:
        node: the settings.
        key: the node's key, for error messages.
        first: arguments before them, which are no settings.
        kind: what the target must be; None for any class or function.
        extra: arguments after them, which are no settings.

    Raises:
        UserError: if there is no such target, or it does not accept these values.
    """
    function = find_target(node, key, kind)
    check_argument_names(function, node, key, kind)
    given = _arguments(node)
    if kind is None:
        try:
            return function(*first, **given, **extra)
        except TypeError as error:
            raise UserError(f"{key}: {' '.join(str(error).split())}") from error
    # YAML has no tuples, but betas must be a tuple
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    try:
        return function(*first, **given, **extra)
    except ARGUMENT_ERRORS as error:
        raise refusal(function, node, key, error) from error


def refusal(function: Callable[..., Any], node: Mapping[str, Any], key: str, error: Exception) -> UserError:
    """Return the error for values of a node that a class of torch does not accept."""
    shown = " ".join(f"{key}.{name}={value}" for name, value in _arguments(node).items()) or key
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{shown}: {function.__name__} does not accept this: {reason}")


def _arguments(node: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in node.items() if name != "_target_"}


def _is_of_kind(found: Any, kind: Kind) -> bool:
    is_subclass = isinstance(found, type) and issubclass(found, kind.base) and found is not kind.base
    return is_subclass and not inspect.isabstract(found)
