"""Slurm on one machine: two nodes of one core, with the database that knows how jobs ended.

    python -m tests.clusters.slurm COMMAND...

runs COMMAND where sbatch, squeue and scancel reach that cluster. Needs root and the Debian packages slurm-wlm,
slurmdbd, munge and mariadb-server.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .cluster import Cluster, cluster, lacking, main

PROGRAMS = ("ip", "munged", "mariadbd", "mariadb-install-db", "slurmctld", "slurmd", "slurmdbd", "sbatch")
PORTS = {"slurmctld": 6817, "slurmd": 6820, "slurmdbd": 6819}
DATABASE = """
[mysqld]
user=root
datadir={folder}/db
socket={folder}/db.s
pid-file={folder}/db.pid
skip-networking
skip-grant-tables
innodb_buffer_pool_size=16M
innodb_log_file_size=8M
"""
SLURMDBD = """
AuthType=auth/munge
AuthInfo=socket={folder}/m.s
DbdHost=localhost
DbdPort={port}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageUser=root
"""
# without a database submitit waits for ever for a job that was killed; linuxproc and none need no cgroups; and
# otherwise the scheduler would look for free nodes every three seconds only
SLURM = """
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort={ports[slurmctld]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/m.s
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePass={folder}/m.s
AccountingStoragePort={ports[slurmdbd]}
MpiDefault=none
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1
ReturnToService=2
KillWait=5
{nodes}
PartitionName=all Nodes=n[1-{count}] Default=YES State=UP
"""


@contextmanager
def slurm_cluster(folder: Path, nodes: int = 2) -> Iterator[Cluster]:
    """Give a cluster whose `environment` makes Slurm's commands talk to it.

    Args:
        folder: for its files, with a short name.
        nodes: of one core each.

    Raises:
        RuntimeError: if a program is missing, or does not start.
    """
    if why := lacking(*PROGRAMS):
        raise RuntimeError(why)
    with cluster(folder) as inside:
        _configure(folder, nodes)
        inside.environment |= {"SLURM_CONF": str(folder / "slurm.conf"), "MYSQL_UNIX_PORT": str(folder / "db.s")}
        # it trusts no folder that others may enter less freely than /tmp, which matters where there are others
        inside.daemon(
            "munged",
            "--foreground",
            "--force",
            f"--socket={folder / 'm.s'}",
            f"--key-file={folder / 'munge.key'}",
            f"--pid-file={folder / 'munged.pid'}",
            f"--seed-file={folder / 'munged.seed'}",
        )
        made = inside.run("mariadb-install-db", f"--defaults-file={folder / 'db.cnf'}", "--skip-test-db")
        if made.returncode:
            raise RuntimeError(made.stdout + made.stderr)
        inside.daemon("mariadbd", f"--defaults-file={folder / 'db.cnf'}")
        inside.until(lambda: (folder / "m.s").exists() and (folder / "db.s").exists(), "munge and the database")
        inside.daemon("slurmdbd", "-D")
        inside.until(lambda: inside.run("sacctmgr", "-i", "add", "cluster", "test").returncode == 0, "slurmdbd")
        inside.daemon("slurmctld", "-D")
        for number in range(1, nodes + 1):
            inside.daemon("slurmd", "-D", "-N", f"n{number}")
        inside.until(lambda: _idle(inside) == nodes, "the nodes")
        inside.ready()
        yield inside


def queued(inside: Cluster) -> list[str]:
    """Return the jobs that wait or run."""
    return inside.run("squeue", "--noheader", "--format=%i %T").stdout.splitlines()


def _configure(folder: Path, nodes: int) -> None:
    lines = [
        f"NodeName=n{n} NodeHostname=localhost NodeAddr=127.0.0.1 Port={PORTS['slurmd'] + n} CPUs=1 State=UNKNOWN"
        for n in range(1, nodes + 1)
    ]
    _private(folder / "munge.key", os.urandom(128))
    _private(folder / "db.cnf", DATABASE.format(folder=folder).encode())
    _private(folder / "slurmdbd.conf", SLURMDBD.format(folder=folder, port=PORTS["slurmdbd"]).encode())
    slurm = SLURM.format(folder=folder, ports=PORTS, nodes="\n".join(lines), count=nodes)
    (folder / "slurm.conf").write_text(slurm)
    (folder / "state").mkdir()


def _private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def _idle(inside: Cluster) -> int:
    return inside.run("sinfo", "--noheader", "--Node", "--format=%T").stdout.split().count("idle")


if __name__ == "__main__":
    sys.exit(main(slurm_cluster, sys.argv[1:], __doc__))
