"""The `_target_`s that version 0.1.0 wrote into the configurations of its runs, and what they are called now."""

RENAMED = {
    "reluviz.callbacks": "reluviz.training.callbacks",
    "reluviz.callbacks.checkpoints": "reluviz.training.callbacks.checkpoints",
    "reluviz.callbacks.progress": "reluviz.training.callbacks.progress_bar",
    "reluviz.callbacks.snapshots": "reluviz.training.callbacks.snapshot_logger",
    "reluviz.data.Linear": "reluviz.data.EverySchedule",
    "reluviz.data.Log": "reluviz.data.LogSchedule",
    "reluviz.data.files": "reluviz.data.point_files",
    "reluviz.data.module": "reluviz.data.datamodule",
    "reluviz.data.snapshots": "reluviz.data.schedules",
    "reluviz.data.snapshots.Linear": "reluviz.data.schedules.EverySchedule",
    "reluviz.data.snapshots.Log": "reluviz.data.schedules.LogSchedule",
    "reluviz.logger": "reluviz.record.logger",
    "reluviz.models.base": "reluviz.models.module",
}
"""Names, or the beginnings of names, of 0.1.0 -> today's."""


def current_class(key: str, name: str) -> str:
    """Return today's name of the class that a run recorded for a setting, such as snapshots."""
    return current(f"reluviz.data.{name}").rpartition(".")[2] if key == "snapshots" else name


def current(target: str) -> str:
    """Return today's name of a class or function that may go by its name of version 0.1.0."""
    parts = target.split(".")
    for end in range(len(parts), 1, -1):
        if (name := ".".join(parts[:end])) in RENAMED:
            return ".".join([RENAMED[name], *parts[end:]])
    return target
