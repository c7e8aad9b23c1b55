// The tasks of the playground: questions of a discussion sheet that can be answered with this page.

/**
 * Name -> a task. `settings` and `view`, in the words of the address, are those with which it begins.
 * @type {Object<string, {title: string, question: string, steps: string[], look: string, settings: any, view?: any}>}
 */
export const TASKS = {
  constant: {
    title: "y = θ: gradient and optimum",
    question: "The model is y = θ.",
    steps: ["a"],
    look: "b",
    settings: { model: "constant" },
  },
};
