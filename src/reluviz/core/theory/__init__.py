"""Closed-form results of the theory, to compare runs with. Use float64.

constant  f(x) = theta
    `loss` `gradient` `optimum` `update` `contributions` `candidate` `weight` `contraction_factor`
    `largest_stable_step` `trajectory` `largest_mean_square_step` `stationary_variance`
linear  f(x) = theta x
    the same names
relu  f(x) = c + sum_k v_k relu(w_k x + b_k)
    `least_squares` `ridge` `effective_condition_number` `noise_floor` `expected_training_error`
    `output_trajectory` `updates_to_reach` `largest_stable_step_output` `largest_stable_step_local` `ntk` `hessian`
    `hessian_sharpness`

`constant` and `linear` have the same structure on purpose: read one, then see what changes in the other.
"""

from reluviz.core.theory import constant, linear, relu

__all__ = ["constant", "linear", "relu"]
