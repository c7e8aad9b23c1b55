"""The choice of an engine for a run."""

from reluviz.engines import exact, fused
from reluviz.engines.engine import ENGINE_NAMES, Engine, Requirements
from reluviz.engines.reference import Reference
from reluviz.engines.ridge import Ridge
from reluviz.errors import UserError


def choose(name: str, requirements: Requirements) -> Engine:
    """Return the engine of that name; "auto" is the fastest engine that supports the run.

    That is `exact` for full batches, else `fused`, else `reference`, whose `reason` then says why.

    Raises:
        UserError: if there is no such engine, or it does not support the run.
    """
    if name not in ENGINE_NAMES:
        raise UserError(f"engine={name}: must be one of {', '.join(ENGINE_NAMES)}")
    if requirements.solved:
        return Ridge()
    if name == "reference":
        return Reference()
    unsupported = {"exact": exact.unsupported(requirements), "fused": fused.unsupported(requirements)}
    if name != "auto":
        if (feature := unsupported[name]) is not None:
            raise UserError(f"engine={name}: {feature} is not supported; use engine=auto or engine=reference")
        return exact.Exact() if name == "exact" else fused.Fused()
    if unsupported["exact"] is None:
        return exact.Exact()
    if unsupported["fused"] is None:
        return fused.Fused()
    return Reference(reason=f"neither exact nor fused supports {unsupported['fused']}")
