"""Lazy import of the numba-compiled functions for losses and votes (the points' contributions to the gradient).

Importing this module imports neither numba nor torch.
"""

import importlib.util

from reluviz.core.snapshot import CompiledVotes


def load_compiled_votes() -> CompiledVotes | None:
    """Return the module `reluviz.engines.votes`, whose functions are those of `CompiledVotes`; None without numba.

    The first call imports it, which takes half a second.
    """
    if importlib.util.find_spec("numba") is None:
        return None
    from reluviz.engines import votes

    return votes
