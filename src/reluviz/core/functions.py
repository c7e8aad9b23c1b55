"""The models f(x), their tangent features df/dtheta and their loss, as pure functions of NumPy arrays (float64).

Users call these functions as `reluviz.functions`.

Legend of shapes: R replicas, N samples, W hidden units. Parameters are a mapping from name to array; every array has a
leading replica axis. x is [N], shared by the replicas, or [R, N].

    constant  f(x) = theta                                        theta [R]
    linear    f(x) = theta x                                      theta [R]
    relu      f(x) = c + sum_k v_k relu(w_k x + b_k)              input_slope w, bias b, output_weight v: [R, W]
                                                                  output_bias c: [R]
    mlp-W1-W2...  a chain, see `core.models.mlp`                  also weight_2 [R, W2, W1], bias_2 [R, W2], ...
"""

import numpy as np

from reluviz.core.models import MODELS, Array, Parameters
from reluviz.core.models.relu import hidden_layer
from reluviz.core.models.relu import preactivation as preactivation
from reluviz.data.scaling import Scaling

PARAMETERS: dict[str, tuple[str, ...]] = {name: tuple(model.parameters) for name, model in MODELS.items()}
"""Names of the parameters of each model that is not a chain of several layers."""


def parameter_names(model: str) -> tuple[str, ...]:
    """Return the names of the parameters of a model.

    Raises:
        KeyError: if there is no such model.
    """
    return tuple(MODELS[model].parameters)


def predict(model: str, p: Parameters, x: Array) -> Array:
    """Return f(x), [R, N].

    Raises:
        KeyError: if there is no such model.
    """
    return MODELS[model].predict(p, x)


def user_predict(model: str, p: Parameters, x: Array, scaling: Scaling) -> Array:
    """Return y0 + s_y f_u((x - x0) / s_x), the learned function of the user's x, [R, N].

    Args:
        model: the model's name.
        p: the parameters as trained.
        x: inputs in the user's units, [N] or [R, N].
        scaling: between the user's units and those of training.
    """
    return scaling.user_y(predict(model, p, scaling.trained_x(x)))


def user_parameters(model: str, p: Parameters, scaling: Scaling) -> Parameters:
    """Return the parameters of the same function of the user's x, from those as trained; any leading axes.

    They are float64, and `p` itself if the run trained in the user's units.

    Raises:
        ValueError: if the model trains in the user's units only, and these are others.
    """
    if scaling.identity:
        return p
    convert = MODELS[model].in_user_units
    if convert is None:
        raise ValueError(f"a {model} model trains in the user's units")
    return convert(p, scaling)


def tangent(model: str, p: Parameters, x: Array, precision: str = "float64") -> dict[str, Array]:
    """Return the tangent features J_i = df(x_i)/dtheta in closed form, one array per parameter.

    With the gates a_ik = 1[w_k x_i + b_k > 0], decided in the given precision (`geometry.is_active`):

        constant  df/dtheta = 1                  linear  df/dtheta = x_i
        relu      df/dw_k = v_k a_ik x_i         df/db_k = v_k a_ik
                  df/dv_k = relu(w_k x_i + b_k)  df/dc   = 1

    Returns:
        name -> [R, N] for a parameter with one value per replica, [R, N, W] for one with a value per unit.

    Raises:
        KeyError: if there is no such model.
    """
    return MODELS[model].tangent(p, x, precision)


def features(p: Parameters, x: Array) -> Array:
    """Return the hidden features Phi = [relu(w_k x_i + b_k), 1], [R, N, W + 1], the column of ones last."""
    hidden = hidden_layer(p, x)
    return np.concatenate([hidden, np.ones_like(hidden[..., :1])], axis=-1)


def mean_squared_error(model: str, p: Parameters, x: Array, y: Array, entries: int = 2**17) -> Array:
    """Return L = (1/N) sum_i (f(x_i) - y_i)^2, [R], in bounded memory.

    The loss of a replica does not depend, bit for bit, on which other replicas are computed with it.

    Args:
        model: the model's name.
        p: the parameters.
        x: inputs [N].
        y: targets [N].
        entries: the largest number of hidden activations held at a time.
    """
    width = max(int(np.prod(value.shape[1:2])) for value in p.values())
    replicas, sample_step = len(next(iter(p.values()))), max(1, entries // width)
    replica_step = max(1, entries // (width * min(sample_step, len(x))))
    found = np.zeros(replicas)
    for first in range(0, replicas, replica_step):
        rows = slice(first, first + replica_step)
        part = {name: value[rows] for name, value in p.items()}
        for start in range(0, len(x), sample_step):
            at = slice(start, start + sample_step)
            # the loss of a diverged replica may overflow to inf or NaN
            with np.errstate(all="ignore"):
                found[rows] += np.square(predict(model, part, x[at]) - y[at]).sum(-1)
    return found / len(x)
