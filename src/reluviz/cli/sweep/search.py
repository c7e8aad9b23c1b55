"""A search for the settings with the smallest loss: Optuna proposes trials, the sweep's launcher runs them.

The study is stored as a journal in the sweep's folder, so that a search can be resumed.
"""

import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from reluviz.cli.sweep.sweep import Sweep, run_overrides
from reluviz.errors import UserError
from reluviz.files import write_json

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

JOURNAL_FILE = "study.log"
BEST_FILE = "best.json"
SIGNIFICANT_DIGITS = 6
"""Of a number from an interval; more would only make the folders' names longer."""
STUDY_NAME = "reluviz"
RETRIED_TRIAL = "again"
"""Attribute of a trial: the number of the interrupted trial with the same settings."""


def search(sweep: Sweep, launcher: Any, overrides: Sequence[Override]) -> float:
    """Run `sweep.trials` trials, and return the smallest loss.

    Args:
        sweep: the sweep.
        launcher: Hydra's, for the trials.
        overrides: of the sweep; those with several values or an interval span the space that is searched.

    Raises:
        UserError: if there is no such override, or if the bounds of an interval are in the wrong order.
    """
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {one.get_key_element(): _distribution(one) for one in overrides if one.is_sweep_override()}
    if not space:
        raise UserError("sweeper=optuna: needs something to search, as in 'step_size=tag(log,interval(1e-3,1))'")
    single = [one for one in overrides if not one.is_sweep_override()]
    fixed = [f"{one.get_key_element()}={one.get_value_element_as_str()}" for one in single]
    seed = next((int(str(one.value())) for one in single if one.get_key_element() == "seed"), 0)
    study = _open_study(sweep.folder, seed)
    _retry_interrupted_trials(study)
    complete = [one.params for one in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
    sweep.add_done_jobs([_overrides(fixed, params) for params in complete])
    while (left := _trials_left(study, sweep.trials)) > 0:
        trials = [study.ask(space) for _ in range(min(left, sweep.parallel_trials))]
        grid = [_overrides(fixed, trial.params) for trial in trials]
        different = {tuple(one): None for one in grid}
        results = dict(zip(different, sweep.run(launcher, [list(one) for one in different]), strict=True))
        for trial, one in zip(trials, grid, strict=True):
            loss = results[tuple(one)].loss
            if loss is None:
                study.tell(trial, state=TrialState.FAIL)
            else:
                # a study refuses infinite values
                study.tell(trial, min(loss, 1e300))
    return _write_best(sweep, study, fixed, list(space))


def _open_study(folder: Path, seed: int) -> "Study":
    """Return the study that is stored in the sweep's folder, or a new one."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path = str(folder / JOURNAL_FILE)
    _remove_incomplete_line(folder / JOURNAL_FILE)
    with warnings.catch_warnings():
        # Optuna marks some of its classes as experimental
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            storage = JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))
            study = optuna.create_study(storage=storage, study_name=STUDY_NAME, load_if_exists=True)
        except (LookupError, TypeError, ValueError) as error:
            raise UserError(f"{path}: is damaged; without it the search starts again, and keeps its runs") from error
        # another seed for a resumed study, which would otherwise draw the values of its first trials again
        study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials), constant_liar=True)
        return study


def _remove_incomplete_line(journal: Path) -> None:
    """Remove an incomplete last line; otherwise the next entry would be appended to it."""
    if journal.exists() and not (content := journal.read_bytes()).endswith(b"\n"):
        os.truncate(journal, content.rfind(b"\n") + 1)


def _retry_interrupted_trials(study: "Study") -> None:
    """Enqueue the trials that were running when the process ended."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs={RETRIED_TRIAL: trial.number})


def _trials_left(study: "Study", wanted: int) -> int:
    """Return how many trials remain; a trial and its retry count as one."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    waiting = sum(one.state == TrialState.WAITING for one in trials)
    retries = sum(RETRIED_TRIAL in one.user_attrs for one in trials)
    return max(0, wanted - (len(trials) - retries)) + waiting


def _write_best(sweep: Sweep, study: "Study", fixed: Sequence[str], keys: Sequence[str]) -> float:
    """Write and print the best trial, and return its loss."""
    from optuna.trial import TrialState

    from reluviz.cli import terminal

    complete = study.get_trials(states=(TrialState.COMPLETE,))
    if not complete:
        return math.inf
    best = study.best_trial
    assert best.value is not None
    found = _overrides([], {key: best.params[key] for key in keys})
    overrides = [*run_overrides(fixed), *found]
    content = {"overrides": overrides, "loss": best.value, "trial": best.number, "trials": len(complete)}
    write_json(sweep.folder / BEST_FILE, json.loads(json.dumps(content)))
    terminal.print_best(found, best.value, len(complete))
    return best.value


def _distribution(override: Override) -> "BaseDistribution":
    """Return Optuna's distribution for an override with several values or an interval."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    log = "log" in getattr(value, "tags", set())
    try:
        if isinstance(value, IntervalSweep):
            assert value.start is not None
            assert value.end is not None
            if isinstance(value.start, int) and isinstance(value.end, int):
                return IntDistribution(value.start, value.end, log=log)
            return FloatDistribution(float(value.start), float(value.end), log=log)
        if isinstance(value, RangeSweep):
            start, stop, step = value.start or 0, value.stop, value.step
            assert stop is not None
            if all(isinstance(one, int) for one in (start, stop, step)):
                return IntDistribution(int(start), int(stop) - 1, step=1 if log else int(step), log=log)
            return FloatDistribution(float(start), float(stop), step=None if log else float(step), log=log)
    except ValueError as error:
        raise UserError(f"{override.input_line}: {' '.join(str(error).split())}") from error
    assert isinstance(value, ChoiceSweep)
    return CategoricalDistribution(list(override.sweep_string_iterator()))


def _overrides(fixed: Sequence[str], params: Mapping[str, Any]) -> list[str]:
    """Return the overrides of a trial."""
    return [*fixed, *(f"{key}={_formatted(value)}" for key, value in params.items())]


def _formatted(value: Any) -> str:
    return f"{value:.{SIGNIFICANT_DIGITS}g}" if isinstance(value, float) else str(value)
