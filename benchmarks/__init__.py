"""How fast reluviz is, and how to measure it again; figures of one run are kept in RESULTS.md.

Run the programs from anywhere: `python benchmarks/engines.py --help`, and likewise course.py and logging.py.
"""
