// The tasks of the playground: questions of a discussion sheet that can be answered with this page. Names of buttons, inputs
// and panels stand in “quotation marks”.

const RELU = { model: "relu" }, OUTPUT = { train: "output", lr: 0.2 };
/** Without a control branch for each change. */
const ALONE = { control: "off" };
/** At a pace at which a run can be paused after some ten thousand updates. */
const PACED = { pace: "10000" };
const SINGLE = { sampler: "with_replacement", batch: 1 };

/**
 * Name -> a task. `settings` and `view`, in the words of the address, are those with which it begins.
 * @type {Object<string, {title: string, question: string, steps: string[], look: string, settings: any, view?: any}>}
 */
export const TASKS = {
  constant: {
    title: "y = θ: gradient, optimum, update",
    question: "Which θ has the smallest loss, and how far does one update go?",
    steps: ["Derive the gradient of the mean of (θ − y)², and the best θ.", "Press “1 update” a few times. Read θ on the parabola before and after.", "Drag the dot of the parabola to another θ, and press “1 update” again."],
    look: "Divide each move of θ by the “step size”: is it minus your gradient? Where do the moves end?",
    settings: { model: "constant" },
    view: ALONE,
  },
  constant_votes: {
    title: "y = θ: the votes",
    question: "Do all points get the same vote?",
    steps: ["Click points: which θ does each ask for, and with which weight?", "Compare “share”, “asks of f” and “norm” in “The votes of the points”.", "Press “1\u202f000 updates”, and compare again."],
    look: "What is the same for all points, and what is not? Where do the votes cancel?",
    settings: { model: "constant" },
  },
  constant_single: {
    title: "y = θ: single samples",
    question: "What does each point contribute if an update uses one point only?",
    steps: ["Click a point: the shading is one update on this point alone. Compare several points.", "Press “1 update” ten times. Follow “The path of θ”.", "Press “1\u202f000 updates”. Then set “step size” to 0.01, and press it again: “control 1” goes on as before."],
    look: "Does θ come to rest? What does the step size change, and what stays the same on average?",
    settings: { model: "constant", ...SINGLE },
  },
  linear: {
    title: "y = θ x: gradient, optimum, update",
    question: "Which θ has the smallest loss, and which step sizes reach it?",
    steps: ["Derive the gradient of the mean of (θ x − y)², and the best θ.", "Press “1 update” a few times. Read θ on the parabola before and after.", "Press “Restart”, set “step size” to 1.5, and repeat. Then 3, and 3.1."],
    look: "Divide each move of θ by the step size: is it minus your gradient? From which step size on does θ run away, and what has this to do with mean x²?",
    settings: { model: "linear" },
    view: ALONE,
  },
  linear_votes: {
    title: "y = θ x: the votes",
    question: "Do all points get the same vote, and why or why not?",
    steps: ["Click a point near x = 0 and one near x = 1: which θ does each ask for, and with which weight?", "Compare “share”, “asks of f” and “norm” in “The votes of the points”.", "Press “1\u202f000 updates”, and compare again."],
    look: "Which points decide where θ* lies? Read the number of “effective votes”.",
    settings: { model: "linear" },
  },
  linear_single: {
    title: "y = θ x: single samples",
    question: "What does each point contribute if an update uses one point only?",
    steps: ["Click points at several x: the shading is one update on this point alone.", "Press “1 update” ten times. Follow “The path of θ”.", "Press “1\u202f000 updates”. Then set “step size” to 0.02, and press it again: “control 1” goes on as before."],
    look: "Which points move θ far, and which hardly at all? What does a smaller step size change?",
    settings: { model: "linear", ...SINGLE },
  },
  slopes_and_elbows: {
    title: "ReLU: slopes and elbows",
    question: "How do slopes and elbows change, and how do they shape the function?",
    steps: ["Press “Train”, and “Pause” after some 20\u202f000 updates.", "Click a triangle, and drag the slider at the bottom: follow this unit in all panels.", "Press “slope f′”, and compare its steps with “The units”."],
    look: "At which places do elbows gather? What does one unit do to f at its elbow, and to the left and right of it?",
    settings: RELU,
    view: PACED,
  },
  batches: {
    title: "Gradient descent or minibatches",
    question: "What do minibatches change?",
    steps: ["Press “1\u202f000 updates” several times: each update uses all points. Press “Keep”.", "Press “Restart”: a second run begins beside it. Set “batches” to random points and “batch size” to 5.", "Train it as far in the same way, and compare the two runs in “The loss” and “The elbows through time”."],
    look: "Which run learns more in as many updates? How many points has each used? What does a batch do to the paths?",
    settings: { ...RELU, sampler: "full", lr: 0.05 },
    view: { relus: "none" },
  },
  output_layer: {
    title: "Output layer only: width",
    question: "What does the width do if only the output layer is trained?",
    steps: ["Press “Train”, and “Pause” after some 20\u202f000 updates. Press “Keep”.", "Set “units” to 40: a second run begins beside it. Train it about as far.", "Press “least squares”: the best output layer for these elbows."],
    look: "Compare the test losses. At which corners of the true function does the narrow network fail, and why?",
    settings: { ...RELU, ...OUTPUT, width: 5 },
    view: { ...PACED, relus: "none" },
  },
  place_elbows: {
    title: "Where would you put the elbows?",
    question: "Nine units, and only the output layer is trained: where would you put the elbows?",
    steps: ["Press “Train” for a few seconds, and note the test loss.", "Drag a triangle below the points to another place, and press “Solve output weights”.", "Move more of them, one after the other, and solve again each time."],
    look: "Which placement has the smallest test loss? Would training all layers find it?",
    settings: { ...RELU, ...OUTPUT, width: 9 },
    view: { relus: "none" },
  },
  ridge: {
    title: "Ridge regression",
    question: "Which penalty λ is best for which width, and is training or solving more efficient?",
    steps: ["Press “Solve output weights”. Move “ridge λ”, and read the test loss in “What if?”.", "Set “units” to 10, then 40, and repeat.", "Press “Restart”, and “Train” for a while: how far does it come?"],
    look: "Which λ has the smallest test loss at each width? How many updates does training need to come as far?",
    settings: { ...RELU, ...OUTPUT },
    view: { relus: "none" },
  },
  all_layers: {
    title: "All layers: where elbows go",
    question: "Where do the elbows go if all layers are trained, and which units die?",
    steps: ["Press “Train”, and “Pause” after some 50\u202f000 updates.", "Follow single units: click a line in “The elbows through time”.", "Press “New seed”, and train again."],
    look: "Which corners attract elbows first? Find dead units: what happened to them before they died, and can they come back?",
    settings: RELU,
    view: PACED,
  },
  step_size: {
    title: "All layers: why a smaller step size",
    question: "Why does training all layers need a smaller step size than the output layer alone?",
    steps: ["Press “Train”, and “Pause” after some 20\u202f000 updates. Press “Keep”.", "Press “Restart”, and set “step size” to 0.3. Train this run about as far.", "Press “Keep” and “Restart”. Set “trained” to output layer only, and train about as far."],
    look: "Click the runs at the top: how many units are dead in each? What moves far in one step?",
    settings: RELU,
    view: { ...PACED, relus: "none" },
  },
  test_error: {
    title: "Test error below training error",
    question: "Why is the test error below the training error?",
    steps: ["Press “Train” until both losses hardly fall any more. Read them.", "Press “Restart”, set “noise” to 0, and train as long.", "Press “Restart”, set “noise” to 0.2, and train as long."],
    look: "What do the training points have that the test points lack? Press “references” in “The loss”: which level does the training loss approach?",
    settings: { ...RELU, lr: 0.05 },
  },
  optimizers: {
    title: "Optimisers from the same start",
    question: "Which optimiser learns most from the same start?",
    steps: ["Press “Train”, and “Pause” after some 10\u202f000 updates. Press “Keep”.", "Set “optimiser” to momentum: a second run begins beside it. Train it about as far, and press “Keep”.", "Do the same with Adam."],
    look: "Compare the losses at the same update: drag the slider. Is the order the same for another seed?",
    settings: { ...RELU, width: 40, noise: 0.01 },
    view: { ...PACED, relus: "none" },
  },
  noise: {
    title: "The effect of noise",
    question: "What does noise on the points do to the learned function?",
    steps: ["Press “Train”. While it trains, set “noise” to 0.5.", "Pause. “control 1” has gone on without the change: compare the two.", "Set “data seed” to other values, and train on: the noise is drawn anew."],
    look: "Does f follow the noise? Where do the elbows go now? What would more points, or fewer units, change?",
    settings: RELU,
    view: { relus: "none" },
  },
  own_data: {
    title: "Your own data",
    question: "What does the network make of your points?",
    steps: ["Press “edit points”: drag points, click to add one. Or paste a table under “Data”.", "Press “Train”.", "Move a point while it trains."],
    look: "How many bends do your points need, and how many units? Which points pull hardest?",
    settings: { ...RELU, data: "own" },
    view: ALONE,
  },
};
