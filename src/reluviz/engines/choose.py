"""The choice of an engine for a run."""

from reluviz.engines import exact, fused
from reluviz.engines.engine import NAMES, Engine, Requirements
from reluviz.engines.reference import Reference
from reluviz.engines.ridge import Ridge
from reluviz.errors import UserError


def choose(name: str, needs: Requirements) -> Engine:
    """Return the engine of that name; "auto" is the fastest that supports the run.

    That is `exact` for full batches, else `fused`, else `reference`, whose `reason` then says why.

    Raises:
        UserError: if there is no such engine, or it does not support the run.
    """
    if name not in NAMES:
        raise UserError(f"engine={name}: must be one of {', '.join(NAMES)}")
    if needs.solved:
        return Ridge()
    if name == "reference":
        return Reference()
    refused = {"exact": exact.unsupported(needs), "fused": fused.unsupported(needs)}
    if name != "auto":
        if (what := refused[name]) is not None:
            raise UserError(f"engine={name}: {what} is not supported; use engine=auto or engine=reference")
        return exact.Exact() if name == "exact" else fused.Fused()
    if refused["exact"] is None:
        return exact.Exact()
    if refused["fused"] is None:
        return fused.Fused()
    return Reference(reason=f"neither exact nor fused supports {refused['fused']}")
