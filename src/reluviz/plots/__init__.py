"""Pictures of a run, drawn without a window: what has been learned, and who voted for it."""

from reluviz.plots.figure_cache import for_run
from reluviz.plots.fit import FitPicture
from reluviz.plots.history import history_png
from reluviz.plots.votes import VotesPicture

__all__ = ["FitPicture", "VotesPicture", "for_run", "history_png"]
