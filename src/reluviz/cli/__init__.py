"""The command line: the verbs, Hydra's configuration, sweeps, and what is printed."""
