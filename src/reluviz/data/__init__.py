"""Data: the sets of points, the minibatches drawn from them, and the segments between snapshots."""

from reluviz.data.dataset import Dataset
from reluviz.data.files import file
from reluviz.data.samplers import Epoch, Full, Sampler, WithoutReplacement, WithReplacement
from reluviz.data.segments import Piece, Segment
from reluviz.data.snapshots import Linear, Log, Snapshots
from reluviz.data.targets import piecewise_linear, sine

__all__ = [
    "Dataset",
    "Epoch",
    "Full",
    "Linear",
    "Log",
    "Piece",
    "Sampler",
    "Segment",
    "Snapshots",
    "WithReplacement",
    "WithoutReplacement",
    "file",
    "piecewise_linear",
    "sine",
]
