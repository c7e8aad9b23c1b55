// The button that ends a long repetition.

import { h } from "../drawing/dom.js";

/** @param {import("./app.js").App} app */
export const stopButton = (app) =>
  h("button.action.stop", { type: "button", text: "Stop", title: "Keep the branch as far as it has come", hidden: true, onclick: () => app.training.stopRepeating() });
