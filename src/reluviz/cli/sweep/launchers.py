"""What some choices need beyond reluviz itself."""

import importlib.util

NEEDS = {
    ("launcher", "joblib"): "hydra_plugins.hydra_joblib_launcher",
    ("launcher", "slurm"): "hydra_plugins.hydra_submitit_launcher",
    ("launcher", "ray"): "hydra_plugins.hydra_ray_launcher",
    ("sweeper", "optuna"): "optuna",
}
"""Group and choice -> the package that it needs, which the extra with the choice's name installs."""


def missing(group: str, choice: str) -> str | None:
    """Return one line if what a choice needs is not installed, else None."""
    package = NEEDS.get((group, choice))
    try:
        found = package is None or importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        found = False
    return None if found else f"{group}={choice}: needs python -m pip install 'reluviz[{choice}]'"
