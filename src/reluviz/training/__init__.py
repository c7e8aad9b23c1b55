"""One run: it is prepared, trained, and its snapshots are computed and recorded."""
