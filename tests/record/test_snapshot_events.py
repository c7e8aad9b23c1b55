"""Snapshots become events with the values of the snapshots."""

import itertools

import numpy as np
import pytest
import torch
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.util import tensor_util

from reluviz.core.snapshot import RawSnapshot, Snapshots, compute_snapshots
from reluviz.data import Dataset, piecewise_linear
from reluviz.models import ConstantModule, ReLUModule
from reluviz.record import snapshot_events, tags
from reluviz.record.snapshot_events import BINS, MAX_COUNTED, SnapshotEvents, histograms

DATA = piecewise_linear()


def raw_snapshots(module: ReLUModule | ConstantModule, updates: range, seed: int = 0) -> list[RawSnapshot]:
    """Return raw snapshots whose parameters are those of a module plus random noise."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    for update in updates:
        values = {
            name: (value + 0.3 * torch.randn(value.shape, generator=generator, dtype=torch.float64)).numpy()
            for name, value in module.values().items()
        }
        batch = torch.rand(len(module.seeds), generator=generator, dtype=torch.float64)
        found.append(RawSnapshot(update, 1e9 + update, values, batch.numpy()))
    return found


def compute(module: ReLUModule | ConstantModule, raw: list[RawSnapshot], dataset: Dataset = DATA) -> Snapshots:
    """Return raw snapshots as one `Snapshots`."""
    (found,) = compute_snapshots(module.model, raw, module.trained, dataset)
    return found


def single(snapshots: Snapshots) -> list[Snapshots]:
    """Return each of the snapshots as `Snapshots` of its own."""
    return [snapshots.subset(slice(s, s + 1)) for s in range(len(snapshots))]


def parse(event: bytes) -> tuple[Event, dict[str, Summary.Value]]:
    found = Event.FromString(event)
    named = {value.tag: value for value in found.summary.value}
    assert len(named) == len(found.summary.value)
    return found, named


def scalars(named: dict[str, Summary.Value]) -> dict[str, float]:
    return {tag: one.simple_value for tag, one in named.items() if one.WhichOneof("value") == "simple_value"}


@pytest.mark.parametrize("replicas", [1, 3])
def test_an_event_has_the_values_of_its_snapshot(replicas: int) -> None:
    module = ReLUModule(width=4, seeds=list(range(replicas)))
    all_five = compute(module, raw_snapshots(module, range(5)))
    events = SnapshotEvents(np.dtype("float32"), 100).events(all_five, with_histograms=True)
    for s, (snapshot, event) in enumerate(zip(single(all_five), events, strict=True)):
        head, named = parse(event)
        assert (head.step, head.wall_time) == (snapshot.updates[0], 1e9 + snapshot.updates[0])
        assert next(iter(named)) == tags.REPLICAS
        found = scalars(named)
        assert found["loss/train"] == np.float32(np.median(snapshot.loss_train))
        assert found["elbow/02"] == np.float32(np.median(snapshot.elbow[0, :, 2]))
        assert ("loss/batch" in found) == (s > 0)
        assert ("elbow/02/q75" in found) == (replicas > 1)
        params = tensor_util.make_ndarray(named[tags.PARAMS].tensor)
        parameters, _ = snapshot_events.join_parameters(snapshot.parameters)
        np.testing.assert_array_equal(params, parameters[0].astype(np.float32))
        votes = tensor_util.make_ndarray(named[tags.VOTE_SERIES].tensor)
        np.testing.assert_array_equal(votes[:, 2], snapshot.votes.share[0].astype(np.float32))
        for name, value in snapshot.contributions().items():
            histogram: HistogramProto = named[f"votes/{name}"].histo
            assert histogram.num == sum(histogram.bucket) == value.size
            assert histogram.bucket[0] == 0
            assert (histogram.min, histogram.max) == pytest.approx((float(value.min()), float(value.max())), rel=1e-12)
            assert histogram.bucket_limit[0] == pytest.approx(histogram.min, rel=1e-12)
            assert histogram.sum_squares == pytest.approx(float(np.square(value).sum()), rel=1e-12)


def test_a_unit_without_an_elbow_has_no_elbow_scalar_in_that_snapshot_only() -> None:
    module = ReLUModule(width=3)
    some = raw_snapshots(module, range(1, 5))
    some[1].parameters["input_slope"][0, 2] = 0
    some[2].parameters["input_slope"][0, :] = 0
    events = SnapshotEvents(np.dtype("float32"), 100).events(compute(module, some), with_histograms=True)
    found = [parse(event)[1] for event in events]
    elbows = [[k for k in range(3) if f"elbow/{k:02d}" in named] for named in found]
    assert elbows == [[0, 1, 2], [0, 1], [], [0, 1, 2]]
    assert [named["elbow"].histo.num if "elbow" in named else 0 for named in found] == [3, 2, 0, 3]
    assert all(len(scalars(named)) == 6 + 3 + 6 + len(units) for named, units in zip(found, elbows, strict=True))


def test_an_event_does_not_depend_on_the_snapshots_it_is_made_with() -> None:
    module = ReLUModule(width=5, seeds=[0, 1])
    some = raw_snapshots(module, range(7))
    events_of_run = SnapshotEvents(np.dtype("float64"), 3)
    together = events_of_run.events(compute(module, some), with_histograms=True, contribution_updates={3})
    alone = [
        events_of_run.events(compute(module, [one]), with_histograms=True, contribution_updates={3}) for one in some
    ]
    assert together == [event for (event,) in alone]
    assert "reluviz/contributions" in parse(together[3])[1]


SMALL = Dataset("small", np.linspace(0, 1, 7), np.linspace(0, 1, 7) ** 2, (0.0, 1.0))
FAR = Dataset("far", 1e6 + DATA.x, DATA.y, (1e6, 1e6 + 1), DATA.x_test + 1e6, DATA.y_test)


def quantities(snapshot: Snapshots) -> dict[str, np.ndarray]:
    named = {name: getattr(snapshot.votes, name) for name in ("effective", "noise_scale", "residual", "norm", "share")}
    named |= {f"gradient of {name}": value for name, value in snapshot.votes.gradient.items()}
    named |= {"train": snapshot.loss_train, "status": snapshot.unit_status, "elbow": snapshot.elbow}
    if snapshot.loss_test is not None:
        named["test"] = snapshot.loss_test
    return named | {f"g of {name}": value for name, value in snapshot.gradients().items()}


@pytest.mark.parametrize("dataset", [DATA, SMALL, FAR], ids=["course", "small", "far"])
@pytest.mark.parametrize(("width", "replicas"), [(1, 1), (3, 2), (20, 1), (40, 1), (13, 5)])
@pytest.mark.parametrize("train", ["all", "output"])
def test_a_snapshot_does_not_depend_on_the_snapshots_it_is_computed_with(
    dataset: Dataset, width: int, replicas: int, train: str
) -> None:
    module = ReLUModule(width=width, seeds=list(range(replicas)), train=train)
    some = raw_snapshots(module, range(19))
    together = [one for part in compute_snapshots("relu", some, module.trained, dataset) for one in single(part)]
    assert [one.updates[0] for one in together] == list(range(19))
    for one, snapshot in zip(some, together, strict=True):
        wanted = quantities(compute(module, [one], dataset))
        for name, value in quantities(snapshot).items():
            np.testing.assert_array_equal(value, wanted[name], err_msg=name)


def test_snapshots_of_a_one_parameter_model_are_computed_together() -> None:
    module = ConstantModule(seeds=[0, 1])
    some = raw_snapshots(module, range(6))
    together = compute(module, some)
    theta = np.array([one.parameters["theta"] for one in some])
    np.testing.assert_allclose(together.loss_train, np.var(DATA.y) + (theta - DATA.y.mean()) ** 2, rtol=1e-12)
    assert together.units is None


def test_the_histograms_of_votes_count_the_contributions_of_the_recorded_samples() -> None:
    module = ReLUModule(width=7, seeds=[0, 1, 2], train="output")
    snapshots = compute(module, raw_snapshots(module, range(3)))
    events = SnapshotEvents(np.dtype("float32"), 100).events(snapshots, with_histograms=True)
    for snapshot, event in zip(single(snapshots), events, strict=True):
        named = parse(event)[1]
        assert [tag for tag in named if tag.startswith("votes/") and named[tag].HasField("histo")] == [
            "votes/output_weight",
            "votes/output_bias",
        ]
        for name, value in snapshot.gradients().items():
            wanted, edges = np.histogram(value / len(DATA.x), BINS)
            histogram = named[f"votes/{name}"].histo
            assert list(histogram.bucket) == [0, *wanted]
            np.testing.assert_allclose(histogram.bucket_limit, edges, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("scale", [1.0, 2.0**-600, 2.0**300])
def test_a_histogram_has_numpys_bins_and_counts(scale: float) -> None:
    random = np.random.default_rng(0)
    for values in (
        random.normal(size=(2, 2000)),
        np.abs(random.normal(size=20_000)) * (random.random(20_000) > 0.5),  # half of them the smallest value
        random.normal(size=400) + 1e6,
        random.integers(0, 31, 200).astype(float),  # on the edges of the bins
        np.linspace(-3, 4, 31),
        np.array([0.0, 1.0]),
    ):
        [found], (counts, edges) = histograms(scale * values[None]), np.histogram(scale * values, BINS)
        assert found is not None
        assert (found.min, found.max, found.num) == (scale * values.min(), scale * values.max(), values.size)
        assert list(found.bucket_limit) == edges.tolist()
        assert list(found.bucket) == [0, *counts]
        assert found.sum == pytest.approx(scale * values.sum(), rel=1e-12)
        assert found.sum_squares == pytest.approx(np.square(scale * values).sum(), rel=1e-12)


def test_a_loss_that_is_nan_counts_as_infinite() -> None:
    module = ConstantModule(seeds=[0, 1, 2])
    some = raw_snapshots(module, range(2))
    some[1].loss_batch[:] = [np.nan, 1.0, 2.0]
    events = SnapshotEvents(np.dtype("float32"), 100).events(compute(module, some), with_histograms=False)
    first, last = (parse(event)[1] for event in events)
    assert [scalars(last)[f"loss/batch{end}"] for end in ("", "/q25", "/q75")] == [2, 1.5, np.inf]
    assert tensor_util.make_ndarray(last[tags.REPLICAS].tensor)[:, 2].tolist() == [np.inf, 1, 2]
    # there is no minibatch before the first update
    assert np.isnan(tensor_util.make_ndarray(first[tags.REPLICAS].tensor)[:, 2]).all()
    assert "loss/batch" not in first


@pytest.mark.parametrize("size", [11, 16, 31])
def test_a_value_at_an_edge_lies_between_the_recorded_edges_of_its_bin(size: int) -> None:
    values = np.linspace(0, 1, size) / 0.7
    [found] = histograms(values[None])
    assert found is not None
    # rounding moves values and edges by far less than this
    edges = [edge - 1e-12 for edge in found.bucket_limit]
    inside = [((values >= low) & (values < high)).sum() for low, high in itertools.pairwise(edges)]
    inside[-1] += 1  # the largest value
    assert list(found.bucket) == [0, *inside]


def test_equal_values_have_bins_of_total_width_1() -> None:
    [found] = histograms(np.full(3, 0.25)[None])
    assert found is not None
    assert (found.bucket_limit[0], found.bucket_limit[-1], found.num) == (-0.25, 0.75, 3)
    assert (found.min, found.max, sum(found.bucket)) == (0.25, 0.25, 3)


def test_values_that_differ_only_in_their_last_digit_are_counted() -> None:
    [found] = histograms(np.array([1.0, np.nextafter(1.0, 2.0)])[None])
    assert found is not None
    assert (found.min, found.max) == (1.0, np.nextafter(1.0, 2.0))
    assert sum(found.bucket) == found.num == 2


def test_values_that_are_not_finite_or_too_large_are_not_counted() -> None:
    [found] = histograms(np.array([np.nan, 1.0, np.inf, 2.0, -np.inf, 10 * MAX_COUNTED, -MAX_COUNTED])[None])
    assert found is not None
    assert (found.num, found.min, found.max, found.sum) == (2, 1.0, 2.0, 3.0)
    assert histograms(np.array([[np.nan, np.inf]])) == [None]


@pytest.mark.parametrize("value", [1e20, -1e100, 1e-300])
def test_equal_values_of_any_size_have_a_histogram(value):
    [found] = histograms(np.full(3, value)[None])
    assert sum(found.bucket) == 3
    assert found.bucket_limit[0] < value < found.bucket_limit[-1]
