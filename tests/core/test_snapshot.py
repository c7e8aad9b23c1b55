"""What is known at a snapshot: losses, divergence, references, the history of votes."""

import math

import numpy as np
import pytest
import torch

from reluviz.core.functions_torch import features, mean_squared_error, predict
from reluviz.core.snapshot import MOST_RECORDED, recorded
from reluviz.core.snapshot_torch import take
from reluviz.core.theory.baselines import reference
from reluviz.data import Dataset, piecewise_linear
from reluviz.models import ConstantModule, LinearModule, ReLUModule
from reluviz.record import text_summary
from reluviz.training.divergence import advice, largest_stable_step
from reluviz.training.vote_history import MOST_COLUMNS, VoteHistory

DATA = piecewise_linear()
NAN = torch.full((1,), torch.nan)


def snapshot(module, dataset=DATA, **parameters):
    values = {**module.values(), **parameters}
    return take(module.model, values, module.trained, dataset, 0, torch.full((len(module.seeds),), torch.nan))


def test_the_loss_is_the_same_however_it_is_cut_into_pieces() -> None:
    p = ReLUModule(width=7, seeds=[0, 1]).values()
    x, y = torch.from_numpy(DATA.x), torch.from_numpy(DATA.y)
    whole = (predict("relu", p, x) - y).square().mean(-1)
    for entries in (1, 44, 1000, 10**6):
        torch.testing.assert_close(mean_squared_error("relu", p, x, y, entries), whole, rtol=1e-14, atol=0)


def test_losses_are_over_all_training_points_and_over_the_test_points() -> None:
    module = ReLUModule(width=5, seeds=[0, 3])
    found = snapshot(module)
    for r in range(2):
        network = module.to_sequential(r).double()
        for loss, x, y in ((found.loss_train, DATA.x, DATA.y), (found.loss_test, DATA.x_test, DATA.y_test)):
            f = network(torch.from_numpy(x)[:, None])[:, 0].detach().numpy()
            assert float(loss[r]) == pytest.approx(np.mean((f - y) ** 2), rel=1e-12)


def test_without_test_points_there_is_no_test_loss() -> None:
    own = Dataset("own", DATA.x, DATA.y, (0.0, 1.0))
    assert snapshot(LinearModule(), own).loss_test is None


@pytest.mark.parametrize(
    ("theta", "diverged"),
    [(0.0, False), (1e2, False), (-1e3, True), (math.nan, True), (math.inf, True)],
)
def test_divergence_is_a_loss_a_million_times_the_initial_one_or_no_number(theta: float, diverged: bool) -> None:
    initial = snapshot(ConstantModule()).loss_train
    found = snapshot(ConstantModule(), theta=torch.tensor([theta], dtype=torch.float64)).divergence(initial)
    assert (found == (0, "theta")) if diverged else found is None


def test_the_bound_of_divergence_is_a_million() -> None:
    initial = snapshot(ConstantModule()).loss_train
    bound = 1e6 * max(float(initial), float(np.var(DATA.y)))
    mean, spread = DATA.y.mean(), np.var(DATA.y)
    for factor, diverged in ((0.999, False), (1.001, True)):
        theta = mean + math.sqrt(factor * bound - spread)
        found = snapshot(ConstantModule(), theta=torch.tensor([theta], dtype=torch.float64)).divergence(initial)
        assert (found is not None) == diverged


def test_divergence_names_the_replica_and_its_largest_parameter() -> None:
    module = ReLUModule(width=4, seeds=[0, 1, 2])
    initial = snapshot(module).loss_train
    bias = module.values()["bias"]
    bias[1, 2] = math.nan
    assert snapshot(module, bias=bias).divergence(initial) == (1, "bias")


def test_more_than_two_thousand_samples_are_recorded_as_an_even_subsample_with_both_ends() -> None:
    assert recorded(MOST_RECORDED).tolist() == list(range(MOST_RECORDED))
    kept = recorded(10**6)
    assert len(kept) == MOST_RECORDED
    assert (kept[0], kept[-1]) == (0, 10**6 - 1)
    assert set(np.diff(kept)) <= {500, 501}


