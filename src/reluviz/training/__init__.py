"""Prepares and trains one run, and computes and records its snapshots."""
