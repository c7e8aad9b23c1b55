"""What TensorBoard finds under its entry point `tensorboard_plugins`."""

import argparse
from typing import Any

from tensorboard.plugins import base_plugin

from reluviz.record.tags import PLUGIN

DEFAULT_RELOAD, RELOAD = 5.0, 1.0
"""Seconds between two looks at the event files: TensorBoard's default, and what following a run takes."""


class ReLULoader(base_plugin.TBLoader):  # type: ignore[misc]
    """Makes the plugin, and sees to it that TensorBoard keeps what it needs."""

    def fix_flags(self, flags: argparse.Namespace) -> None:
        """Keep every snapshot, and look for new ones every second, unless the user asked for something else."""
        kept = getattr(flags, "samples_per_plugin", None)
        if isinstance(kept, dict):
            # by default TensorBoard keeps a random hundred, or ten
            kept.setdefault(PLUGIN, 0)
        if getattr(flags, "reload_interval", None) == DEFAULT_RELOAD:
            flags.reload_interval = RELOAD

    def load(self, context: base_plugin.TBContext) -> Any:
        """Return the plugin; None where TensorBoard runs without a data provider."""
        if context.data_provider is None:
            return None
        from reluviz.tab.plugin import ReLUPlugin

        return ReLUPlugin(context)
