"""The compiled generator makes NumPy's numbers, and a process takes it only where there are many to make."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from reluviz.data import Dataset, Epoch, Segment, WithoutReplacement, WithReplacement
from reluviz.data import samplers as numpy_s
from reluviz.data.samplers import Minibatches
from reluviz.engines import fused, philox
from reluviz.models import ReLUModule

COUNTS = (0, 1, 2, 3, 4, 5, 40, philox.NUMBERS - 1, philox.NUMBERS, philox.NUMBERS + 1, 3 * philox.NUMBERS + 6, 1000)
POLICIES = {
    "with replacement": WithReplacement(7),
    "without replacement, few of the points": WithoutReplacement(7),
    "without replacement, most of the points": WithoutReplacement(25),
    "epoch": Epoch(7),
}


@pytest.mark.parametrize("seed", [0, 1, 999, 2**32 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("stream", [1, 2, 3, 4])
def test_the_numbers_are_numpy_s_bit_for_bit(seed: int, stream: int) -> None:
    for start in (0, 1, 2, 3, 4, 7, 63, 64, 40_001, 10**12 + 3, 2**62 + 1):
        for count in COUNTS:
            found, wanted = np.full(count, -1.0), np.full(count, -2.0)
            philox.fill(seed, stream, start, 2.0**-53, found)
            numpy_s.fill(seed, stream, start, 2.0**-53, wanted)
            assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 200, 999_983, 10**8])
def test_whole_numbers_are_rounded_as_numpy_rounds_them(limit: int) -> None:
    generator = np.random.default_rng(limit)
    for seed, start, count in generator.integers([0, 0, 1], [2**32, 10**9, 2000], (50, 3)).tolist():
        found, wanted = np.full(count, -1), np.full(count, -2)
        philox.fill(seed, 1, start, limit * 2.0**-53, found)
        numpy_s.fill(seed, 1, start, limit * 2.0**-53, wanted)
        assert (found == wanted).all()
        assert 0 <= found.min() <= found.max() < limit


def test_a_part_of_an_array_is_filled_and_nothing_beside_it() -> None:
    whole = np.full(1000, -1)
    philox.fill(5, 1, 3, 200 * 2.0**-53, whole[100:731])
    assert (whole[:100] == -1).all()
    assert (whole[731:] == -1).all()
    wanted = np.empty(631, np.int64)
    numpy_s.fill(5, 1, 3, 200 * 2.0**-53, wanted)
    assert (whole[100:731] == wanted).all()


@pytest.mark.parametrize("sampler", POLICIES.values(), ids=POLICIES.keys())
def test_every_policy_draws_the_same_either_way(sampler: Minibatches) -> None:
    seeds = [4, 0, 2**32 - 1]
    assert (sampler.draw(seeds, 13, 140, 30, philox.fill) == sampler.draw(seeds, 13, 140, 30)).all()


def test_it_is_taken_once_a_process_has_drawn_many_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fused._fill(1) is fused._fill(fused.FEW - 1) is numpy_s.fill
    assert fused._fill(fused.FEW) is philox.fill
    monkeypatch.setattr(fused.Fused, "drawn", fused.FEW - 3 * 10 * 7 - 1)
    taken: list[bool] = []
    real = fused._fill
    monkeypatch.setattr(fused, "_fill", lambda numbers: taken.append(numbers >= fused.FEW) or real(numbers))
    module = ReLUModule(3, seeds=[0, 1, 2])
    x = torch.linspace(0, 1, 20)
    dataset = Dataset("test", x.numpy(), x.numpy(), (0.0, 1.0))
    for start in (0, 10):
        (piece,) = Segment(dataset, WithReplacement(7), module.seeds, start, start + 10).pieces(by_replica=True)
        fused.Fused().run(module.state(), module.configure_optimizers(), piece, np.full((10, 1), 0.01), x, x)
    assert taken == [False, True]


def test_a_short_run_compiles_nothing_for_long_ones(tmp_path) -> None:  # type: ignore[no-untyped-def]
    words = [
        "reluviz",
        "train",
        "+exp=relu",
        "updates=20",
        "callbacks.snapshots.pictures=0",
        f"hydra.run.dir={tmp_path}",
    ]
    script = (
        f"import sys; sys.argv = {words}; from reluviz.__main__ import main; status = main();"
        " names = ('philox', 'vote_kernels', 'minibatch_kernels');"
        " print(status, [name for name in names if f'reluviz.engines.{name}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.splitlines()[-1] == "0 ['minibatch_kernels']", done.stderr
