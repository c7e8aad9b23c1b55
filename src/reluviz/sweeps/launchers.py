"""Which launchers there are, and what they need."""

import importlib.util

PLUGINS = {
    "joblib": "hydra_plugins.hydra_joblib_launcher",
    "slurm": "hydra_plugins.hydra_submitit_launcher",
    "ray": "hydra_plugins.hydra_ray_launcher",
}
"""Choice of launcher -> the package that it needs, which the extra of the same name installs."""


def missing(choice: str) -> str | None:
    """Return one line if a launcher's plugin is not installed, else None."""
    try:
        found = choice not in PLUGINS or importlib.util.find_spec(PLUGINS[choice]) is not None
    except ModuleNotFoundError:
        found = False
    return None if found else f"launcher={choice}: needs python -m pip install 'reluviz[{choice}]'"
