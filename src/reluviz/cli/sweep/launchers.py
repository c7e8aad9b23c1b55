"""The optional packages that some launchers and sweepers need."""

import importlib.util

REQUIRED_PACKAGES = {
    ("launcher", "joblib"): "hydra_plugins.hydra_joblib_launcher",
    ("launcher", "slurm"): "hydra_plugins.hydra_submitit_launcher",
    ("launcher", "ray"): "hydra_plugins.hydra_ray_launcher",
    ("sweeper", "optuna"): "optuna",
}
"""(group, choice) -> the package that the choice needs. The extra with the choice's name installs it."""


def missing_package(group: str, choice: str) -> str | None:
    """Return a one-line message if the package that a choice needs is not installed, else None."""
    package = REQUIRED_PACKAGES.get((group, choice))
    try:
        found = package is None or importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        found = False
    return None if found else f"{group}={choice}: needs python -m pip install 'reluviz[{choice}]'"
