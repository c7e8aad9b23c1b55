"""What became of a run, judged from synthetic curves: when each finding holds, which comes first, what it advises."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from reluviz.core import findings
from reluviz.core.findings import ORDER, Finding, first_findings, from_plain
from reluviz.core.run_facts import (
    OutputLayer,
    RunFacts,
    SettingNames,
    first_of_last_stretch,
    last_tenth,
    neighbour_noise,
)
from reluviz.core.setting_advice import one_digit, two_digits_up
from reluviz.core.theory import relu
from reluviz.core.verdicts import FAR, MOST, NOTICEABLE, SWING, find

Array = NDArray[np.float64]
UPDATES = np.arange(0, 10_001, 100)
S = len(UPDATES)
COMMAND = SettingNames("step_size", "model.", "data.scale=auto", "null")


def facts(*r_squared: Array | float, variance: float = 1.0, width: int = 8, **known: object) -> RunFacts:
    """Return the facts of a network whose replicas have these R^2, constant or at each of the S snapshots."""
    columns = [np.broadcast_to(np.asarray(one, dtype=float), (S,)) for one in r_squared]
    loss = variance * (1 - np.stack(columns, axis=1))
    replicas = loss.shape[1]
    none = np.zeros((S, replicas), dtype=np.int64)
    settled = {"dead": none, "linear": none} if width else {}
    usual: dict[str, object] = {
        "planned": int(UPDATES[-1]),
        "diverged": np.zeros(replicas, dtype=bool),
        "rate": 0.02,
        "names": COMMAND,
        "hidden_trained": True,
        "output_trained": True,
    }
    return RunFacts(updates=UPDATES, loss=loss, variance=variance, width=width, **(usual | settled | known))


def grown(end: float, rate: float = 10.0) -> Array:
    """Return a curve from 0 towards `end`, which has arrived by the last tenth."""
    return end * (1 - np.exp(-rate * UPDATES / UPDATES[-1]))


def names(run: RunFacts) -> list[str]:
    return [finding.name for finding in find(run)]


def one(run: RunFacts, name: str) -> Finding:
    (found,) = [finding for finding in find(run) if finding.name == name]
    return found


def counts(*columns: list[int]) -> NDArray[np.int64]:
    """Return unit counts [S, R] that change from one value to the next at equal distances."""
    places = [np.minimum(np.arange(S) * len(column) // S, len(column) - 1) for column in columns]
    return np.stack([np.array(column)[place] for column, place in zip(columns, places, strict=True)], axis=1)


def test_a_run_that_fits_has_learned_and_nothing_else() -> None:
    run = facts(grown(0.95), least_squares=np.array([0.04]))
    assert find(run) == (Finding("learned", "learned: R^2 = 0.95 on the training points", "", (0,), 1),)


@pytest.mark.parametrize("variance", [1e-12, 1.0, 1e12])
def test_the_units_of_y_do_not_matter(variance: float) -> None:
    curves = grown(0.95), grown(0.5), grown(0.004), grown(0.7, 2.0), -grown(2.0)
    assert [replace(f, text="") for f in find(facts(*curves, variance=variance))] == [
        replace(f, text="") for f in find(facts(*curves))
    ]


def test_no_better_than_a_constant_ends_at_its_threshold() -> None:
    text = one(facts(grown(NOTICEABLE)), "no_better_than_constant").text
    assert text == "no better than a constant: R^2 = 0.01 is not above 0.01"
    assert "no_better_than_constant" not in names(facts(grown(NOTICEABLE + 1e-3)))
    assert "no_better_than_constant" not in names(facts(grown(0.004), optimum=1.0, width=0))


def test_a_loss_higher_than_at_the_start_is_told_with_both_losses() -> None:
    found = one(facts(-grown(3.0), variance=2.0), "higher_than_at_start")
    assert found.text == "the loss is higher than at the start: 8 after 2"
    assert found.advice == "try step_size=0.004"
    assert "higher_than_at_start" not in names(facts(-grown(0.9 * NOTICEABLE)))
    assert "higher_than_at_start" in names(facts(-grown(1.1 * NOTICEABLE)))


def test_all_units_dead_names_the_first_update_of_the_last_stretch() -> None:
    # dead, alive again, dead for good from the third quarter on
    run = facts(grown(0.0), dead=counts([8, 0, 8, 8]))
    found = one(run, "all_units_dead")
    since = int(UPDATES[np.flatnonzero(run.dead[:, 0] == 0)[-1] + 1])
    assert f"since update {since:,}," in found.text
    assert found.text.startswith("all 8 units are dead")
    assert names(run)[0] == "all_units_dead"
    assert "all_units_dead" not in names(facts(0.0, dead=counts([8, 8, 8, 7])))


def test_dead_units_call_for_a_smaller_step_if_training_killed_them_and_for_other_elbows_if_not() -> None:
    killed = facts(0.0, dead=counts([0, 8]), rate=1.0, stable_step=lambda: 0.75)
    assert one(killed, "all_units_dead").advice == "try step_size=0.03"
    born = replace(killed, dead=counts([8]))
    assert one(born, "all_units_dead").advice == "try model.elbows=uniform"
    frozen = replace(killed, hidden_trained=False)
    assert one(frozen, "all_units_dead").advice == "try model.elbows=uniform"
    given = replace(frozen, placed_by=("positions",))
    assert one(given, "all_units_dead").advice == "try model.elbows=uniform model.positions=null"


def test_most_units_dead_begins_at_half_of_them() -> None:
    half = int(MOST * 8)
    found = one(facts(grown(0.6), dead=counts([0, half])), "most_units_dead")
    assert found.text == f"4 of 8 units are dead, half of them since update {UPDATES[51]:,}; R^2 = 0.6"
    assert "most_units_dead" not in names(facts(grown(0.6), dead=counts([0, half - 1])))
    assert "most_units_dead" not in names(facts(grown(0.6), dead=counts([0, 8])))


def test_no_bent_unit_needs_every_unit_on_one_side_of_all_points() -> None:
    straight = facts(grown(0.6), dead=counts([3]), linear=counts([0, 5]))
    assert f"since update {UPDATES[51]:,}" in one(straight, "no_bent_unit").text
    assert "no_bent_unit" not in names(replace(straight, linear=counts([0, 4])))
    # dead units alone are another finding
    assert "no_bent_unit" not in names(facts(0.0, dead=counts([8])))


def test_still_falling_is_measured_in_the_last_tenth() -> None:
    straight = 0.5 * UPDATES / UPDATES[-1]
    found = one(facts(straight), "still_falling")
    assert found.text == "still falling: R^2 = 0.5, up by 0.05 in the last tenth of the run"
    assert found.advice == "try updates=50000"
    assert "still_falling" not in names(facts(0.9 * NOTICEABLE * 10 * UPDATES / UPDATES[-1]))
    assert "still_falling" in names(facts(1.1 * NOTICEABLE * 10 * UPDATES / UPDATES[-1]))
    assert "still_falling" not in names(facts(straight, ridge=1e-5))


@pytest.mark.parametrize("level", [0.001, 0.01, 0.04])
def test_a_run_at_its_noise_level_is_hardly_ever_called_still_falling(level: float) -> None:
    random = np.random.default_rng(0)
    columns = 0.8 + level * random.normal(size=(400, S))
    (holds,) = [f.replicas for f in find(facts(*columns)) if f.name == "still_falling"] or [()]
    # Student's t with 9 degrees of freedom exceeds 3 in 7 of 1,000 cases
    assert len(holds) <= 10


def test_a_rise_above_the_noise_is_seen() -> None:
    random = np.random.default_rng(0)
    rising = 0.6 * UPDATES / UPDATES[-1] + 0.01 * random.normal(size=(100, S))
    assert len(one(facts(*rising), "still_falling").replicas) > 90


def test_fluctuating_is_a_standard_deviation_about_the_trend() -> None:
    zigzag = np.where(np.arange(S) % 2, 1.0, -1.0)
    found = one(facts(0.5 + 0.08 * zigzag), "fluctuating")
    assert found.text == "fluctuating: R^2 = 0.42, give or take 0.08 in the last tenth of the run"
    assert "fluctuating" not in names(facts(0.5 + 0.9 * SWING * zigzag))
    assert "fluctuating" not in names(facts(0.5 * UPDATES / UPDATES[-1]))


@pytest.mark.parametrize("seed", range(20))
def test_the_last_tenth_of_a_straight_line_is_a_tenth_of_its_rise_however_it_is_sampled(seed: int) -> None:
    random = np.random.default_rng(seed)
    updates = np.unique(np.append(random.integers(0, 10_000, random.integers(2, 60)), [0, 10_000]))
    slopes = random.normal(size=3)
    found = last_tenth(updates, updates[:, None] * slopes / 10_000)
    np.testing.assert_allclose(found.rise, slopes / 10, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.swing, 0, atol=1e-12)


def test_with_few_snapshots_only_a_rise_in_order_counts() -> None:
    updates = np.array([0, 1, 1000, 2000])
    curve = np.array([[0.0, 0.0], [0.0, 0.0], [0.4, 0.9], [0.8, 0.8]])
    np.testing.assert_allclose(last_tenth(updates, curve).rise, [0.08, 0.0])
    assert last_tenth(np.array([0]), np.zeros((1, 2))).rise.tolist() == [0, 0]


def test_the_last_stretch_begins_after_the_last_exception() -> None:
    holds = np.array([[1, 0, 1, 0], [0, 0, 1, 1], [1, 0, 1, 1], [1, 1, 1, 0]], dtype=bool)
    assert first_of_last_stretch(np.array([0, 1, 10, 20]), holds).tolist() == [10, 20, 0, 20]


def test_the_noise_between_neighbours_is_that_of_the_points() -> None:
    x = np.linspace(0, 1, 20_000)
    noise = 0.3 * np.random.default_rng(0).normal(size=len(x))
    assert neighbour_noise(np.sin(5 * x) + noise) == pytest.approx(0.09, rel=0.03)
    assert neighbour_noise(np.array([0.0, 1.0, 1.0])) == pytest.approx(0.25)


def test_learned_in_part_allows_for_noise() -> None:
    found = one(facts(grown(0.6)), "learned_in_part")
    assert found.text == "learned in part: R^2 = 0.6, and the noise between neighbouring points leaves 1"
    assert found.advice == "try model.width=16"
    assert names(facts(grown(0.6), noise=0.35)) == ["learned"]
    assert names(facts(grown(0.6), noise=0.25)) == ["learned_in_part"]


def test_far_above_least_squares_begins_at_its_threshold() -> None:
    found = one(facts(grown(0.6), least_squares=np.array([0.2])), "far_above_least_squares")
    assert found.text == "far above least squares on the same elbows: R^2 = 0.6, not 0.8"
    for gap, holds in ((0.9 * FAR, False), (1.1 * FAR, True)):
        run = facts(grown(0.6), least_squares=np.array([0.4 - gap]))
        assert ("far_above_least_squares" in names(run)) == holds
    frozen = facts(grown(0.6), least_squares=np.array([0.2]), output_trained=False)
    assert "far_above_least_squares" not in names(frozen)
    # only the first replicas have a solution
    several = facts(grown(0.6), grown(0.6), least_squares=np.array([0.2]))
    assert one(several, "far_above_least_squares").replicas == (0,)


def output_layer(lr: float) -> OutputLayer:
    random = np.random.default_rng(3)
    phi = np.append(random.uniform(size=(50, 3)) * [1, 0.1, 0.01], np.ones((50, 1)), axis=1)
    y = phi @ [1.0, 10.0, 100.0, 0.5]
    return OutputLayer(phi, y, len(y), float(np.var(y)), np.zeros(4), lr)


def test_far_above_least_squares_counts_the_missing_updates_where_theory_can() -> None:
    layer = output_layer(0.1)
    run = facts(grown(0.6), least_squares=np.array([0.0]), output_layer=lambda r: layer, hidden_trained=False, rate=0.1)
    goal = FAR / 2 * np.var(layer.y)
    missing = relu.updates_to_reach(layer.phi, layer.y, layer.theta, layer.lr, goal)
    assert 1e4 < missing < 1e7
    found = one(run, "far_above_least_squares")
    assert found.text.endswith(f"; in theory about {float(f'{missing:.1e}'):,.0f} updates are missing")
    assert found.advice == "try model.train=ridge, which solves the output layer"
    # few missing updates can be made
    soon = replace(run, planned=10**8, updates=UPDATES * 10**5)
    assert one(soon, "far_above_least_squares").advice.startswith("try updates=1")
    # without theory no number, and a run that still falls needs no other finding
    unknown = replace(run, output_layer=None)
    assert "theory" not in one(unknown, "far_above_least_squares").text
    assert names(facts(0.6 * UPDATES / UPDATES[-1], least_squares=np.array([0.0])))[0] == "still_falling"


def test_a_solved_output_layer_calls_for_a_smaller_penalty() -> None:
    run = facts(0.6, least_squares=np.array([0.2]), ridge=5.0)
    assert one(run, "far_above_least_squares").advice == "try model.ridge=0.005"
    assert one(facts(0.0, ridge=5.0), "no_better_than_constant").advice == "try model.ridge=0.005"
    assert one(facts(0.0, ridge=0.0), "no_better_than_constant").advice == ""


def one_parameter(excess: Array | float, rho: float | None, **known: object) -> RunFacts:
    """Return the facts of a linear model whose loss exceeds the optimum's, 1.5, by `excess`; var(y) = 1."""
    return facts(
        1 - 1.5 - np.asarray(excess),
        width=0,
        optimum=1.5,
        contraction=rho,
        hidden_trained=False,
        stable_step=lambda: 3.0,
        **known,
    )


