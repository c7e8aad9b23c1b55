"""Differences between groups are tested pairwise by seed, exactly, and corrected for the number of comparisons."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from reluviz.analysis.report.findings import MIN_SEEDS, compare
from reluviz.analysis.report.groups import Group, Groups, Replica, Value

NO_UPDATES = np.zeros(0, np.int64)


def make_group(
    settings: Mapping[str, Value],
    values: Sequence[float],
    first_seed: int = 0,
    status: str = "finished",
    tag: str = "loss/test",
) -> Group:
    replicas = tuple(
        Replica(Path(f"run{seed}"), 0, seed, status) for seed in range(first_seed, first_seed + len(values))
    )
    return Group(settings, replicas, {tag: np.array(values, dtype=float)}, NO_UPDATES, {})


def make_groups(*groups: Group) -> Groups:
    return Groups((Path("logs"),), groups, tuple(groups[0].settings), (), len(groups))


def optimizer_groups(**losses: Sequence[float]) -> Groups:
    return make_groups(*(make_group({"optimizer": name}, values) for name, values in losses.items()))


def test_a_small_difference_in_every_seed_exceeds_the_spread() -> None:
    losses = np.random.default_rng(0).lognormal(sigma=2, size=30)
    (found,) = compare(optimizer_groups(sgd=losses, adam=0.41 * losses), "loss/test")
    assert (found.better, found.worse, found.verdict) == ("adam", "sgd", "differs")
    assert (found.seeds, found.wins, found.losses) == (30, 30, 0)
    assert found.effect == pytest.approx(0.41)
    assert found.p == found.adjusted == 2 / 2**30
    assert found.sentence == (
        "adam beats sgd: loss/test 0.41x (median over 30 shared seeds), smaller in 30 of 30; exceeds the seeds' spread"
        " (p = 2e-09)"
    )
    (found,) = compare(optimizer_groups(sgd=losses, adam=0.999 * losses), "loss/test")
    assert found.verdict == "differs"


def test_a_difference_due_to_seeds_alone_does_not_exceed_the_spread() -> None:
    random = np.random.default_rng(0)
    (found,) = compare(optimizer_groups(sgd=random.lognormal(size=30), adam=random.lognormal(size=30)), "loss/test")
    assert found.verdict == "alike"
    assert found.wins + found.losses == 30
    assert "no difference beyond the seeds' spread" in found.sentence
    assert found.p > 0.05


def test_groups_are_paired_by_seed_and_not_by_position() -> None:
    values = np.arange(1.0, 13.0)
    a = make_group({"optimizer": "a"}, values)
    # its seeds are 4 to 15: the shared ones are 4 to 11
    b = make_group({"optimizer": "b"}, 2 * np.arange(5.0, 17.0), first_seed=4)
    (found,) = compare(make_groups(a, b), "loss/test")
    assert (found.seeds, found.wins) == (8, 8)
    assert found.effect == pytest.approx(0.5)


@pytest.mark.parametrize("shared", range(8))
def test_fewer_than_six_shared_seeds_give_an_unknown_verdict(shared: int) -> None:
    (found,) = compare(optimizer_groups(a=[1.0] * shared, b=[2.0] * shared), "loss/test")
    if shared < MIN_SEEDS:
        assert found.verdict == "unknown"
        assert "cannot be told" in found.sentence
        assert np.isnan(found.p)
    else:
        assert (found.verdict, found.p) == ("differs", 2 / 2**shared)


def test_p_values_are_corrected_for_the_number_of_comparisons() -> None:
    # ten pairs of groups; 7 seeds on one side give p = 0.0156, which is not significant among ten
    groups = [
        make_group({"width": width, "optimizer": name}, [value] * 7)
        for width in range(10)
        for name, value in (("a", 1.0), ("b", 2.0))
    ]
    found = [finding for finding in compare(make_groups(*groups), "loss/test") if finding.key == "optimizer"]
    assert len(found) == 10
    assert {finding.p for finding in found} == {2 / 2**7}
    assert {finding.verdict for finding in found} == {"unknown"}
    assert all("7 seeds in" in finding.sentence for finding in found)
    # alone it is significant
    (found,) = compare(make_groups(*groups[:2]), "loss/test")
    assert found.verdict == "differs"


def test_only_groups_that_differ_in_one_setting_are_compared() -> None:
    groups = [
        make_group({"model.width": width, "optimizer": name}, np.full(30, width + len(name)))
        for width in (10, 20, 40)
        for name in ("sgd", "adam")
    ]
    found = compare(make_groups(*groups), "loss/test")
    # three widths for each optimiser, two optimisers at each width
    assert len(found) == 2 * 3 + 3
    by_width = {tuple(finding.settings.items()) for finding in found if finding.key == "model.width"}
    assert by_width == {(("optimizer", "sgd"),), (("optimizer", "adam"),)}
    assert "sgd beats adam at model.width=10: " in " ".join(finding.sentence for finding in found)
    assert "model.width=10 beats model.width=40 at optimizer=adam: " in " ".join(finding.sentence for finding in found)


def test_of_very_many_groups_only_adjacent_values_are_compared() -> None:
    groups = [make_group({"lr": lr}, np.full(6, lr)) for lr in range(100)]
    found = compare(make_groups(*groups), "loss/test")
    assert {(finding.better, finding.worse) for finding in found} == {(lr, lr + 1) for lr in range(99)}


def test_a_diverged_replica_is_worse_than_others_and_equal_to_another_diverged_one() -> None:
    inf = np.inf
    (found,) = compare(optimizer_groups(a=[inf] * 10 + [1.0] * 2, b=[1.0] * 8 + [inf] * 2 + [1.0] * 2), "loss/test")
    assert (found.better, found.wins, found.losses) == ("b", 8, 0)
    assert found.effect == 0
    assert found.p == 2 / 2**8
    (found,) = compare(optimizer_groups(a=[inf] * 8, b=[inf] * 8), "loss/test")
    assert (found.wins, found.losses, found.effect, found.verdict) == (0, 0, 1, "alike")
    (found,) = compare(optimizer_groups(a=[0.0] * 8, b=[1.0] * 8), "loss/test")
    assert (found.better, found.effect) == ("a", 0)


def test_a_replica_stopped_because_another_one_diverged_is_not_compared() -> None:
    stopped = make_group({"optimizer": "a"}, [np.inf] * 7 + [0.1] * 5, status="diverged")
    (found,) = compare(make_groups(stopped, make_group({"optimizer": "b"}, [1.0] * 12)), "loss/test")
    assert (found.seeds, found.better, found.wins) == (7, "b", 7)


def test_a_metric_that_is_not_a_loss_is_compared_by_difference() -> None:
    groups = [
        make_group({"optimizer": name}, [value] * 8, tag="units/dead") for name, value in (("a", 5.0), ("b", 2.0))
    ]
    (found,) = compare(make_groups(*groups), "units/dead")
    assert (found.better, found.kind, found.effect) == ("b", "difference", -3)
    assert found.sentence.startswith("b is below a: units/dead -3 (median over 8 shared seeds)")


def test_a_metric_that_no_group_has_gives_no_findings() -> None:
    assert compare(optimizer_groups(a=[1.0], b=[2.0]), "theta") == []
