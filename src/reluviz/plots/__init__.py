"""Matplotlib pictures of a run, drawn without a window: the learned function and the votes of the data points."""

from reluviz.plots.figure_cache import for_run
from reluviz.plots.fit import FitPicture
from reluviz.plots.history import history_png
from reluviz.plots.votes import VotesPicture

__all__ = ["FitPicture", "VotesPicture", "for_run", "history_png"]