def test_a_model_of_one_parameter_is_measured_by_its_optimum() -> None:
    assert names(one_parameter(0.9 * NOTICEABLE, 0.9)) == ["at_optimum"]
    found = one(one_parameter(1.1 * NOTICEABLE, 0.9), "far_from_optimum")
    assert found.text == "theta is far from its optimum: the loss is 1.511, 1.5 there"
    assert one(one_parameter(0.0, 0.9), "at_optimum").text == "theta has reached its optimum: loss 1.5, R^2 = -0.5"


def test_the_way_to_the_optimum_depends_on_the_contraction() -> None:
    rho, start = 1 - 1e-4, 1.0
    curve = start * rho ** (2.0 * UPDATES)
    run = one_parameter(curve, rho, rate=1e-4)
    (advice,) = [finding.advice for finding in find(run) if finding.name == "far_from_optimum"]
    updates = int(advice.removeprefix("try updates="))
    assert start * rho ** (2 * updates) < NOTICEABLE < curve[-1]
    # much too slow, beyond half the limit, and kept away by noise
    assert one(one_parameter(1.0, 1 - 1e-9, rate=1e-9), "far_from_optimum").advice == "try step_size=1"
    assert one(one_parameter(1.0, -1.0, rate=3.0), "far_from_optimum").advice == "try step_size=1"
    assert one(one_parameter(0.1, 0.5, rate=0.8), "far_from_optimum").advice == "try step_size=0.1"
    assert one(one_parameter(0.1, None, rate=None), "far_from_optimum").advice == "try updates=50000"


