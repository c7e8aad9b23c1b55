"""Settings name classes and functions by `_target_`, also by the names that version 0.1.0 had for them."""

import pytest

from reluviz.errors import UserError
from reluviz.training.instantiate import RENAMED, build, find_target

# names of 0.1.0 -> what they name
OLD_TARGETS = {
    "reluviz.callbacks.SnapshotLogger": "SnapshotLogger",
    "reluviz.callbacks.checkpoints.Checkpoints": "Checkpoints",
    "reluviz.callbacks.progress.ProgressBar": "ProgressBar",
    "reluviz.callbacks.snapshots.SnapshotLogger": "SnapshotLogger",
    "reluviz.data.Early": "EarlySchedule",
    "reluviz.data.Linear": "EverySchedule",
    "reluviz.data.Log": "LogSchedule",
    "reluviz.data.files.file": "file",
    "reluviz.data.module.SineData": "SineData",
    "reluviz.data.snapshots.Linear": "EverySchedule",
    "reluviz.data.snapshots.Log": "LogSchedule",
    "reluviz.logger.RunLogger": "RunLogger",
    "reluviz.models.base.RegressionModule": "RegressionModule",
}


@pytest.mark.parametrize(("target", "name"), OLD_TARGETS.items())
def test_a_target_of_version_0_1_0_is_found(target: str, name: str) -> None:
    assert find_target({"_target_": target}, "key").__name__ == name


def test_every_renamed_module_is_tried() -> None:
    for old in RENAMED:
        assert any(target == old or target.startswith(f"{old}.") for target in OLD_TARGETS), old


def test_a_name_that_begins_like_a_renamed_one_is_not_renamed() -> None:
    with pytest.raises(UserError, match=r"reluviz\.loggers\.RunLogger: there is no such class"):
        find_target({"_target_": "reluviz.loggers.RunLogger"}, "key")


def test_a_node_is_built_from_its_arguments() -> None:
    assert build({"_target_": "reluviz.data.Linear", "every": 7}, "snapshots").every == 7
