"""Ray on one machine: a head and a worker with one core each.

    python -m tests.cli.clusters.ray_cluster COMMAND...

runs COMMAND with `ray.init(address="auto")` reaching that cluster. Needs root and the extra `ray`.
"""

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .cluster import Cluster, cluster, main, missing_requirement

PORT = 6379
OBJECT_STORE_BYTES = 80_000_000
"""Of a node; about the smallest size that Ray accepts."""
PRINT_ALIVE = """
import ray
ray.init(address="auto", logging_level="ERROR", log_to_driver=False)
print("alive", sum(node["Alive"] for node in ray.nodes()))
"""


@contextmanager
def ray_cluster(folder: Path, workers: int = 1) -> Iterator[Cluster]:
    """Yield a cluster with an `environment` in which Ray's drivers find it.

    Args:
        folder: for its files, with a short path.
        workers: the number of nodes in addition to the head.

    Raises:
        RuntimeError: if Ray is missing, or does not start.
    """
    ray = Path(sys.executable).with_name("ray")
    if message := missing_requirement("ip", str(ray)):
        raise RuntimeError(message)
    with cluster(folder) as inside:
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        inside.environment |= {
            "RAY_ADDRESS": f"127.0.0.1:{PORT}",
            # explicitly, because Ray would otherwise use or create a token in the home folder
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        node = ("--block", "--num-cpus=1", "--node-ip-address=127.0.0.1", f"--object-store-memory={OBJECT_STORE_BYTES}")
        inside.daemon(
            ray, "start", "--head", *node, f"--port={PORT}", f"--temp-dir={folder}", "--include-dashboard=false"
        )
        inside.wait_until(lambda: _alive(inside) == 1, "the head")
        for _ in range(workers):
            inside.daemon(ray, "start", *node, f"--address=127.0.0.1:{PORT}")
        inside.wait_until(lambda: _alive(inside) == workers + 1, "the workers")
        inside.mark_own_processes()
        yield inside


def _alive(inside: Cluster) -> int:
    """Return the number of nodes that are alive."""
    words = inside.run(sys.executable, "-c", PRINT_ALIVE).stdout.split()
    return int(words[-1]) if words[:1] == ["alive"] else 0


if __name__ == "__main__":
    sys.exit(main(ray_cluster, sys.argv[1:], __doc__))