def test_a_diverged_replica_is_told_with_its_advice_and_the_others_were_stopped() -> None:
    run = facts(
        grown(0.95), np.full(S, -1e9), np.full(S, np.nan),
        diverged=np.array([False, True, False]), planned=50_000, divergence_advice="the limit is 3",
    )  # fmt: skip
    first, second, third = find(run)[:3]
    assert (first.name, first.replicas, first.advice) == ("diverged", (1, 2), "the limit is 3")
    assert first.line == "2 of 3 replicas: diverged by update 10,000; the limit is 3"
    assert (second.name, second.replicas) == ("stopped_early", (0,))
    assert second.text == "stopped after 10,000 of 50,000 updates, when another replica diverged"
    assert (third.name, third.replicas) == ("learned", (0,))


def test_a_run_that_was_interrupted_stopped_early() -> None:
    found = one(facts(grown(0.95), planned=10_001), "stopped_early")
    assert (found.text, found.advice) == ("stopped after 10,000 of 10,001 updates", "resume the run")
    assert "stopped_early" not in names(facts(grown(0.95), planned=10_000))


FAILED = {
    "diverged": facts(0.5, diverged=np.array([True])),
    "dead": facts(0.0, dead=counts([0, 8])),
    "no better": facts(0.0),
    "higher": facts(-grown(1.0)),
}


