"""The entry point for TensorBoard, in the group `tensorboard_plugins`."""

import argparse
from typing import Any

from tensorboard.plugins import base_plugin

from reluviz.record.tags import PLUGIN

DEFAULT_RELOAD_SECONDS, RELOAD_SECONDS = 5.0, 1.0
"""Seconds between two reads of the event files: TensorBoard's default, and what the tab needs to follow a run."""


class ReLULoader(base_plugin.TBLoader):  # type: ignore[misc]
    """Creates the plugin and sets TensorBoard's flags so that it keeps every snapshot."""

    def fix_flags(self, flags: argparse.Namespace) -> None:
        """Keep every snapshot and reload every second, unless the user has set these flags."""
        samples_per_plugin = getattr(flags, "samples_per_plugin", None)
        if isinstance(samples_per_plugin, dict):
            # by default TensorBoard keeps a random sample of 100 or 10
            samples_per_plugin.setdefault(PLUGIN, 0)
        if getattr(flags, "reload_interval", None) == DEFAULT_RELOAD_SECONDS:
            flags.reload_interval = RELOAD_SECONDS

    def load(self, context: base_plugin.TBContext) -> Any:
        """Return the plugin; None where TensorBoard runs without a data provider."""
        if context.data_provider is None:
            return None
        from reluviz.tab.plugin import ReLUPlugin

        return ReLUPlugin(context)
