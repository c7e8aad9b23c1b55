"""Programs that measure how fast reluviz is; RESULTS.md contains their results on one machine.

They run from any folder: `python benchmarks/engines.py --help`, and likewise the other programs that RESULTS.md names.
"""
