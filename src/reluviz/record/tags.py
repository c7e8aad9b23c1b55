"""Tag names, and the layout of the tensors that a run records. This is the only place that defines them.

Tensors carry the plugin name "reluviz" and, as plugin content, JSON that describes their layout:

    reluviz/data           once; 1-D float64: the concatenated fields of {"fields": [[name, length], ...]}:
                           x, y, target (if known), x_test, y_test (if any), recorded (indices of recorded samples);
                           also model, name, domain, trained (names of parameters), seeds, settings (key to value), and
                           if the target is known its name in `data.targets.TARGETS`, null if it is not there; and if
                           the run trained on scaled data, scaling [x0, s_x, y0, s_y], see `data.scaling`
    reluviz/params         each snapshot; [R, P] as trained, in {"fields": [[name, count], ...]} order and the run's
                           precision
    reluviz/replicas       each snapshot; float64 [R, F]: losses and unit counts of each replica (the scalars are their
                           medians), {"fields": ["loss/train", "loss/test", "loss/batch", "units/dead", ...]} as far as
                           the model has them. It is the first value of its event, so that many runs can be read
                           quickly, without parsing the rest
    reluviz/votes          each snapshot; float32 [V, 3, n]: residual in the user's units; norm of the contribution and
                           vote share as trained
    reluviz/kinks          each snapshot of a chain of several layers; float64 [K, 6] in the units of training, of the
                           first V replicas: replica; layer from 1 and unit from 0 whose pre-activation changes its sign
                           here; x; f(x); the jump of f' at x. Each replica's rows are sorted by x. The first and the
                           last have layer 0: they are the ends of the data, with f' there instead of its jump
    reluviz/findings       at the end of the run; a text, the JSON list of `core.findings.Finding.plain`. It is the only
                           value of its event
    reluviz/contributions  at selected snapshots; float32 [V, n, P]: g_i / N of the recorded samples, trained
                           parameters only ({"fields": ...} as above)

Values of single samples are recorded for the first V of the R replicas, V = min(R, `core.snapshot.MAX_SHOWN_REPLICAS`).
The parameters of all replicas are recorded, so that every other quantity can be computed from them.
"""

import functools

PLUGIN = "reluviz"

LOSS_TRAIN, LOSS_TEST, LOSS_BATCH = "loss/train", "loss/test", "loss/batch"
LOSSES = (LOSS_TRAIN, LOSS_TEST, LOSS_BATCH)
GRAD_NORM, NOISE_SCALE = "grad/norm", "grad/noise_scale"
THETA, THETA_OPTIMUM = "theta", "theta/optimum"
ELBOW, INPUT_SLOPE, SLOPE_JUMP = "elbow", "input_slope", "slope_jump"
UNITS, KINKS = "units", "kinks"
VOTES_EFFECTIVE = "votes/effective"
VOTES_HISTOGRAM = "votes"
FIT, VOTES, VOTES_HISTORY = "fit", "votes", "votes/history"
PICTURE_KINDS = (FIT, VOTES)
"""Pictures that can be drawn of any snapshot."""
DATA, PARAMS, REPLICAS, VOTE_SERIES, KINK_SERIES, CONTRIBUTIONS, FINDINGS = (
    "reluviz/data",
    "reluviz/params",
    "reluviz/replicas",
    "reluviz/votes",
    "reluviz/kinks",
    "reluviz/contributions",
    "reluviz/findings",
)
KINK_FIELDS = ("replica", "layer", "unit", "x", "value", "jump")
"""The columns of `KINK_SERIES`."""
MEDIAN_SCALARS = (LOSS_BATCH, GRAD_NORM, NOISE_SCALE, VOTES_EFFECTIVE, THETA_OPTIMUM)
"""Scalars that `export --csv` takes from the record, since they do not follow from the parameters. A run with several
replicas records only their median."""
TEXT = "run"
QUARTILES = ("q25", "q75")


@functools.cache
def unit_tags(kind: str, units: tuple[int, ...], width: int) -> list[str]:
    """Return the scalar tags of some units of a network."""
    return [unit_tag(kind, k, width) for k in units]


def unit_tag(kind: str, k: int, width: int) -> str:
    """Return the scalar tag of unit k: elbow/07."""
    return f"{kind}/{k:0{max(2, len(str(width - 1)))}d}"


def count_tag(status: str) -> str:
    """Return the scalar tag of the number of hidden units with a status: units/dead."""
    return f"{UNITS}/{status}"


def layer_tag(tag: str, layer: str) -> str:
    """Return the tag of a quantity of one layer: votes/effective/layer_2."""
    return f"{tag}/{layer}"


def is_loss(tag: str) -> bool:
    """Return whether a tag is that of a loss."""
    return tag.startswith("loss/")
