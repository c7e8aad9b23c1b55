"""Which differences exceed the seeds' spread: paired by seed, counted exactly, corrected for how many there are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from reluviz.analysis.report.findings import FEWEST, compare
from reluviz.analysis.report.groups import Group, Groups, Replica, Value

NONE = np.zeros(0, np.int64)


def group(
    settings: Mapping[str, Value],
    values: Sequence[float],
    first: int = 0,
    status: str = "finished",
    tag: str = "loss/test",
) -> Group:
    replicas = tuple(Replica(Path(f"run{seed}"), 0, seed, status) for seed in range(first, first + len(values)))
    return Group(settings, replicas, {tag: np.array(values, dtype=float)}, NONE, {})


def study(*groups: Group) -> Groups:
    return Groups((Path("logs"),), groups, tuple(groups[0].settings), (), len(groups))


def of_optimizers(**losses: Sequence[float]) -> Groups:
    return study(*(group({"optimizer": name}, values) for name, values in losses.items()))


def test_a_difference_in_every_seed_exceeds_their_spread_however_small() -> None:
    luck = np.random.default_rng(0).lognormal(sigma=2, size=30)
    (found,) = compare(of_optimizers(sgd=luck, adam=0.41 * luck), "loss/test")
    assert (found.better, found.worse, found.verdict) == ("adam", "sgd", "differs")
    assert (found.seeds, found.wins, found.losses) == (30, 30, 0)
    assert found.effect == pytest.approx(0.41)
    assert found.p == found.adjusted == 2 / 2**30
    assert found.sentence == (
        "adam beats sgd: loss/test 0.41x (median over 30 shared seeds), smaller in 30 of 30; exceeds the seeds' spread"
        " (p = 2e-09)"
    )
    (found,) = compare(of_optimizers(sgd=luck, adam=0.999 * luck), "loss/test")
    assert found.verdict == "differs"


def test_what_only_the_seeds_make_does_not_exceed_their_spread() -> None:
    random = np.random.default_rng(0)
    (found,) = compare(of_optimizers(sgd=random.lognormal(size=30), adam=random.lognormal(size=30)), "loss/test")
    assert found.verdict == "alike"
    assert found.wins + found.losses == 30
    assert "no difference beyond the seeds' spread" in found.sentence
    assert found.p > 0.05


def test_groups_are_paired_by_seed_and_not_by_place() -> None:
    values = np.arange(1.0, 13.0)
    a = group({"optimizer": "a"}, values)
    # its seeds are 4 to 15: the shared ones are 4 to 11
    b = group({"optimizer": "b"}, 2 * np.arange(5.0, 17.0), first=4)
    (found,) = compare(study(a, b), "loss/test")
    assert (found.seeds, found.wins) == (8, 8)
    assert found.effect == pytest.approx(0.5)


@pytest.mark.parametrize("shared", range(8))
def test_fewer_than_six_shared_seeds_cannot_tell(shared: int) -> None:
    (found,) = compare(of_optimizers(a=[1.0] * shared, b=[2.0] * shared), "loss/test")
    if shared < FEWEST:
        assert found.verdict == "unknown"
        assert "cannot be told" in found.sentence
        assert np.isnan(found.p)
    else:
        assert (found.verdict, found.p) == ("differs", 2 / 2**shared)


def test_comparisons_are_counted_together() -> None:
    # ten pairs of groups; 7 seeds on one side have p = 0.0156, which is nothing among ten
    groups = [
        group({"width": width, "optimizer": name}, [value] * 7)
        for width in range(10)
        for name, value in (("a", 1.0), ("b", 2.0))
    ]
    found = [one for one in compare(study(*groups), "loss/test") if one.key == "optimizer"]
    assert len(found) == 10
    assert {one.p for one in found} == {2 / 2**7}
    assert {one.verdict for one in found} == {"unknown"}
    assert all("7 seeds in" in one.sentence for one in found)
    # alone it is one
    (found,) = compare(study(*groups[:2]), "loss/test")
    assert found.verdict == "differs"


def test_only_groups_that_differ_in_one_setting_are_compared() -> None:
    groups = [
        group({"model.width": width, "optimizer": name}, np.full(30, width + len(name)))
        for width in (10, 20, 40)
        for name in ("sgd", "adam")
    ]
    found = compare(study(*groups), "loss/test")
    # three widths for each optimiser, two optimisers at each width
    assert len(found) == 2 * 3 + 3
    by_width = {tuple(one.settings.items()) for one in found if one.key == "model.width"}
    assert by_width == {(("optimizer", "sgd"),), (("optimizer", "adam"),)}
    assert "sgd beats adam at model.width=10: " in " ".join(one.sentence for one in found)
    assert "model.width=10 beats model.width=40 at optimizer=adam: " in " ".join(one.sentence for one in found)


def test_with_very_many_groups_only_neighbours_are_compared() -> None:
    groups = [group({"lr": lr}, np.full(6, lr)) for lr in range(100)]
    found = compare(study(*groups), "loss/test")
    assert {(one.better, one.worse) for one in found} == {(lr, lr + 1) for lr in range(99)}


def test_a_replica_that_diverged_has_lost_and_two_of_them_are_equal() -> None:
    inf = np.inf
    (found,) = compare(of_optimizers(a=[inf] * 10 + [1.0] * 2, b=[1.0] * 8 + [inf] * 2 + [1.0] * 2), "loss/test")
    assert (found.better, found.wins, found.losses) == ("b", 8, 0)
    assert found.effect == 0
    assert found.p == 2 / 2**8
    (found,) = compare(of_optimizers(a=[inf] * 8, b=[inf] * 8), "loss/test")
    assert (found.wins, found.losses, found.effect, found.verdict) == (0, 0, 1, "alike")
    (found,) = compare(of_optimizers(a=[0.0] * 8, b=[1.0] * 8), "loss/test")
    assert (found.better, found.effect) == ("a", 0)


def test_a_replica_that_was_stopped_by_another_one_is_in_no_pair() -> None:
    stopped = group({"optimizer": "a"}, [np.inf] * 7 + [0.1] * 5, status="diverged")
    (found,) = compare(study(stopped, group({"optimizer": "b"}, [1.0] * 12)), "loss/test")
    assert (found.seeds, found.better, found.wins) == (7, "b", 7)


def test_what_is_no_loss_is_compared_by_its_difference() -> None:
    groups = [group({"optimizer": name}, [value] * 8, tag="units/dead") for name, value in (("a", 5.0), ("b", 2.0))]
    (found,) = compare(study(*groups), "units/dead")
    assert (found.better, found.kind, found.effect) == ("b", "difference", -3)
    assert found.sentence.startswith("b is below a: units/dead -3 (median over 8 shared seeds)")


def test_a_metric_that_no_group_has_gives_no_findings() -> None:
    assert compare(of_optimizers(a=[1.0], b=[2.0]), "theta") == []
