"""Minibatches are reproducible and have the right distribution; pieces and schedules."""

import bisect
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, pairwise

import lightning as L
import numpy as np
import pytest
import torch

from reluviz.data import (
    EarlySchedule,
    Epoch,
    EverySchedule,
    Full,
    LogSchedule,
    Segment,
    WithoutReplacement,
    WithReplacement,
    piecewise_linear,
)
from reluviz.data import samplers as samplers_module
from reluviz.data import segments as segments_module
from reluviz.data.datamodule import PiecewiseLinearData
from reluviz.data.samplers import Minibatches, RandomFill, ThreadBuffer, checked_batch, uniform
from reluviz.errors import UserError
from reluviz.models import ReLUModule
from reluviz.training.callbacks import SnapshotLogger
from reluviz.training.lightning_startup import quiet

UPDATES, SAMPLES = 60, 30
POLICIES = {
    "with replacement": WithReplacement(7),
    "without replacement, few of the points": WithoutReplacement(7),
    "without replacement, most of the points": WithoutReplacement(25),
    "without replacement, all points": WithoutReplacement(30),
    "epoch, B divides N": Epoch(6),
    "epoch, B does not divide N": Epoch(7),
    "epoch, B = N": Epoch(30),
}
policies = pytest.mark.parametrize("sampler", POLICIES.values(), ids=POLICIES.keys())


def chi_square(counts: "Counter[object]", cells: int) -> float:
    """Return Pearson's statistic for equal probabilities, in standard deviations above its mean."""
    expected = counts.total() / cells
    seen = sum((count - expected) ** 2 / expected for count in counts.values())
    unseen = (cells - len(counts)) * expected
    degrees = cells - 1
    return float((seen + unseen - degrees) / (2 * degrees) ** 0.5)


def test_uniform_numbers_are_slices_of_one_stream() -> None:
    whole = uniform(3, 1, 0, 100)
    assert ((whole >= 0) & (whole < 1)).all()
    for start in range(12):
        for count in (0, 1, 5, 40):
            assert uniform(3, 1, start, count).tolist() == whole[start : start + count].tolist()


def test_uniform_numbers_have_fixed_values() -> None:
    assert uniform(0, 1, 0, 3).tolist() == [0.8133540609793564, 0.7513314251083365, 0.6716490436969984]
    assert uniform(2**32 - 1, 3, 10**12, 2).tolist() == [0.3513129327712271, 0.38344970121242583]


def test_different_streams_and_seeds_have_no_numbers_in_common() -> None:
    numbers = [uniform(seed, stream, 0, 200) for seed in (0, 1, 2**32 - 1) for stream in (1, 2, 3, 4)]
    assert len(set(np.concatenate(numbers).tolist())) == 12 * 200


@policies
def test_minibatches_do_not_depend_on_where_segments_end(sampler: Minibatches) -> None:
    whole = sampler.draw([5], 0, UPDATES, SAMPLES)
    assert whole.shape == (1, UPDATES, sampler.batch_size)
    assert whole.dtype == np.int64
    generator = np.random.default_rng(0)
    for _ in range(100):
        start, stop = sorted(generator.choice(UPDATES + 1, 2, replace=False).tolist())
        assert (sampler.draw([5], start, stop, SAMPLES) == whole[:, start:stop]).all()


@policies
def test_a_replica_draws_the_same_minibatches_as_its_seed_alone(sampler: Minibatches) -> None:
    seeds = [4, 0, 2**32 - 1]
    together = sampler.draw(seeds, 13, 40, SAMPLES)
    assert together.shape == (3, 27, sampler.batch_size)
    for r, seed in enumerate(seeds):
        assert (together[r] == sampler.draw([seed], 13, 40, SAMPLES)[0]).all()


@policies
def test_different_seeds_draw_different_minibatches(sampler: Minibatches) -> None:
    drawn = sampler.draw(range(50), 0, UPDATES, SAMPLES)
    # with B = N every batch is the same sorted set of all points
    assert len({replica.tobytes() for replica in drawn}) == (1 if sampler == WithoutReplacement(SAMPLES) else 50)


