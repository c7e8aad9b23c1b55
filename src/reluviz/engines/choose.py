"""The choice of an engine for a run."""

from reluviz.engines.engine import Engine
from reluviz.engines.exact import Exact
from reluviz.engines.fused import Fused
from reluviz.engines.reference import Reference
from reluviz.engines.ridge import Ridge
from reluviz.engines.support import Requirements, engine_for


def choose(name: str, requirements: Requirements) -> Engine:
    """Return the engine of that name; "auto" is the fastest engine that supports the run.

    Where that is `reference`, its `reason` says why.

    Raises:
        UserError: if there is no such engine, or it does not support the run.
    """
    chosen, reason = engine_for(name, requirements)
    if chosen == Reference.name:
        return Reference(reason)
    engines: dict[str, type[Exact | Fused | Ridge]] = {engine.name: engine for engine in (Exact, Fused, Ridge)}
    return engines[chosen]()
