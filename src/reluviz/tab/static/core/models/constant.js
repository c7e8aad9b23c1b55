// The constant model f(x) = theta: a twin of core/models/constant.py.

import { register } from "../registry.js";
import { oneParameterModel } from "./one_parameter.js";

export const CONSTANT = register(oneParameterModel({
  name: "constant",
  stepSize: 0.1,
  feature: () => 1,
  straight: true,
  python: "theta + 0 * x",
  words: {
    title: "y = θ",
    asks: "each point asks for its y, all with the same weight",
    candidate: "θ asked for: y",
    weight: "weight 1 each",
    limit: "1 + momentum",
    limitWithMomentum: "1 + momentum",
  },
}));
