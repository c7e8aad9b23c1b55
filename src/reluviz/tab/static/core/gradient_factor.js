// The factor of the derivative of f in the gradient of one squared residual: a twin of `PerSampleGradients` in
// reluviz/core/models/model.py.

/** 2 r_i in g_i = grad(r_i^2) = 2 r_i df(x_i)/dtheta. */
export const twice = (residual) => 2 * residual;
