"""Access to the compiled losses and votes, for callers that import neither numba nor torch unless they need them."""

import importlib.util

from reluviz.core.snapshot import CompiledVotes


def compiled_votes() -> CompiledVotes | None:
    """Return `reluviz.engines.votes`, which takes half a second to import; None without numba."""
    if importlib.util.find_spec("numba") is None:
        return None
    from reluviz.engines import votes

    return votes
