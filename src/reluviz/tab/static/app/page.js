// The entry of a page that holds its runs.

import { App, start } from "./app.js";
import { embeddedSource } from "./source.js";

/** Show the runs of this page in an element. */
export const startPage = (root) => start(new App(root, embeddedSource(document)));
