"""The compiled generator makes NumPy's numbers, and a process uses it only if it draws many."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from reluviz.data import Dataset, Epoch, Segment, WithoutReplacement, WithReplacement, samplers
from reluviz.data.samplers import Minibatches
from reluviz.engines import fused, philox
from reluviz.models import ReLUModule

VECTOR = philox.NUMBERS_PER_VECTOR
COUNTS = (0, 1, 2, 3, 4, 5, 40, VECTOR - 1, VECTOR, VECTOR + 1, 3 * VECTOR + 6, 1000)
POLICIES = {
    "with replacement": WithReplacement(7),
    "without replacement, few of the points": WithoutReplacement(7),
    "without replacement, most of the points": WithoutReplacement(25),
    "epoch": Epoch(7),
}


@pytest.mark.parametrize("seed", [0, 1, 999, 2**32 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("stream", [1, 2, 3, 4])
def test_the_numbers_equal_numpys_bit_for_bit(seed: int, stream: int) -> None:
    for start in (0, 1, 2, 3, 4, 7, 63, 64, 40_001, 10**12 + 3, 2**62 + 1):
        for count in COUNTS:
            found, wanted = np.full(count, -1.0), np.full(count, -2.0)
            philox.fill_random(seed, stream, start, 2.0**-53, found)
            samplers.fill_random(seed, stream, start, 2.0**-53, wanted)
            assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 200, 999_983, 10**8])
def test_integers_are_rounded_as_in_numpy(limit: int) -> None:
    generator = np.random.default_rng(limit)
    for seed, start, count in generator.integers([0, 0, 1], [2**32, 10**9, 2000], (50, 3)).tolist():
        found, wanted = np.full(count, -1), np.full(count, -2)
        philox.fill_random(seed, 1, start, limit * 2.0**-53, found)
        samplers.fill_random(seed, 1, start, limit * 2.0**-53, wanted)
        assert (found == wanted).all()
        assert 0 <= found.min() <= found.max() < limit


def test_filling_a_slice_of_an_array_leaves_the_rest_unchanged() -> None:
    whole = np.full(1000, -1)
    philox.fill_random(5, 1, 3, 200 * 2.0**-53, whole[100:731])
    assert (whole[:100] == -1).all()
    assert (whole[731:] == -1).all()
    wanted = np.empty(631, np.int64)
    samplers.fill_random(5, 1, 3, 200 * 2.0**-53, wanted)
    assert (whole[100:731] == wanted).all()


@pytest.mark.parametrize("sampler", POLICIES.values(), ids=POLICIES.keys())
def test_every_policy_draws_the_same_with_both_generators(sampler: Minibatches) -> None:
    seeds = [4, 0, 2**32 - 1]
    assert (sampler.draw(seeds, 13, 140, 30, philox.fill_random) == sampler.draw(seeds, 13, 140, 30)).all()


def test_it_is_used_once_a_process_has_drawn_many_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fused._random_fill(1) is fused._random_fill(fused.MIN_NUMBERS_FOR_PHILOX - 1) is samplers.fill_random
    assert fused._random_fill(fused.MIN_NUMBERS_FOR_PHILOX) is philox.fill_random
    monkeypatch.setattr(fused.Fused, "numbers_drawn", fused.MIN_NUMBERS_FOR_PHILOX - 3 * 10 * 7 - 1)
    used: list[bool] = []
    real = fused._random_fill
    monkeypatch.setattr(
        fused, "_random_fill", lambda numbers: used.append(numbers >= fused.MIN_NUMBERS_FOR_PHILOX) or real(numbers)
    )
    module = ReLUModule(3, seeds=[0, 1, 2])
    x = torch.linspace(0, 1, 20)
    dataset = Dataset("test", x.numpy(), x.numpy(), (0.0, 1.0))
    for start in (0, 10):
        (piece,) = Segment(dataset, WithReplacement(7), module.seeds, start, start + 10).pieces(by_replica=True)
        fused.Fused().run(module.model_state(), module.configure_optimizers(), piece, np.full((10, 1), 0.01), x, x)
    assert used == [False, True]


def test_a_short_run_does_not_load_the_kernels_of_long_runs(tmp_path) -> None:  # type: ignore[no-untyped-def]
    arguments = [
        "reluviz",
        "train",
        "+exp=relu",
        "updates=20",
        "callbacks.snapshots.pictures=0",
        f"hydra.run.dir={tmp_path}",
    ]
    script = (
        f"import sys; sys.argv = {arguments}; from reluviz.__main__ import main; status = main();"
        " names = ('philox', 'vote_kernels', 'minibatch_kernels');"
        " print(status, [name for name in names if f'reluviz.engines.{name}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.splitlines()[-1] == "0 ['minibatch_kernels']", done.stderr
