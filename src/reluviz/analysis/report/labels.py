"""Which settings vary between runs, and what a run is called by them."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from reluviz.analysis.report.groups import Value
from reluviz.analysis.report.settings import TARGET, Settings, global_leaves

Identity = tuple[Value, ...]


@dataclass(frozen=True)
class Varying:
    """What varies between runs.

    Attributes:
        keys: settings, and config groups whose choice varies, in the order of the alphabet.
        labels: for each run, its group's key -> value.
    """

    keys: tuple[str, ...]
    labels: tuple[dict[str, Value], ...]


def vary(runs: Sequence[Settings], of_group: Callable[[str], frozenset[str]] = global_leaves) -> Varying:
    """Return what varies between runs.

    A setting that differs only because a choice differs is no key of its own: where optimizer=sgd and optimizer=adam
    are compared, that Adam has betas is said by its name. It is one if it varies while the choice is the same. So is
    a reference, such as an optimizer.lr of ${step_size}: what it refers to varies. Where it is one nevertheless,
    because some runs have a number instead, what it refers to is none.

    Args:
        runs: their settings.
        of_group: the leaves that the choices of a config group set, where it has no node of its own.
    """
    leaves = _varying_leaves(runs)
    # runs of the same settings have the same name, though one may have chosen what another one had anyway
    identities = [tuple(run.leaves.get(key) for key in sorted(leaves)) for run in runs]
    runs = _with_choices(runs, identities)
    groups = sorted({group for run in runs for group in run.choices})
    explained: set[str] = set()
    chosen = []
    for group in groups:
        classes: dict[str | None, list[int]] = defaultdict(list)
        for at, run in enumerate(runs):
            classes[run.choices.get(group)].append(at)
        if len(classes) > 1:
            own = _own(group, runs)
            scope = (own or of_group(group)) & leaves
            said = {key for key in scope if all(_same([runs[at] for at in one], key) for one in classes.values())}
            # a choice without a node of its own is a name for a few settings: for all of them, or it misleads
            if said and (own or said == scope):
                chosen.append(group)
                explained |= said
    shown = leaves - explained
    shown -= {key for key in shown if (users := _users(key, runs)) and users <= shown}
    named = {key: key.removesuffix(f".{TARGET}") for key in shown}
    named = {key: key if name in chosen else name for key, name in named.items()}
    labels: dict[Identity, dict[str, Value]] = {}
    for identity, run in zip(identities, runs, strict=True):
        label: dict[str, Value] = {group: run.choices.get(group) for group in chosen}
        label |= {name: run.leaves.get(key) for key, name in named.items()}
        known = labels.get(identity)
        if known is None or _order(label.values()) > _order(known.values()):
            labels[identity] = dict(sorted(label.items()))
    keys = tuple(sorted([*chosen, *named.values()]))
    return Varying(keys, tuple(labels[identity] for identity in identities))


def by_value(label: Mapping[str, Value]) -> tuple[tuple[int, float, str], ...]:
    """Return what sorts labels: numbers as numbers, before words."""
    return _order(label.values())


def _order(values: Iterable[Value]) -> tuple[tuple[int, float, str], ...]:
    return tuple(
        (0, 0.0, "") if one is None else (2, 0.0, one) if isinstance(one, str) else (1, float(one), "")
        for one in values
    )


def _varying_leaves(runs: Sequence[Settings]) -> set[str]:
    return {key for key in {key for run in runs for key in run.leaves} if not _same(runs, key)}


def _same(runs: Sequence[Settings], key: str) -> bool:
    """Say whether a setting is the same in all runs: written alike as a reference, or of one value."""
    first = runs[0].written.get(key)
    if first is not None and all(run.written.get(key) == first for run in runs):
        return True
    value = runs[0].leaves.get(key)
    return all(run.leaves.get(key) == value for run in runs)


def _with_choices(runs: Sequence[Settings], identities: Sequence[Identity]) -> Sequence[Settings]:
    """Return the runs, those that do not tell their choices with those of a run of the same settings.

    Where there is none, nobody has any: a choice that is unknown would be taken for another one.
    """
    known = {identity: run.choices for identity, run in zip(identities, runs, strict=True) if run.choices}
    if any(identity not in known for identity in identities):
        return [replace(run, choices={}) for run in runs]
    return [replace(run, choices=run.choices or known[at]) for at, run in zip(identities, runs, strict=True)]


def _own(group: str, runs: Sequence[Settings]) -> set[str]:
    """Return the leaves of a config group's own node."""
    prefix = f"{group.replace('/', '.')}."
    return {key for run in runs for key in run.leaves if key.startswith(prefix)}


def _users(key: str, runs: Sequence[Settings]) -> set[str]:
    """Return the leaves that any run has written as references to this one."""
    return {user for run in runs for user, reference in run.written.items() if reference == f"${{{key}}}"}
