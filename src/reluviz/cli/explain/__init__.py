"""The verb `explain`: the equations behind an experiment with the numbers of its data, before any training."""

import json
import sys
import textwrap
from typing import Any

from omegaconf import DictConfig, OmegaConf

from reluviz.cli import config
from reluviz.errors import UserError

HELP = """usage: python -m reluviz explain [+exp=NAME] [KEY=VALUE ...] [--json]

The equations of a model with the numbers of your data, and who votes for what
at the start. Nothing is trained, no file is made.

  python -m reluviz explain +exp=linear                 y = θ x, the course's
  python -m reluviz explain +exp=linear data.n=5        few points, to check
  python -m reluviz explain +exp=linear optimizer.lr=4  a step size too large
  python -m reluviz explain +exp=constant data=file data.path=points.csv
  python -m reluviz explain +exp=relu model.width=40    elbows, votes, limits

{experiments}
Without one: the default network. Any key of `train` can be given;
python -m reluviz train --help lists them.

options:
  --json  one JSON object with every point and every unit, for programs
  --help  print this"""


def main(argv: list[str]) -> int:
    """Explain what the command line describes; return the exit status.

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
    found = explanation(overrides)
    if "--json" in flags:
        _write(json.dumps(found, allow_nan=False))
    else:
        from reluviz.cli.explain import render

        _write(render.text(found, colour=sys.stdout.isatty()))
    return 0


def explanation(overrides: list[str]) -> dict[str, Any]:
    """Return what is known of an experiment before its first update, as plain values that JSON has.

    Args:
        overrides: Hydra's, as for `train`. An experiment that is a sweep counts with its first run, and a run
            of several replicas with its first.

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
    from reluviz.training import prepare

    task = config.task(cfg)
    prepared = prepare.prepare(task)
    seeds = prepared.module.seeds
    if len(seeds) > 1:
        # a replica is a run with its own seed: the first one alone is built
        task.seeds, task.replicas, task.seed = None, 1, seeds[0]
        prepared = prepare.prepare(task)
    notes = []
    if varied:
        notes.append(f"This experiment is a sweep over {varied}; its first run is shown.")
    if len(seeds) > 1:
        notes.append(f"Of the {len(seeds)} replicas the first is shown, seed {seeds[0]}.")
    return facts(prepared, seeds, notes)


def _first_of_sweep(cfg: DictConfig, overrides: list[str]) -> tuple[DictConfig, str]:
    """Return the configuration of the first run of an experiment that is a sweep, and what it varies."""
    preset = OmegaConf.select(cfg, "hydra.sweeper.params") or {}
    given = {override.key_or_group for override in config.parse(overrides)}
    varied = [f"{key}={values}" for key, values in preset.items() if key not in given]
    return (config.compose_checked([*overrides, *varied]) if varied else cfg), " and ".join(varied)


def _write(text: str) -> None:
    """Print a text on any terminal."""
    if hasattr(sys.stdout, "reconfigure"):
        # a terminal without Greek letters shows a question mark instead of failing
        sys.stdout.reconfigure(errors="replace")
    print(text, flush=True)
