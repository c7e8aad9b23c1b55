// The constant model f(x) = theta: a twin of reluviz/core/models/constant.py.

import { oneParameterModel } from "./one_parameter.js";

export const CONSTANT = oneParameterModel(
  "constant", "y = θ", () => 1,
  { caption: "each point asks for its y, all with the same weight", weight: "weight 1 each", asked: "θ asked for: y" },
  { straight: true, equalWeights: true },
);
