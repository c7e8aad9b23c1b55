"""The interval of the median and the paired tests agree with NumPy, resampling and enumeration."""

import itertools
import math

import numpy as np
import pytest
from report_groups import make_group, make_groups

from reluviz.analysis.report import printout, statistics, table_rows
from reluviz.analysis.report.statistics import CONFIDENCE, holm, median_interval, sign_test
from reluviz.console import Console

Q = (25, 50, 75)
INF = np.inf


@pytest.mark.parametrize("n", [5, 6, 29, 30])
def test_the_interval_agrees_with_resampling(n: int) -> None:
    values = np.random.default_rng(n).lognormal(size=n)
    low, high = median_interval(values)
    draws = np.random.default_rng(1).integers(n, size=(200_000, n))
    medians = np.median(values[draws], axis=1)
    tail = (100 - CONFIDENCE) / 2
    # compare ranks among the resampled medians, since the gaps between the values are arbitrary
    for found, wanted in ((low, tail), (high, 100 - tail)):
        below, upto = 100 * (medians < found - 1e-9).mean(), 100 * (medians <= found + 1e-9).mean()
        assert below - 0.4 <= wanted <= upto + 0.4


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
def test_the_drawn_medians_have_the_frequencies_of_all_resamples(n: int) -> None:
    # sums of different pairs of these values differ, so that each median says which values it is the mean of
    values = 2.0 ** np.arange(n)
    drawn = values[statistics._ranks(n)].mean(axis=0)
    every = np.median(list(itertools.product(values, repeat=n)), axis=1)
    assert set(drawn) <= set(every)
    for median in set(every):
        probability = (every == median).mean()
        deviation = math.sqrt(probability * (1 - probability) / statistics.RESAMPLES)
        assert abs((drawn == median).mean() - probability) <= 4 * deviation, median


def test_a_position_that_was_rounded_to_the_end_has_the_last_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    class Rounded:
        def beta(self, a: int, b: int, size: int) -> np.ndarray:
            return np.ones(size)

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Rounded())
    assert (statistics._ranks.__wrapped__(4) == 3).all()


def test_the_interval_covers_the_median_too_rarely_below_8_values() -> None:
    random = np.random.default_rng(0)
    covered = {}
    for n in range(2, 9):
        intervals = [median_interval(values) for values in random.uniform(-1, 1, (700, n))]
        covered[n] = np.mean([low <= 0 <= high for low, high in intervals])
    wanted = dict(zip(range(2, 8), (0.50, 0.75, 0.88, 0.94, 0.93, 0.88), strict=True))
    for n, coverage in wanted.items():
        assert covered[n] == pytest.approx(coverage, abs=0.04), n
    assert statistics.MIN_VALUES == 8
    assert covered[8] > 0.9


@pytest.mark.parametrize(("n", "shown"), [(1, False), (7, False), (8, True), (30, True)])
def test_a_row_has_an_interval_of_the_median_from_8_replicas_on(n: int, shown: bool) -> None:
    (row, *_) = table_rows.rows(make_groups(make_group({"model.width": 5}, n=n)))
    assert row.n == n
    assert np.isfinite([row.low, row.high]).tolist() == [shown, shown]
    # a replica without the metric does not count
    group = make_group({"model.width": 5}, n=8)
    group.final["loss/test"][3] = np.nan
    (row, *_) = table_rows.rows(make_groups(group))
    assert (row.n, math.isnan(row.low)) == (7, True)


@pytest.mark.parametrize("n", [7, 8])
def test_the_terminal_says_why_there_is_no_interval(
    n: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(printout, "console", Console(highlight=False, width=80))
    groups = make_groups(make_group({"model.width": 5}, n=n), make_group({"model.width": 10}, n=8))
    printout.show(groups, table_rows.rows(groups), [], "loss/test")
    lines = capsys.readouterr().out.splitlines()
    first = next(line for line in lines if line.startswith("5 "))
    assert first.rstrip().endswith("n < 8") == (n == 7)
    assert ("n < 8: too few replicas for a 95 % interval of the median" in lines) == (n == 7)
    assert max(map(len, lines)) <= 80


def test_the_interval_depends_on_the_values_alone() -> None:
    values = np.random.default_rng(3).normal(size=40)
    first = median_interval(values)
    median_interval(np.arange(7.0))
    np.random.default_rng().normal()
    assert median_interval(values[::-1]) == first
    assert median_interval(np.append(values, np.nan)) == first
    assert first[0] < np.median(values) < first[1]


def test_the_interval_works_with_infinities_and_with_a_million_values() -> None:
    low, high = median_interval(np.array([1.0] * 11 + [INF] * 9))
    assert (low, high) == (1.0, INF)
    assert median_interval(np.array([2.5])) == (2.5, 2.5)
    assert all(map(math.isnan, median_interval(np.array([np.nan]))))
    many = np.random.default_rng(0).normal(size=1_000_000)
    low, high = median_interval(many)
    # the median of n normal values has variance pi / 2n
    spread = 1.96 * math.sqrt(math.pi / 2e6)
    assert (high - low) / 2 == pytest.approx(spread, rel=0.05)


def test_the_sign_test_agrees_with_enumerated_coin_throws() -> None:
    for n in range(1, 11):
        heads = np.array([sum(way) for way in itertools.product((0, 1), repeat=n)])
        for wins in range(n + 1):
            least = min(wins, n - wins)
            wanted = min(1.0, 2 * float((heads <= least).mean()))
            assert sign_test(wins, n - wins) == pytest.approx(wanted, rel=1e-12)
    assert sign_test(0, 0) == 1
    assert sign_test(30, 0) == 2 / 2**30
    # 2^n exceeds the range of a float; the normal approximation holds
    assert sign_test(5100, 4900) == pytest.approx(math.erfc(199 / 100 / math.sqrt(2)), rel=1e-3)


def test_holm_adjusts_p_values_as_in_the_paper() -> None:
    # 4 x 0.01, then 3 x 0.013 raised to 0.04, 2 x 0.04, 1 x 0.2
    assert holm([0.04, 0.01, 0.2, 0.013]) == pytest.approx([0.08, 0.04, 0.2, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.9, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
