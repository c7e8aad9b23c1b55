"""The one place for tag names and for the layout of the tensors that a run leaves in its event files.

Tensors carry the plugin name "reluviz" and, as plugin content, JSON that says how to read them:

    reluviz/data           once; 1-D float64: the fields of {"fields": [[name, length], ...]} one after another:
                           x, y, target (if known), x_test, y_test (if any), recorded (indices of recorded samples);
                           also model, name, domain, trained (names of parameters), seeds, settings (key to value)
    reluviz/params         each snapshot; [R, P] in {"fields": [[name, count], ...]} order, in the run's precision
    reluviz/replicas       each snapshot; float64 [R, F], what the scalars have the median of, for each replica:
                           {"fields": ["loss/train", "loss/test", "loss/batch", "units/dead", ...]}, those that the
                           model has. It comes first in its event, so that many runs can be read without the rest
    reluviz/votes          each snapshot; float32 [V, 3, n]: residual, norm of the contribution, vote share
    reluviz/contributions  where asked for; float32 [V, n, P]: g_i / N of the recorded samples, trained
                           parameters only ({"fields": ...} as above)

Of R replicas the first V are shown, at most `core.snapshot.MOST_SHOWN`: the figures of single samples are theirs. The
parameters are those of all replicas, so that everything else follows from them.
"""

import functools

PLUGIN = "reluviz"

LOSS_TRAIN, LOSS_TEST, LOSS_BATCH = "loss/train", "loss/test", "loss/batch"
GRAD_NORM, NOISE_SCALE = "grad/norm", "grad/noise_scale"
THETA, THETA_OPTIMUM = "theta", "theta/optimum"
ELBOW, INPUT_SLOPE, SLOPE_JUMP = "elbow", "input_slope", "slope_jump"
UNITS = "units"
VOTES_EFFECTIVE = "votes/effective"
VOTES_HISTOGRAM = "votes"
FIT, VOTES, VOTES_HISTORY = "fit", "votes", "votes/history"
DATA, PARAMS, REPLICAS, VOTE_SERIES, CONTRIBUTIONS = (
    "reluviz/data",
    "reluviz/params",
    "reluviz/replicas",
    "reluviz/votes",
    "reluviz/contributions",
)
TEXT = "run"
QUARTILES = ("q25", "q75")


@functools.cache
def units(kind: str, own: tuple[int, ...], width: int) -> list[str]:
    """Return the tags of some units' own scalars."""
    return [unit(kind, k, width) for k in own]


def unit(kind: str, k: int, width: int) -> str:
    """Return the tag of a unit's own scalar: elbow/07."""
    return f"{kind}/{k:0{max(2, len(str(width - 1)))}d}"
