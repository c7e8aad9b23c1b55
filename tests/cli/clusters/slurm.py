"""Slurm on one machine: two nodes with one core each, and the database that records how jobs ended.

    python -m tests.cli.clusters.slurm COMMAND...

runs COMMAND with sbatch, squeue and scancel reaching that cluster. Needs root and the Debian packages slurm-wlm,
slurmdbd, munge and mariadb-server.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .cluster import Cluster, cluster, main, missing_requirement

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
# Without a database submitit waits forever for a job that was killed. linuxproc and none need no cgroups. By default
# the scheduler would look for free nodes only every three seconds.
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
    """Yield a cluster with an `environment` in which Slurm's commands find it.

    Args:
        folder: for its files, with a short path.
        nodes: the number of nodes; each has one core.

    Raises:
        RuntimeError: if a program is missing, or does not start.
    """
    if message := missing_requirement(*PROGRAMS):
        raise RuntimeError(message)
    with cluster(folder) as inside:
        _write_configuration(folder, nodes)
        inside.environment |= {"SLURM_CONF": str(folder / "slurm.conf"), "MYSQL_UNIX_PORT": str(folder / "db.s")}
        # --force, because munged refuses a socket in a folder that other users cannot enter
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
        inside.wait_until(lambda: (folder / "m.s").exists() and (folder / "db.s").exists(), "munge and the database")
        inside.daemon("slurmdbd", "-D")
        inside.wait_until(lambda: inside.run("sacctmgr", "-i", "add", "cluster", "test").returncode == 0, "slurmdbd")
        inside.daemon("slurmctld", "-D")
        for number in range(1, nodes + 1):
            inside.daemon("slurmd", "-D", "-N", f"n{number}")
        inside.wait_until(lambda: _idle(inside) == nodes, "the nodes")
        inside.mark_own_processes()
        yield inside


def queued(inside: Cluster) -> list[str]:
    """Return the jobs that wait or run, one line each."""
    return inside.run("squeue", "--noheader", "--format=%i %T").stdout.splitlines()


def _write_configuration(folder: Path, nodes: int) -> None:
    lines = [
        f"NodeName=n{n} NodeHostname=localhost NodeAddr=127.0.0.1 Port={PORTS['slurmd'] + n} CPUs=1 State=UNKNOWN"
        for n in range(1, nodes + 1)
    ]
    _write_private(folder / "munge.key", os.urandom(128))
    _write_private(folder / "db.cnf", DATABASE.format(folder=folder).encode())
    _write_private(folder / "slurmdbd.conf", SLURMDBD.format(folder=folder, port=PORTS["slurmdbd"]).encode())
    slurm = SLURM.format(folder=folder, ports=PORTS, nodes="\n".join(lines), count=nodes)
    (folder / "slurm.conf").write_text(slurm)
    (folder / "state").mkdir()


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def _idle(inside: Cluster) -> int:
    """Return the number of idle nodes."""
    return inside.run("sinfo", "--noheader", "--Node", "--format=%T").stdout.split().count("idle")


if __name__ == "__main__":
    sys.exit(main(slurm_cluster, sys.argv[1:], __doc__))
