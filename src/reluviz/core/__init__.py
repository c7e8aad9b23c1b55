"""The mathematics, in NumPy: models, elbows, votes, snapshots and theory. Each formula stands here once.

`models/` has a record for each model. `functions`, `elbows`, `votes` and `theory` are the public functions. `snapshot`
computes everything that a run records from its parameters.

Twins of these formulas exist where NumPy cannot run or is too slow: `engines/predict.py` in torch, for autograd;
`engines/votes.py` with `engines/vote_kernels.py` in numba, for large runs; the kernels of the engines; and
`tab/static/core` in JavaScript. A twin names its original in its first lines, and a test compares both.
"""
