"""Searching for the settings with the smallest loss: Optuna asks, the sweep's launcher answers.

The study is a journal in the sweep's folder, so that it goes on where it stopped.
"""

import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep

from reluviz.cli.sweep.sweep import Sweep, kept
from reluviz.errors import UserError
from reluviz.files import write_json

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution

JOURNAL = "study.log"
BEST = "best.json"
DIGITS = 6
"""Of a number between two bounds: more would only make long names."""
NAME = "reluviz"
AGAIN = "again"
"""Of a trial, the number of the one whose settings it has, and which was not brought to its end."""


def search(sweep: Sweep, launcher: Any, overrides: Sequence[Override]) -> float:
    """Try settings until there are as many trials as asked for; return the smallest loss.

    Args:
        sweep: the sweep.
        launcher: Hydra's, for the trials.
        overrides: those that hold several values, or an interval, are what is searched.

    Raises:
        UserError: if nothing is searched, or a range is none.
    """
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {one.get_key_element(): _distribution(one) for one in overrides if one.is_sweep_override()}
    if not space:
        raise UserError("sweeper=optuna: needs something to search, as in 'step_size=tag(log,interval(1e-3,1))'")
    given = [one for one in overrides if not one.is_sweep_override()]
    fixed = [f"{one.get_key_element()}={one.get_value_element_as_str()}" for one in given]
    study = _study(sweep.folder, next((int(str(one.value())) for one in given if one.get_key_element() == "seed"), 0))
    _go_on(study)
    ended = [one.params for one in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
    sweep.remember([_overrides(fixed, params) for params in ended])
    while (left := _left(study, sweep.trials)) > 0:
        trials = [study.ask(space) for _ in range(min(left, sweep.together))]
        grid = [_overrides(fixed, trial.params) for trial in trials]
        known = {tuple(one): None for one in grid}
        endings = dict(zip(known, sweep.run(launcher, [list(one) for one in known]), strict=True))
        for trial, one in zip(trials, grid, strict=True):
            loss = endings[tuple(one)].loss
            if loss is None:
                study.tell(trial, state=TrialState.FAIL)
            else:
                # a study takes no infinite values
                study.tell(trial, min(loss, 1e300))
    return _finish(sweep, study, fixed, list(space))


def _study(folder: Path, seed: int) -> "Study":
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    path = str(folder / JOURNAL)
    _mend(folder / JOURNAL)
    with warnings.catch_warnings():
        # parts of Optuna's that are not settled yet
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            storage = JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))
            study = optuna.create_study(storage=storage, study_name=NAME, load_if_exists=True)
        except (LookupError, TypeError, ValueError) as error:
            raise UserError(f"{path}: is damaged; without it the search begins anew, and keeps its runs") from error
        # a study that goes on must not draw once more what it drew at its beginning
        study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials), constant_liar=True)
        return study


def _mend(journal: Path) -> None:
    """Take away a line that was not written to its end, or what comes next would be put behind it."""
    if journal.exists() and not (content := journal.read_bytes()).endswith(b"\n"):
        os.truncate(journal, content.rfind(b"\n") + 1)


def _go_on(study: "Study") -> None:
    """Have trials that were under way when the process ended tried again."""
    from optuna.trial import TrialState

    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs={AGAIN: trial.number})


def _left(study: "Study", wanted: int) -> int:
    """Return how many trials are still to be made; one that is tried again counts once."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    waiting = sum(one.state == TrialState.WAITING for one in trials)
    again = sum(AGAIN in one.user_attrs for one in trials)
    return max(0, wanted - (len(trials) - again)) + waiting


def _finish(sweep: Sweep, study: "Study", fixed: Sequence[str], keys: Sequence[str]) -> float:
    from optuna.trial import TrialState

    from reluviz.cli import terminal

    complete = study.get_trials(states=(TrialState.COMPLETE,))
    if not complete:
        return math.inf
    best = study.best_trial
    assert best.value is not None
    found = _overrides([], {key: best.params[key] for key in keys})
    content = {"overrides": [*kept(fixed), *found], "loss": best.value, "trial": best.number, "trials": len(complete)}
    write_json(sweep.folder / BEST, json.loads(json.dumps(content)))
    terminal.best(found, best.value, len(complete))
    return best.value


def _distribution(override: Override) -> "BaseDistribution":
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
    return [*fixed, *(f"{key}={_shown(value)}" for key, value in params.items())]


def _shown(value: Any) -> str:
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)