@policies
def test_indices_cover_exactly_the_points(sampler: Minibatches) -> None:
    drawn = sampler.draw([1], 0, 2000, SAMPLES)
    assert (drawn.min(), drawn.max()) == (0, SAMPLES - 1)


def test_late_updates_are_drawn_directly() -> None:
    for sampler in POLICIES.values():
        far = 10**12
        whole = sampler.draw([1], far, far + 9, SAMPLES)
        assert (sampler.draw([1], far + 4, far + 9, SAMPLES) == whole[:, 4:]).all()


def test_with_replacement_every_point_is_equally_likely_and_independent_of_other_points() -> None:
    drawn = WithReplacement(40).draw([0], 0, 5000, 200)[0]
    assert abs(chi_square(Counter(drawn.ravel().tolist()), 200)) < 4
    pairs = Counter(WithReplacement(2).draw([0], 0, 20_000, 5)[0] @ [5, 1])
    assert abs(chi_square(pairs, 25)) < 4
    # the probability that 40 of 200 are all different is 0.015
    different = np.mean([len(set(batch)) == 40 for batch in drawn.tolist()])
    assert different == pytest.approx(np.prod(1 - np.arange(40) / 200), abs=0.006)


@pytest.mark.parametrize(
    ("samples", "batch", "by_order"), [(5, 2, False), (6, 3, False), (5, 5, False), (10, 9, True), (12, 10, True)]
)
def test_without_replacement_every_subset_is_equally_likely(samples: int, batch: int, by_order: bool) -> None:
    # covers both algorithms: Floyd's, and a random order of all points
    assert (batch * batch > 8 * samples) == by_order
    drawn = WithoutReplacement(batch).draw([1], 0, 20_000, samples)[0]
    subsets = list(combinations(range(samples), batch))
    seen = Counter(tuple(sorted(set(one))) for one in drawn.tolist())
    assert set(seen) == set(subsets)
    if len(subsets) > 1:
        assert abs(chi_square(seen, len(subsets))) < 4


@pytest.mark.parametrize("batch", [1, 7, 15, 16, 25, 30])
def test_without_replacement_no_point_is_twice_in_a_batch(batch: int) -> None:
    drawn = np.sort(WithoutReplacement(batch).draw([0, 1], 0, 500, SAMPLES), axis=-1)
    assert (np.diff(drawn, axis=-1) > 0).all()


