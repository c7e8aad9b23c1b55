// The one-parameter linear model f(x) = theta x: a twin of core/models/linear.py.

import { register } from "../registry.js";
import { oneParameterModel } from "./one_parameter.js";

export const LINEAR = register(oneParameterModel({
  name: "linear",
  stepSize: 0.2,
  feature: (x) => x,
  straight: true,
  python: "theta * x",
  words: {
    title: "y = θ x",
    asks: "each point asks for y/x, with weight x²",
    candidate: "θ asked for: y / x",
    weight: "weight x²",
    limit: "1/mean(x^2)",
    limitWithMomentum: "(1 + momentum)/mean(x^2)",
  },
}));
