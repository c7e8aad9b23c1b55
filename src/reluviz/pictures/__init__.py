"""Pictures of a run, drawn without a window: what has been learned, and who voted for it."""

from reluviz.pictures.fit import FitPicture
from reluviz.pictures.history import history_png
from reluviz.pictures.reuse import for_run
from reluviz.pictures.votes import VotesPicture

__all__ = ["FitPicture", "VotesPicture", "for_run", "history_png"]
