"""`import reluviz` is the table of public names, and costs next to nothing."""

import subprocess
import sys

import reluviz


def test_every_public_name_can_be_imported() -> None:
    for name in reluviz.__all__:
        found = getattr(reluviz, name)
        shown = {"Linear": "EverySchedule", "Log": "LogSchedule"}.get(name, name)
        shown = {"functions": "functions_torch", "geometry": "elbows", "pictures": "plots", "votes": "votes_torch"}.get(
            shown, shown
        )
        assert getattr(found, "__name__", "").rpartition(".")[2] == shown
    assert dir(reluviz) == sorted(reluviz.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(reluviz, "ReluModule")


def test_importing_the_package_imports_no_heavy_one() -> None:
    code = "import sys, reluviz; print([m for m in ('torch', 'lightning', 'hydra', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
