"""The mathematics: predictions, elbows, votes, snapshots and theory, as pure functions."""
