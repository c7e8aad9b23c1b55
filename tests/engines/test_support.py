"""Which engine a run gets, decided without torch."""

import dataclasses

import pytest
import torch

from reluviz.data import Full, WithReplacement
from reluviz.engines import exact, fused, support
from reluviz.engines.support import EXACT, FUSED, Requirements, engine_for
from reluviz.errors import UserError
from reluviz.models import ReLUModule

SGD = {"_target_": "torch.optim.SGD", "lr": 0.1}
RUN = Requirements("relu", "ReLUModule", solved=False, optimizer=SGD, sampler=Full())


def test_auto_is_exact_for_full_batches_else_fused_else_reference() -> None:
    assert engine_for("auto", RUN) == ("exact", "")
    assert engine_for("auto", dataclasses.replace(RUN, sampler=WithReplacement())) == ("fused", "")
    rmsprop = dataclasses.replace(RUN, optimizer={"_target_": "torch.optim.RMSprop"})
    reason = "neither exact nor fused supports optimizer._target_=torch.optim.RMSprop"
    assert engine_for("auto", rmsprop) == ("reference", reason)
    assert engine_for("fused", RUN) == ("fused", "")


@pytest.mark.parametrize("name", ["auto", "exact", "fused", "reference"])
def test_a_solved_run_is_solved_whichever_engine_is_named(name: str) -> None:
    assert engine_for(name, dataclasses.replace(RUN, solved=True)) == ("ridge", "")


def test_a_model_without_kernels_runs_with_reference_and_is_refused_by_name_elsewhere() -> None:
    square = dataclasses.replace(RUN, model="square", class_name="SquareModule")
    assert engine_for("auto", square) == ("reference", "neither exact nor fused supports the model SquareModule")
    assert engine_for("reference", square) == ("reference", "")
    for name in ("exact", "fused"):
        with pytest.raises(UserError, match=f"engine={name}: the model SquareModule is not supported"):
            engine_for(name, square)


@pytest.mark.parametrize("model", ["mlp-20", "mlp-20-20", "mlp-3-4-5-abs", "mlp-20-20-leaky0.01"])
def test_chains_are_trained_by_fused_and_refused_by_exact(model: str) -> None:
    for sampler in (Full(), WithReplacement()):
        chain = dataclasses.replace(RUN, model=model, class_name="MLPModule", sampler=sampler)
        assert engine_for("auto", chain) == ("fused", "")
        assert engine_for("fused", chain) == ("fused", "")
    refusal = "engine=exact: the model MLPModule is not supported; use engine=auto or engine=reference"
    with pytest.raises(UserError, match=f"^{refusal}$"):
        engine_for("exact", dataclasses.replace(RUN, model=model, class_name="MLPModule"))


def test_a_chain_whose_optimiser_has_no_kernel_is_trained_by_reference() -> None:
    chain = dataclasses.replace(RUN, model="mlp-3-4", optimizer={"_target_": "torch.optim.RMSprop"})
    reason = "neither exact nor fused supports optimizer._target_=torch.optim.RMSprop"
    assert engine_for("auto", chain) == ("reference", reason)


@pytest.mark.parametrize("model", [None, "mlp-", "mlp-0-3", "chain"])
def test_a_name_that_is_no_chain_has_no_kernels(model: str | None) -> None:
    run = dataclasses.replace(RUN, model=model)
    assert FUSED.unsupported(run) == "the model ReLUModule"


def test_an_optimiser_added_to_fused_is_not_claimed_by_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    more = dataclasses.replace(FUSED, optimizers=(*FUSED.optimizers, "RMSprop"))
    monkeypatch.setattr(support, "FUSED", more)
    rmsprop = dataclasses.replace(RUN, optimizer={"_target_": "torch.optim.RMSprop"})
    assert engine_for("fused", rmsprop) == ("fused", "")
    assert engine_for("auto", rmsprop) == ("fused", "")
    with pytest.raises(UserError, match=r"engine=exact: optimizer\._target_=torch\.optim\.RMSprop is not supported"):
        engine_for("exact", rmsprop)


def test_the_engines_train_with_the_optimisers_that_the_table_names() -> None:
    assert {kind.__name__ for kind in fused.MOMENTS} == set(FUSED.optimizers)
    assert {kind.__name__ for kind in exact.OPTIMIZERS} == set(EXACT.optimizers)


def test_the_requirements_of_a_module_name_its_device_and_dtype() -> None:
    found = ReLUModule(3, optimizer=SGD).double().requirements(Full())
    assert found == dataclasses.replace(RUN, dtype="float64")
    assert ReLUModule(3).to("meta").requirements(None).device == "meta"
    assert FUSED.unsupported(dataclasses.replace(RUN, device=str(torch.device("cpu", 0)))) is None
    assert FUSED.unsupported(dataclasses.replace(RUN, device="cuda:1")) == "the device cuda:1"
