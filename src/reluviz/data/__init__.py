"""Data: the sets of points, the minibatches drawn from them, and the segments between snapshots."""