@pytest.mark.parametrize("batch", [1, 6, 7, 29, 30])
def test_an_epoch_contains_each_point_once(batch: int) -> None:
    drawn = Epoch(batch).draw([3], 0, 10 * SAMPLES, SAMPLES).ravel()
    epochs = drawn[: len(drawn) // SAMPLES * SAMPLES].reshape(-1, SAMPLES)
    assert len(epochs) == 10 * batch
    assert (np.sort(epochs, axis=1) == np.arange(SAMPLES)).all()
    assert len({epoch.tobytes() for epoch in epochs}) == len(epochs)


def test_the_order_of_an_epoch_does_not_depend_on_the_batch_size() -> None:
    assert (Epoch(6).draw([3], 0, 35, SAMPLES).ravel() == Epoch(7).draw([3], 0, 30, SAMPLES).ravel()).all()


def test_all_orders_of_an_epoch_are_equally_likely() -> None:
    orders = Counter(map(tuple, Epoch(4).draw([0], 0, 12_000, 4)[0].tolist()))
    assert abs(chi_square(orders, 24)) < 4


@pytest.mark.parametrize(("samples", "batch", "by_order"), [(32, 16, False), (31, 16, True)])
def test_batches_without_replacement_are_drawn_by_order_if_the_square_of_b_exceeds_8_n(
    samples: int, batch: int, by_order: bool
) -> None:
    drawn = WithoutReplacement(batch).draw([3], 0, 50, samples)[0]
    # only batches drawn by order are sorted
    assert (np.diff(drawn) > 0).all() == by_order


def test_batches_drawn_by_order_are_the_points_with_the_smallest_numbers() -> None:
    drawn = WithoutReplacement(60).draw([3], 5, 25, 200)[0]
    numbers = uniform(3, 2, 5 * 200, 20 * 200).reshape(20, 200)
    np.testing.assert_array_equal(drawn, np.sort(np.argsort(numbers, axis=1)[:, :60], axis=1))


def test_points_of_an_epoch_with_equal_numbers_keep_their_order() -> None:
    def fill(seed: int, stream: int, start: int, scale: float, out: np.ndarray) -> None:
        out[...] = (np.arange(start, start + out.size) % 2).reshape(out.shape)

    drawn = Epoch(200).draw([3], 0, 2, 200, fill)[0]
    np.testing.assert_array_equal(drawn, [[*range(0, 200, 2), *range(1, 200, 2)]] * 2)


def test_a_batch_may_hold_all_points() -> None:
    assert checked_batch(WithoutReplacement(5), 5) == checked_batch(Epoch(5), 5) == 5
    with pytest.raises(UserError, match="more than the 4 points"):
        checked_batch(Epoch(5), 4)


@pytest.mark.parametrize("kind", [WithReplacement, WithoutReplacement, Epoch])
def test_a_batch_has_40_points_unless_told(kind: type[Minibatches]) -> None:
    assert kind().batch(200) == 40


def test_full_batches_need_no_indices() -> None:
    assert Full().draw([0, 1], 0, 10**9, 10**9) is None
    assert Full().batch(123) == 123


@pytest.mark.parametrize(
    ("sampler", "samples", "numbers"),
    [
        (WithReplacement(5), 200, [[162, 150, 134, 96, 141], [54, 162, 112, 113, 187]]),
        (WithoutReplacement(5), 200, [[159, 86, 59, 121, 163], [128, 1, 56, 167, 61]]),
        (WithoutReplacement(9), 10, [[0, 1, 2, 3, 4, 5, 6, 7, 9], [0, 1, 3, 4, 5, 6, 7, 8, 9]]),
        (Epoch(5), 200, [[129, 118, 94, 78, 73], [159, 171, 158, 116, 157]]),
    ],
    ids=["with replacement", "without replacement", "without replacement, most of the points", "epoch"],
)
def test_a_seed_gives_fixed_minibatches(sampler: Minibatches, samples: int, numbers: list[list[int]]) -> None:
    assert sampler.draw([0], 0, 2, samples)[0].tolist() == numbers


@policies
def test_pieces_joined_equal_one_draw(sampler: Minibatches) -> None:
    data = piecewise_linear(n=SAMPLES)
    pieces = list(Segment(data, sampler, [0, 9], 17, 3300).pieces())
    assert [piece.start for piece in pieces] == [17, 1017, 2017, 3017]
    assert [piece.stop for piece in pieces] == [1017, 2017, 3017, 3300]
    assert [len(piece) for piece in pieces] == [1000, 1000, 1000, 283]
    joined = torch.cat([piece.indices for piece in pieces], dim=1)
    assert joined.dtype == torch.int64
    assert (joined.numpy() == sampler.draw([0, 9], 17, 3300, SAMPLES)).all()


def test_a_piece_has_at_most_the_maximum_number_of_indices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments_module, "MAX_INDICES", 700)
    sampler = POLICIES["with replacement"]
    pieces = list(Segment(piecewise_linear(n=SAMPLES), sampler, [0, 9], 0, 120).pieces())
    # 2 replicas with 7 indices an update each
    assert [len(piece) for piece in pieces] == [50, 50, 20]
    joined = torch.cat([piece.indices for piece in pieces], dim=1)
    assert (joined.numpy() == sampler.draw([0, 9], 0, 120, SAMPLES)).all()
    monkeypatch.setattr(segments_module, "MAX_INDICES", 5)
    assert {len(piece) for piece in Segment(piecewise_linear(n=SAMPLES), sampler, [0, 9], 0, 12).pieces()} == {1}


