"""Access to the compiled losses and votes; importing this module imports neither numba nor torch."""

import importlib.util

from reluviz.core.snapshot import CompiledVotes


def compiled_votes() -> CompiledVotes | None:
    """Return the module `reluviz.engines.votes`, which takes half a second to import; None without numba."""
    if importlib.util.find_spec("numba") is None:
        return None
    from reluviz.engines import votes

    return votes
