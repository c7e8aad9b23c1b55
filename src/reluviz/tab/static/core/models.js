// The models that the page can show: importing the file of a model registers it. A further model is one file in models/
// and one line here.

import * as chain from "./models/chain.js";
import * as constant from "./models/constant.js";
import * as linear from "./models/linear.js";
import * as relu from "./models/relu.js";
import { allModels, registered } from "./registry.js";

/** The names and titles of all models, the last registered first. */
export const modelTitles = () => allModels().map(({ name, words }) => [name, words.title]).reverse();

/** The model with a name. It throws an error with one plain sentence if there is none. */
export const modelNamed = (name) => registered(name);