def test_the_references_of_a_network_are_least_squares_and_ridge_on_its_features() -> None:
    module = ReLUModule(width=3, seeds=[0, 1])
    found = reference(DATA, snapshot(module), 0.1)
    phi, test = (features(module.values(), torch.from_numpy(x)).numpy() for x in (DATA.x, DATA.x_test))
    for r in range(2):
        best, *_ = np.linalg.lstsq(phi[r], DATA.y, rcond=None)
        assert float(found["least_squares"]["loss/train"][r]) == pytest.approx(np.mean((phi[r] @ best - DATA.y) ** 2))
        assert float(found["least_squares"]["loss/test"][r]) == pytest.approx(
            np.mean((test[r] @ best - DATA.y_test) ** 2)
        )
        # the penalty as three more equations; the last column, c, is not in them
        rows = np.vstack([phi[r], math.sqrt(0.1) * np.eye(3, 4)])
        ridge, *_ = np.linalg.lstsq(rows, np.append(DATA.y, np.zeros(3)), rcond=None)
        assert float(found["ridge"]["loss/train"][r]) == pytest.approx(np.mean((phi[r] @ ridge - DATA.y) ** 2))
    assert found["noise_floor"]["loss/train"] == pytest.approx(np.mean(DATA.noise**2))
    assert found["noise_floor"]["loss/test"] == [
        pytest.approx(0.01 * rank / 200) for rank in found["least_squares"]["rank"]
    ]


@pytest.mark.parametrize(
    ("module", "limit"),
    [
        (ConstantModule(), 1.0),
        (ConstantModule(optimizer={"_target_": "torch.optim.SGD", "lr": 1, "momentum": 0.9}), 1.9),
        (LinearModule(), 1 / np.mean(DATA.x**2)),
        (LinearModule(optimizer={"_target_": "torch.optim.Adam", "lr": 1}), None),
        (ReLUModule(), None),
    ],
    ids=["constant", "heavy ball", "linear", "adam", "relu"],
)
def test_the_largest_stable_step_is_told_where_theory_knows_it(module, limit) -> None:
    known = largest_stable_step(module, DATA)
    assert (known is None) if limit is None else known[0] == pytest.approx(limit)


def test_the_output_layer_s_largest_stable_step_is_n_over_sigma_max_squared() -> None:
    module = ReLUModule(train="output")
    sigma = np.linalg.svd(features(module.values(), torch.from_numpy(DATA.x))[0].numpy(), compute_uv=False)[0]
    known = largest_stable_step(module, DATA)
    assert known is not None
    assert known[0] == pytest.approx(200 / sigma**2)


def test_the_advice_names_the_step_and_its_limit() -> None:
    module = LinearModule(optimizer={"_target_": "torch.optim.SGD", "lr": 5.0})
    assert advice(module, DATA) == "optimizer.lr=5.0 is beyond the largest stable step size, 1/mean(x^2) = 3.04033"


def test_the_history_thins_itself_and_keeps_the_beginning() -> None:
    history = VoteHistory()
    for update in range(5000):
        history.add(update, np.array([update, 2.0 * update]))
    updates, norms = history.arrays()
    assert MOST_COLUMNS // 2 < len(updates) <= MOST_COLUMNS
    assert updates[0] == 0
    assert len(set(np.diff(updates))) == 1
    np.testing.assert_array_equal(norms, np.stack([updates, 2 * updates], axis=1))


def test_the_history_goes_on_after_a_checkpoint_as_if_nothing_had_happened() -> None:
    whole, before, after = VoteHistory(), VoteHistory(), VoteHistory()
    for update in range(1500):
        whole.add(update, np.array([float(update)]))
    for update in range(801):
        before.add(update, np.array([float(update)]))
    after.load_state_dict(before.state_dict())
    for update in range(800, 1500):
        after.add(update, np.array([float(update)]))
    np.testing.assert_array_equal(after.arrays()[0], whole.arrays()[0])
    np.testing.assert_array_equal(after.arrays()[1], whole.arrays()[1])


def test_settings_are_told_by_dotted_names_and_targets_by_their_last_word() -> None:
    nested = {"optimizer": {"_target_": "torch.optim.SGD", "lr": 0.1, "betas": [0.9, 0.99]}, "seeds": None, "n": True}
    assert text_summary.flat(nested) == {
        "optimizer": "SGD",
        "optimizer.lr": 0.1,
        "optimizer.betas": "[0.9, 0.99]",
        "n": "True",
    }
    assert "| `optimizer.lr` | 0.1 |" in text_summary.markdown(text_summary.flat(nested), None)