def test_large_batches_without_replacement_are_drawn_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = WithoutReplacement(25).draw([0], 0, 20, SAMPLES)
    counts: list[int] = []

    def counting_uniform(seed: int, stream: int, start: int, count: int, fill: RandomFill) -> np.ndarray:
        counts.append(count)
        return uniform(seed, stream, start, count, fill)

    monkeypatch.setattr(samplers_module, "uniform", counting_uniform)
    monkeypatch.setattr(samplers_module, "MAX_SORT_KEYS", 100)
    assert (WithoutReplacement(25).draw([0], 0, 20, SAMPLES) == whole).all()
    assert sum(counts) == 20 * SAMPLES
    assert max(counts) <= 100


def test_full_batch_pieces_have_no_indices() -> None:
    pieces = list(Segment(piecewise_linear(n=SAMPLES), Full(), [0], 0, 2500).pieces())
    assert [(piece.start, piece.stop, piece.indices) for piece in pieces] == [
        (0, 1000, None),
        (1000, 2000, None),
        (2000, 2500, None),
    ]


def test_the_course_run_had_152_snapshots_with_the_linear_schedule() -> None:
    schedule = EverySchedule(1000).schedule(150_000)
    assert len(schedule) == 152
    assert schedule == [0, 1, *range(1000, 150_001, 1000)]


@pytest.mark.parametrize(
    ("updates", "every", "expected"),
    [
        (1, 1000, [0, 1]),
        (2, 1000, [0, 1, 2]),
        (3, 1, [0, 1, 2, 3]),
        (5, 2, [0, 1, 2, 4, 5]),
        (2500, 1000, [0, 1, 1000, 2000, 2500]),
        (1000, 1000, [0, 1, 1000]),
        (999, 1000, [0, 1, 999]),
    ],
)
def test_snapshots_at_multiples(updates: int, every: int, expected: list[int]) -> None:
    assert EverySchedule(every).schedule(updates) == expected


@pytest.mark.parametrize(
    ("updates", "every", "expected"),
    [
        (1, 1000, [0, 1]),
        (2, 1000, [0, 1, 2]),
        (9, 1, [*range(10)]),
        (12, 3, [0, 1, 2, 3, 6, 9, 12]),
        (25, 1000, [0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25]),
        (80, 30, [0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 30, 60, 80]),
    ],
)
def test_early_snapshots_are_log_spaced_up_to_every_and_then_at_its_multiples(
    updates: int, every: int, expected: list[int]
) -> None:
    schedule = EarlySchedule(every)
    assert schedule.schedule(updates) == expected
    # the pictures stay at the updates of the linear schedule
    assert schedule.picture_candidates(updates) == EverySchedule(every).schedule(updates)
    assert set(schedule.picture_candidates(updates)) <= set(expected)


def test_the_course_run_has_178_snapshots_26_more_before_update_1000() -> None:
    schedule = EarlySchedule().schedule(150_000)
    more = [2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 63, 79, 100, 126, 158, 200, 251, 316, 398, 501, 631, 794]
    assert schedule == [0, 1, *more, *range(1000, 150_001, 1000)]
    assert len(schedule) == 178


@pytest.mark.parametrize("snapshots", [EarlySchedule(), EverySchedule(), LogSchedule()], ids=repr)
def test_the_schedule_of_100_thousand_million_updates_is_no_list(snapshots) -> None:
    updates = 10**11
    tracemalloc.start()
    schedule = snapshots.schedule(updates)
    data = PiecewiseLinearData(updates=updates, snapshots=snapshots)
    remaining = data.remaining(54_321)
    assert schedule[0] == 0
    assert schedule[-1] == updates == remaining[-1][1]
    assert remaining[0] == (54_321, schedule[bisect.bisect_right(schedule, 54_321)])
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()
    if not isinstance(snapshots, LogSchedule):
        assert (schedule[-3:], remaining[1]) == ([updates - 2000, updates - 1000, updates], (55_000, 56_000))
        assert len(remaining) == 99_999_946


