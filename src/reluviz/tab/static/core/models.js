// The models of the page. Importing the file of a model registers it.

import { registered } from "./registry.js";
import * as constant from "./models/constant.js";
import * as linear from "./models/linear.js";
import * as relu from "./models/relu.js";

/** The model of a name. @param {string} name */
export const modelOf = (name) => registered(name);