@pytest.mark.parametrize("failed", FAILED.values(), ids=FAILED)
def test_a_failure_on_data_far_from_one_calls_for_scaling(failed: RunFacts) -> None:
    far = replace(failed, x_range=(1.5e9, 1.6e9), y_range=(-2.0, 3.0))
    found = find(far)[0]
    assert (found.name, found.advice) == ("unscaled", "try data.scale=auto")
    assert "x goes from 1.5e+09 to 1.6e+09" in found.text
    assert "y goes" not in found.text
    assert "unscaled" not in names(replace(far, scaled=True))
    assert "unscaled" not in names(failed)


@pytest.mark.parametrize(
    ("low", "high", "far"),
    [(0, 1, False), (-9, 9, False), (0, 11, True), (5, 5.05, True), (5, 5.2, False), (-20, 1, True)],
)
def test_data_are_far_from_one_by_size_or_by_a_small_range(low: float, high: float, far: bool) -> None:
    for name in ("x_range", "y_range"):
        assert ("unscaled" in names(replace(facts(0.0), **{name: (low, high)}))) == far


def test_equal_y_are_not_told_to_scale_unless_the_run_diverges() -> None:
    rising = replace(facts(0.0, x_range=(0.0, 100.0)), variance=0.0, loss=np.linspace(1, 2, S)[:, None])
    assert names(rising) == ["higher_than_at_start", "all_y_equal"]
    assert names(replace(rising, diverged=np.array([True])))[0] == "unscaled"


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (0.9994, "0.999"), (0.9995123, "0.999512"), (0.9999999, "0.99999"), (0.95, "0.95")]
)
def test_only_a_perfect_fit_has_an_r_squared_of_1(value: float, text: str) -> None:
    assert one(facts(value), "learned").text == f"learned: R^2 = {text} on the training points"