def test_a_run_of_100_thousand_million_updates_starts_at_once() -> None:
    module = ReLUModule(width=3)
    data = PiecewiseLinearData(updates=10**11)
    settings = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    tracemalloc.start()
    with quiet():
        L.Trainer(max_steps=5, callbacks=[SnapshotLogger()], enable_model_summary=False, **settings).fit(module, data)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert int(module.updates_done) == data.schedule()[5] == 5


@pytest.mark.parametrize("updates", [10**15 + 1, 10**30, 1e300])
def test_more_updates_than_can_be_counted_are_refused(updates: float) -> None:
    with pytest.raises(UserError, match=r"^updates=.*at most 1,000,000,000,000,000$"):
        PiecewiseLinearData(updates=updates)
    assert PiecewiseLinearData(updates=10**15, snapshots=EverySchedule(1)).schedule()[-2] == 10**15 - 1


def test_a_schedule_is_a_sequence_with_slices_and_items_from_the_end() -> None:
    schedule = EverySchedule(4).schedule(10)
    assert (list(schedule), schedule[1:4], schedule[-2]) == ([0, 1, 4, 8, 10], [1, 4, 8], 8)
    assert schedule != [0, 1, 4, 8]
    assert schedule != 5
    assert hash(schedule) == hash(EverySchedule(4).schedule(10))
    assert repr(schedule) == "<ScheduledUpdates of 5: 0, 1, 4, ...>"
    with pytest.raises(IndexError):
        schedule[5]


def test_a_schedule_without_picture_candidates_of_its_own_spreads_the_pictures_over_all_its_snapshots() -> None:
    assert LogSchedule(3).picture_candidates(500) == LogSchedule(3).schedule(500)


@pytest.mark.parametrize(
    ("updates", "per_decade", "expected"),
    [
        (1, 10, [0, 1]),
        (2, 10, [0, 1, 2]),
        (1000, 1, [0, 1, 10, 100, 1000]),
        (1500, 1, [0, 1, 10, 100, 1000, 1500]),
        (100, 2, [0, 1, 3, 10, 32, 100]),
        (25, 10, [0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25]),
    ],
)
def test_log_spaced_snapshots(updates: int, per_decade: int, expected: list[int]) -> None:
    assert LogSchedule(per_decade).schedule(updates) == expected


@pytest.mark.parametrize(
    "snapshots",
    [
        EarlySchedule(1),
        EarlySchedule(7),
        EarlySchedule(1000),
        EverySchedule(1),
        EverySchedule(7),
        EverySchedule(1000),
        LogSchedule(1),
        LogSchedule(3),
        LogSchedule(10),
        LogSchedule(100),
    ],
    ids=repr,
)
def test_snapshots_increase_strictly_from_0_and_1_to_the_last_update(snapshots) -> None:
    for updates in (1, 2, 3, 7, 10, 99, 100, 101, 12_345):
        schedule = snapshots.schedule(updates)
        assert schedule[:2] == [0, 1]
        assert schedule[-1] == updates
        assert all(a < b for a, b in pairwise(schedule))


def test_a_thread_buffer_is_reused_by_its_thread_and_does_not_change_the_result() -> None:
    buffer = ThreadBuffer()
    sampler = WithReplacement(7)
    first = sampler.draw([0, 1], 0, 50, SAMPLES, allocate=buffer)
    kept = first.copy()
    np.testing.assert_array_equal(first, sampler.draw([0, 1], 0, 50, SAMPLES))
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(sampler.draw, [2], 0, 50, SAMPLES, allocate=buffer).result()
    np.testing.assert_array_equal(first, kept)
    assert not np.shares_memory(first, other)
    again = sampler.draw([2], 0, 50, SAMPLES, allocate=buffer)
    np.testing.assert_array_equal(again, other)
    assert np.shares_memory(first, again)
    large = buffer((ThreadBuffer.MAX_NUMBERS + 1,))
    assert not np.shares_memory(large, buffer((3,)))
