// The one-parameter linear model f(x) = theta x: a twin of reluviz/core/models/linear.py.

import { oneParameterModel } from "./one_parameter.js";

export const LINEAR_MODEL = oneParameterModel(
  "linear", "y = θ x", (x) => x,
  { caption: "each point asks for y/x, with weight x²", weight: "weight x²", asked: "θ asked for: y / x" },
  { straight: true },
);
