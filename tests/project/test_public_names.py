"""`import reluviz` offers the public names and imports nothing heavy."""

import importlib
import subprocess
import sys

import pytest

import reluviz

MODULES = {
    "functions": "reluviz.core.functions",
    "geometry": "reluviz.core.elbows",
    "pictures": "reluviz.plots",
    "theory": "reluviz.core.theory",
    "votes": "reluviz.core.votes",
}
"""Public modules: the name in `reluviz` -> the module."""


@pytest.mark.parametrize("name", sorted(set(reluviz.__all__) - set(MODULES) - {"Early", "Linear", "Log"}))
def test_every_public_class_or_function_can_be_imported_by_its_own_name(name: str) -> None:
    assert getattr(reluviz, name).__name__ == name


def test_early_linear_and_log_are_the_schedules_under_their_configuration_names() -> None:
    assert reluviz.Early is reluviz.EarlySchedule
    assert reluviz.Linear is reluviz.EverySchedule
    assert reluviz.Log is reluviz.LogSchedule


@pytest.mark.parametrize("name", MODULES)
def test_every_public_module_can_be_imported_by_its_public_name(name: str) -> None:
    assert name in reluviz.__all__
    assert getattr(reluviz, name) is importlib.import_module(MODULES[name])


def test_dir_lists_the_public_names() -> None:
    assert dir(reluviz) == sorted(reluviz.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(reluviz, "ReluModule")


def test_importing_the_package_imports_no_heavy_dependency() -> None:
    code = "import sys, reluviz; print([m for m in ('torch', 'lightning', 'hydra', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
