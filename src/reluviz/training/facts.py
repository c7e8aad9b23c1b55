"""Gathers the facts of a run from which its findings follow."""

import functools

import numpy as np
from numpy.typing import NDArray

from reluviz.core.models import MODELS
from reluviz.core.run_facts import OutputLayer, RunFacts, SettingNames, neighbour_noise
from reluviz.core.snapshot import ParameterArrays, Snapshots
from reluviz.core.theory import linear
from reluviz.core.theory.baselines import ReferenceValues
from reluviz.core.theory.output_problem import OutputProblem
from reluviz.core.verdicts import MAX_THEORY_REPLICAS
from reluviz.data.datamodule import SegmentData
from reluviz.models.module import RegressionModule
from reluviz.training.divergence import is_plain, largest_stable_step
from reluviz.training.loss_history import LossHistory

OUTPUT_LAYER = ("output_weight", "output_bias")


def run_facts(
    module: RegressionModule,
    data: SegmentData,
    history: LossHistory,
    last: Snapshots,
    not_diverged: NDArray[np.bool_],
    reference: ReferenceValues,
    start: ParameterArrays | None = None,
    divergence_advice: str = "",
    names: SettingNames | None = None,
) -> RunFacts:
    """Return the facts of a run.

    Args:
        module: the model.
        data: the data module.
        history: losses and unit counts at all snapshots up to the last.
        last: the last snapshot, S = 1.
        not_diverged: which replicas have not diverged, [R].
        reference: the reference values at that snapshot.
        start: the parameters before the first update; None if they are unknown.
        divergence_advice: advice for a run that has diverged.
        names: how advice writes settings; as in Python by default.
    """
    x, y, points = last.dataset.x, last.dataset.y, last.dataset.as_trained
    record, settings = MODELS[module.model], module.optimizer_settings
    rate = settings.get("lr")
    # the limits and the contraction hold for a constant rate
    plain = module.scheduler_settings is None and is_plain(settings)
    solved = getattr(module, "train_mode", None) == "ridge"
    least_squares, optimum = reference.least_squares, reference.optimum_losses

    def output_layer(r: int) -> OutputLayer:
        p = {name: value[0, r : r + 1] for name, value in last.parameters.items()}
        theta = np.append(p["output_weight"][0], p["output_bias"])
        assert record.hidden_features is not None
        problem = OutputProblem.of(p, points.x, points.y, hidden=record.hidden_features)
        variance = float(np.var(points.y))
        return OutputLayer(problem.phi, problem.y, problem.samples, variance, theta, float(settings["lr"]))

    @functools.cache
    def stable_step() -> float | None:
        some = None if start is None else {name: value[:MAX_THEORY_REPLICAS] for name, value in start.items()}
        known = largest_stable_step(module, last.dataset, some, last.precision)
        return None if known is None else known[0]

    return RunFacts(
        updates=np.array(history.updates, dtype=np.int64),
        planned=data.updates,
        loss=history.loss(),
        diverged=~not_diverged,
        # the variance of equal numbers may differ from 0 by rounding
        variance=float(np.var(y)) if np.ptp(y) > 0 else 0.0,
        noise=neighbour_noise(y),
        width=getattr(module, "width", 0),
        hidden=record.architecture.hidden if record.architecture else (),
        dead=history.count("dead"),
        linear=history.count("linear"),
        hidden_trained="bias" in module.trained,
        output_trained=solved or "output_bias" in module.trained,
        ridge=getattr(module, "ridge", None) if solved else None,
        optimum=None if optimum is None else float(optimum.train[0]),
        contraction=linear.contraction_factor(record.feature(points.x), rate)
        if record.feature and plain and rate
        else None,
        least_squares=None if least_squares is None else least_squares.losses.train,
        output_layer=output_layer if plain and not solved and set(module.trained) == set(OUTPUT_LAYER) else None,
        placed_by=_placed_by(module),
        rate=rate,
        stable_step=stable_step,
        divergence_advice=divergence_advice,
        scaled=last.dataset.scale == "auto" or not last.dataset.scaling.identity,
        x_range=(float(x.min()), float(x.max())),
        y_range=(float(y.min()), float(y.max())),
        names=names or SettingNames(),
    )


def _placed_by(module: RegressionModule) -> tuple[str, ...]:
    """Return the settings by which a user has placed the elbows."""
    placed = {
        "positions": getattr(module, "positions", None) is not None,
        "init_from": getattr(module, "from_file", False),
    }
    return tuple(name for name, given in placed.items() if given)
