"""Find the settings that vary between runs, and label each run with them."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from reluviz.analysis.report.groups import Value
from reluviz.analysis.report.settings import Settings, group_leaves
from reluviz.record.settings import TARGET

Identity = tuple[Value, ...]


@dataclass(frozen=True)
class VaryingSettings:
    """What varies between runs.

    Attributes:
        keys: the settings and config groups that vary, sorted by name.
        labels: for each run, key -> value; equal for runs of the same settings.
    """

    keys: tuple[str, ...]
    labels: tuple[dict[str, Value], ...]


def varying_settings(
    runs: Sequence[Settings], leaves_of_group: Callable[[str, Collection[str | None]], frozenset[str]] = group_leaves
) -> VaryingSettings:
    """Return the settings that vary between runs, without those that follow from others.

    A setting that differs only because the choice of a config group differs is not a key: with optimizer=sgd and
    optimizer=adam, the betas of Adam follow from its name. It is a key if it varies while the choice is the same.
    A setting that all runs wrote as the same reference, such as optimizer.lr: ${step_size}, is not a key, since
    step_size is one. If some runs wrote a number instead, optimizer.lr is a key, and step_size is not.

    Args:
        runs: the settings of each run.
        leaves_of_group: returns the settings that choices of a config group without a node of its own set.
    """
    leaves = _varying_leaves(runs)
    # runs of the same settings have the same label, even if one chose explicitly what is the default of another
    identities = [tuple(run.leaves.get(key) for key in sorted(leaves)) for run in runs]
    runs = _with_choices(runs, identities)
    groups = sorted({group for run in runs for group in run.choices})
    explained: set[str] = set()
    chosen = []
    for group in groups:
        runs_by_choice: dict[str | None, list[int]] = defaultdict(list)
        for index, run in enumerate(runs):
            runs_by_choice[run.choices.get(group)].append(index)
        if len(runs_by_choice) > 1:
            node_leaves = _node_leaves(group, runs)
            scope = (node_leaves or leaves_of_group(group, runs_by_choice)) & leaves
            explained_here = {
                key
                for key in scope
                if all(_is_same([runs[index] for index in indices], key) for indices in runs_by_choice.values())
            }
            # the choice of a group without a node stands for the settings it sets only if it explains all of them
            if explained_here and (node_leaves or explained_here == scope):
                chosen.append(group)
                explained |= explained_here
    shown = leaves - explained
    shown -= {key for key in shown if (referring := _referring_leaves(key, runs)) and referring <= shown}
    named = {key: key.removesuffix(f".{TARGET}") for key in shown}
    named = {key: key if name in chosen else name for key, name in named.items()}
    labels: dict[Identity, dict[str, Value]] = {}
    for identity, run in zip(identities, runs, strict=True):
        label: dict[str, Value] = {group: run.choices.get(group) for group in chosen}
        label |= {name: run.leaves.get(key) for key, name in named.items()}
        known = labels.get(identity)
        if known is None or _sort_key(label.values()) > _sort_key(known.values()):
            labels[identity] = dict(sorted(label.items()))
    keys = tuple(sorted([*chosen, *named.values()]))
    return VaryingSettings(keys, tuple(labels[identity] for identity in identities))


def label_sort_key(label: Mapping[str, Value]) -> tuple[tuple[int, float, str], ...]:
    """Return a sort key for labels: None first, then numbers by value, then words."""
    return _sort_key(label.values())


def _sort_key(values: Iterable[Value]) -> tuple[tuple[int, float, str], ...]:
    return tuple(
        (0, 0.0, "") if value is None else (2, 0.0, value) if isinstance(value, str) else (1, float(value), "")
        for value in values
    )


def _varying_leaves(runs: Sequence[Settings]) -> set[str]:
    return {key for key in {key for run in runs for key in run.leaves} if not _is_same(runs, key)}


def _is_same(runs: Sequence[Settings], key: str) -> bool:
    """Return True if all runs have the same reference or the same value for a setting."""
    first = runs[0].references.get(key)
    if first is not None and all(run.references.get(key) == first for run in runs):
        return True
    value = runs[0].leaves.get(key)
    return all(run.leaves.get(key) == value for run in runs)


def _with_choices(runs: Sequence[Settings], identities: Sequence[Identity]) -> Sequence[Settings]:
    """Return the runs; those without recorded choices get the choices of a run with the same settings.

    If there is no such run for one of them, all runs lose their choices: an unknown choice would count as another one.
    """
    known = {identity: run.choices for identity, run in zip(identities, runs, strict=True) if run.choices}
    if any(identity not in known for identity in identities):
        return [replace(run, choices={}) for run in runs]
    return [
        replace(run, choices=run.choices or known[identity]) for identity, run in zip(identities, runs, strict=True)
    ]


def _node_leaves(group: str, runs: Sequence[Settings]) -> set[str]:
    """Return the settings in the node of a config group, such as optimizer.lr for optimizer."""
    prefix = f"{group.replace('/', '.')}."
    return {key for run in runs for key in run.leaves if key.startswith(prefix)}


def _referring_leaves(key: str, runs: Sequence[Settings]) -> set[str]:
    """Return the settings that any run wrote as a reference to this one."""
    return {user for run in runs for user, reference in run.references.items() if reference == f"${{{key}}}"}
