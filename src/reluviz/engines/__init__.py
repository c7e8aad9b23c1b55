"""Engines make the K updates of a segment in place; compiled kernels also compute large snapshots."""
