"""Ray on one machine: a head and a worker of one core each.

    python -m tests.clusters.ray_cluster COMMAND...

runs COMMAND where `ray.init(address="auto")` reaches that cluster. Needs root and the extra `ray`.
"""

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .cluster import Cluster, cluster, lacking, main

PORT = 6379
MEMORY = 80_000_000
"""Bytes of a node's object store, about the smallest that Ray takes."""
ALIVE = """
import ray
ray.init(address="auto", logging_level="ERROR", log_to_driver=False)
print("alive", sum(node["Alive"] for node in ray.nodes()))
"""


@contextmanager
def ray_cluster(folder: Path, workers: int = 1) -> Iterator[Cluster]:
    """Give a cluster whose `environment` makes Ray's drivers find it.

    Args:
        folder: for its files, with a short name.
        workers: nodes besides the head.

    Raises:
        RuntimeError: if Ray is missing, or does not start.
    """
    ray = Path(sys.executable).with_name("ray")
    if why := lacking("ip", str(ray)):
        raise RuntimeError(why)
    with cluster(folder) as inside:
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        inside.environment |= {
            "RAY_ADDRESS": f"127.0.0.1:{PORT}",
            # said outright: otherwise a token in the home folder would decide, and one might be put there
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        node = ("--block", "--num-cpus=1", "--node-ip-address=127.0.0.1", f"--object-store-memory={MEMORY}")
        inside.daemon(
            ray, "start", "--head", *node, f"--port={PORT}", f"--temp-dir={folder}", "--include-dashboard=false"
        )
        inside.until(lambda: _alive(inside) == 1, "the head")
        for _ in range(workers):
            inside.daemon(ray, "start", *node, f"--address=127.0.0.1:{PORT}")
        inside.until(lambda: _alive(inside) == workers + 1, "the workers")
        inside.ready()
        yield inside


def _alive(inside: Cluster) -> int:
    words = inside.run(sys.executable, "-c", ALIVE).stdout.split()
    return int(words[-1]) if words[:1] == ["alive"] else 0


if __name__ == "__main__":
    sys.exit(main(ray_cluster, sys.argv[1:], __doc__))
