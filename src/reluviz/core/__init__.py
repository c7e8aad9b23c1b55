"""The mathematics as pure functions: predictions, elbows, votes, snapshots and theory.

Three files come in pairs. `functions`, `votes` and `snapshot` compute with NumPy arrays: they work without torch, and
compute the snapshots that a run records. `functions_torch`, `votes_torch` and `snapshot_torch` do the same with
tensors, for autograd and the public API. `elbows` has the tensor functions of elbows; their NumPy versions are in
`functions`.
"""