def test_a_run_that_learned_is_not_told_to_scale() -> None:
    assert names(facts(grown(0.95), x_range=(0.0, 1e9), y_range=(0.0, 1e9))) == ["learned"]


def test_in_python_advice_names_arguments() -> None:
    names_in_python = SettingNames()
    assert one(facts(grown(0.5), names=names_in_python), "learned_in_part").advice == "try width=16"
    assert one(facts(-grown(3.0), names=names_in_python), "higher_than_at_start").advice == "try lr=0.004"
    far = facts(0.0, names=names_in_python, x_range=(0.0, 100.0))
    assert one(far, "unscaled").advice == 'try scale="auto" for the data set'


def test_equal_y_leave_nothing_to_measure_by() -> None:
    run = facts(0.5, variance=1.0)
    assert names(replace(run, variance=0.0)) == ["all_y_equal"]
    assert names(replace(run, variance=0.0, loss=run.loss * np.linspace(1, 2, S)[:, None])) == [
        "higher_than_at_start",
        "all_y_equal",
    ]
    assert names(replace(run, variance=0.0, dead=counts([8])))[0] == "all_units_dead"


@pytest.mark.parametrize("snapshots", [1, 2, 3])
def test_runs_of_few_snapshots_are_judged_too(snapshots: int) -> None:
    run = facts(grown(0.95), 0.0, -1.0)
    short = replace(run, updates=UPDATES[:snapshots] // 100, planned=snapshots - 1, loss=run.loss[:snapshots])
    short = replace(short, dead=run.dead[:snapshots], linear=run.linear[:snapshots])
    assert {r for finding in find(short) for r in finding.replicas} == {0, 1, 2}
    assert "no_better_than_constant" in names(short)


@pytest.mark.parametrize("seed", range(40))
def test_every_replica_has_findings_in_order_of_rank_which_equal_those_of_it_alone(seed: int) -> None:
    random = np.random.default_rng(seed)
    replicas = int(random.integers(1, 6))
    curves = [
        grown(random.uniform(-1, 1), random.uniform(0.1, 20)) + random.exponential(0.02) * random.normal(size=S)
        for _ in range(replicas)
    ]
    dead = counts(*([0, int(random.integers(0, 9))] for _ in range(replicas)))
    run = facts(
        *curves,
        dead=dead,
        linear=np.minimum(8 - dead, int(random.integers(0, 9))),
        diverged=random.uniform(size=replicas) < 0.2,
        planned=10_000 + int(random.integers(0, 2)),
        least_squares=random.uniform(0, 1, replicas),
        noise=random.uniform(0, 0.5),
    )
    found = find(run)
    assert [f.name for f in found] == sorted((f.name for f in found), key=ORDER.index)
    assert from_plain([f.plain() for f in found]) == found
    for r in range(replicas):
        some = slice(r, r + 1)
        alone = replace(
            run,
            loss=run.loss[:, some],
            diverged=run.diverged[some],
            dead=run.dead[:, some],
            linear=run.linear[:, some],
            least_squares=run.least_squares[some],
        )
        assert [f.name for f in found if r in f.replicas] == names(alone) != []
    first = first_findings(found)
    assert sorted(r for f in first for r in f.replicas) == list(range(replicas))
    assert findings.first_labels(found, replicas) == tuple(
        next(f.label for f in found if r in f.replicas) for r in range(replicas)
    )


def test_labels_are_counted_from_the_most_frequent_and_then_by_rank() -> None:
    labels = ["learned", "still falling", "", "all units dead", "of a later version", "learned"]
    assert list(findings.count_labels(labels).items()) == [
        ("learned", 2),
        ("all units dead", 1),
        ("still falling", 1),
        ("of a later version", 1),
    ]


@pytest.mark.parametrize(
    "value",
    [{"name": "learned"}, {"name": 3, "text": "", "advice": "", "replicas": [0], "total": 1},
     {"name": "learned", "text": "", "advice": "", "replicas": [1], "total": 1}],
)  # fmt: skip
def test_what_is_no_finding_is_refused(value: dict[str, object]) -> None:
    with pytest.raises((LookupError, TypeError, ValueError)):
        from_plain([value])


@pytest.mark.parametrize(
    ("value", "down", "up"), [(0.0375, 0.03, 1), (0.02, 0.02, 1), (1.0, 1.0, 1), (12345.0, 1e4, 13000)]
)
def test_advice_is_rounded_to_the_safe_side(value: float, down: float, up: int) -> None:
    assert one_digit(value) == down
    assert two_digits_up(value) == up
