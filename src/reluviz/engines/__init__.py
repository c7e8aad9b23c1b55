"""Engines make the K updates of a segment in place; large snapshots are computed by compiled code, too."""
