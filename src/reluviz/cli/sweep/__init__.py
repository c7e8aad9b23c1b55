"""Sweeps: many runs, in this process or in others. Each run leaves its result in its own folder.

The state of a job is read from its folder alone, so that any process on any machine may have trained it:

    metrics.json     the job has ended: finished, diverged, or stopped by a signal
    failure.json     the job could not be run, and why
    .lock            the process that runs the job now
    none of these    the job was killed, or has not begun
"""
