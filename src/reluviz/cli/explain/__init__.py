"""The verb `explain`: prints the equations behind an experiment with the numbers of its data, before any training."""

import json
import sys
import textwrap
from typing import Any

from omegaconf import DictConfig, OmegaConf

from reluviz.cli import config
from reluviz.errors import UserError

HELP = """usage: python -m reluviz explain [+exp=NAME] [KEY=VALUE ...] [--json]

Show the equations of a model with the numbers of your data, and what each
point votes for at the start. Nothing is trained, and no file is written.

  python -m reluviz explain +exp=linear                 y = θ x, the course's
  python -m reluviz explain +exp=linear data.n=5        few points, to check
  python -m reluviz explain +exp=linear optimizer.lr=4  a step size too large
  python -m reluviz explain +exp=constant data=file data.path=points.csv
  python -m reluviz explain +exp=relu model.width=40    elbows, votes, limits

{experiments}
Without an experiment: the default network. Any key of `train` can be given;
python -m reluviz train --help lists them.

options:
  --json  print one JSON object with every point and every unit, for programs
  --help  print this help"""


def main(argv: list[str]) -> int:
    """Explain the run that the command line describes, and return the exit status.

    Raises:
        UserError: for bad input.
    """
    flags = [word for word in argv if word.startswith("-") and word != "-"]
    overrides = [word for word in argv if word not in flags]
    if wrong := [flag for flag in flags if flag not in ("--json", "--help", "-h")]:
        raise UserError(f"{wrong[0]}: explain has no such option; it has --json and --help")
    if "--help" in flags or "-h" in flags:
        experiments = textwrap.fill(f"experiments: {', '.join(config.choices('exp'))}", 79, subsequent_indent="  ")
        _write(HELP.format(experiments=experiments))
        return 0
    found = explanation(config.as_typed(overrides))
    if "--json" in flags:
        _write(json.dumps(found, allow_nan=False))
    else:
        from reluviz.cli.explain import render

        _write(render.as_text(found, colour=sys.stdout.isatty()))
    return 0


def explanation(overrides: list[str]) -> dict[str, Any]:
    """Return all that is known about an experiment before its first update, as values that JSON can hold.

    Args:
        overrides: Hydra's, as for `train`. Of an experiment that is a sweep the first run is explained, and of a run
            with several replicas the first replica.

    Raises:
        UserError: for bad input.
    """
    for override in config.parse(overrides):
        if override.is_sweep_override():
            raise UserError(f"{override.input_line}: several values; explain takes one")
    cfg = config.compose_checked(overrides)
    if cfg.ckpt_path is not None:
        raise UserError(f"ckpt_path={cfg.ckpt_path}: explain describes the start of a run; leave it out")
    cfg, varied = _first_of_sweep(cfg, overrides)
    from reluviz.cli.explain.facts import facts
    from reluviz.training.start import find_start

    step_given = config.step_is_given(cfg.hydra.overrides.task)
    start = find_start(config.without_hydra(cfg), cfg.hydra.runtime.choices, step_given)
    notes = list(start.dataset.notes)
    if varied:
        notes.append(f"This experiment is a sweep over {varied}; its first run is shown.")
    if len(start.seeds) > 1:
        # it is the same as a run with its seed alone
        notes.append(f"Of the {len(start.seeds)} replicas the first is shown, seed {start.seeds[0]}.")
    return facts(start, notes)


def _first_of_sweep(cfg: DictConfig, overrides: list[str]) -> tuple[DictConfig, str]:
    """Return the configuration of a sweep's first run, and the overrides that vary, in words; "" if there is no sweep.

    Args:
        cfg: the composed configuration.
        overrides: from which it was composed; keys that they set do not vary.
    """
    preset = OmegaConf.select(cfg, "hydra.sweeper.params") or {}
    set_keys = {override.key_or_group for override in config.parse(overrides)}
    varied = [f"{key}={values}" for key, values in preset.items() if key not in set_keys]
    return (config.compose_checked([*overrides, *varied]) if varied else cfg), " and ".join(varied)


def _write(text: str) -> None:
    """Print a text with Greek letters on any terminal."""
    if hasattr(sys.stdout, "reconfigure"):
        # a question mark replaces each letter that the terminal's encoding lacks
        sys.stdout.reconfigure(errors="replace")
    print(text, flush=True)
