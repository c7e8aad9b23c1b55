// The tags that the page reads: a twin of record/tags.py.

export const LOSS_TRAIN = "loss/train";
export const LOSS_TEST = "loss/test";
export const LOSS_BATCH = "loss/batch";
export const QUARTILES = ["q25", "q75"];

/** The tags of the quartiles of a scalar over the replicas. */
export const quartileTags = (tag) => QUARTILES.map((quartile) => `${tag}/${quartile}`);
