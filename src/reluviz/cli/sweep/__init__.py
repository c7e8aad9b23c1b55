"""Sweeps: many runs, in this process or elsewhere, each of which leaves its outcome in its own folder.

What happened to a job is read from its folder alone, so that it does not matter who trained it, or where:

    metrics.json     it ended: finished, diverged, or stopped by a signal
    failure.json     it could not be run, and why
    .pulse           it is being run now: the number inside grows every second
    neither          it was killed, or has not begun
"""
