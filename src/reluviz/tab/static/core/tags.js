// Tags of scalars: a twin of reluviz/record/tags.py.

export const LOSS_TRAIN = "loss/train";
export const LOSS_TEST = "loss/test";
export const LOSS_BATCH = "loss/batch";
