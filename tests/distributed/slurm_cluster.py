"""A real Slurm on this machine without systemd: munge, one controller and two nodes, started and ended by pid.

Each node's daemon has a host name of its own that resolves (a UTS and a mount namespace), so it needs root. Nothing is
written outside the cluster's folder.
"""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "unshare", "setpriv")
NODES = {"node1": "127.0.0.11", "node2": "127.0.0.12"}

# What differs from a cluster: no cgroups, more CPUs than there are, and scheduling without delays.
# cred_expire: a job that is queued again waits until its former credential has expired, two minutes by default.
CONFIG = """
ClusterName=rehearsal
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool_%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd_%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd_%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
GresTypes=gpu
KillWait=5
PartitionName=main Nodes=ALL Default=YES State=UP
"""


def missing_requirement() -> str | None:
    """Why no cluster can be started here, or None."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        packages = "slurmctld slurmd slurm-client munge"
        return (
            f"{', '.join(absent)} not installed (Debian: apt-get install --no-install-recommends {packages})"
        )
    return None if os.geteuid() == 0 else "a node with a host name of its own needs root"


class SlurmCluster:
    """Commands of a running cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}

    def run(self, *command: str, cwd: Path | None = None, **environment: str) -> str:
        """What ``command`` prints."""
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, cwd=cwd, env=self.environment | environment
        )
        assert done.returncode == 0, f"{command}: status {done.returncode}, {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def job(self, job: str) -> dict[str, str]:
        """What the controller knows of ``job``: JobState, Restarts, ExitCode, …"""
        return dict(re.findall(r"(\w+)=(\S*)", self.run("scontrol", "show", "job", job, "--oneliner")))

    def logs(self) -> str:
        """The ends of the daemons' logs."""
        files = sorted(self.folder.glob("*.log"))
        return "\n".join(f"{file.name}: {file.read_text()[-1500:]}" for file in files)


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[SlurmCluster]:
    """Two idle nodes. ``folder`` is short (a socket's path) and can be entered by everybody, as munge wants it."""
    cluster = SlurmCluster(folder)
    _write_configuration(folder)
    with ExitStack() as daemons:
        daemons.enter_context(_daemon(cluster, "munged", *_munged_options(folder)))
        daemons.enter_context(_daemon(cluster, "slurmctld", "-D", "-c"))
        for node in NODES:
            # The shell becomes slurmd, so the daemon keeps the pid that ends it.
            script = f"hostname {node} && mount --bind {folder}/hosts /etc/hosts && exec slurmd -D -N {node}"
            daemons.enter_context(_daemon(cluster, "unshare", "--mount", "--uts", "sh", "-c", script))
        _wait_until_idle(cluster)
        try:
            yield cluster
        finally:
            _end_jobs(cluster)


def _write_configuration(folder: Path) -> None:
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(128))
    (folder / "state").mkdir()
    ports = _free_ports(1 + len(NODES))
    host = socket.gethostname().split(".")[0]
    nodes = [
        f"NodeName={name} NodeHostname={name} NodeAddr={address} Port={port} CPUs=16 RealMemory=64000 Gres=gpu:8"
        for (name, address), port in zip(NODES.items(), ports[1:], strict=True)
    ]
    config = CONFIG.format(folder=folder, host=host, port=ports[0]) + "\n".join(nodes) + "\n"
    (folder / "slurm.conf").write_text(config)
    for gpu in range(8):
        (folder / f"gpu{gpu}").touch()
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-7]\n")
    hosts = Path("/etc/hosts").read_text() + "".join(f"{address} {name}\n" for name, address in NODES.items())
    (folder / "hosts").write_text(hosts)


def _munged_options(folder: Path) -> list[str]:
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    return ["--foreground", *(f"--{option}={folder}/munge.{name}" for option, name in files.items())]


@contextmanager
def _daemon(cluster: SlurmCluster, *command: str) -> Iterator[None]:
    """Run ``command`` in the background; it dies with this process, whatever happens to it."""
    with (cluster.folder / "daemons.log").open("ab") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command], stdout=log, stderr=log, env=cluster.environment
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_ports(number: int) -> list[int]:
    with ExitStack() as sockets:
        held = [sockets.enter_context(socket.socket()) for _ in range(number)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


def _wait_until_idle(cluster: SlurmCluster, timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        idle = subprocess.run(
            ["sinfo", "--noheader", "--states=idle", "--format=%D"],
            capture_output=True,
            text=True,
            env=cluster.environment,
        )
        if idle.stdout.strip() == str(len(NODES)):
            return
        time.sleep(0.1)
    raise AssertionError(f"no {len(NODES)} idle nodes after {timeout} s\n{cluster.logs()}")


def _end_jobs(cluster: SlurmCluster, timeout: float = 30) -> None:
    """Cancel what still runs and wait until its processes are gone."""
    deadline = time.monotonic() + timeout
    while cluster.run("squeue", "--noheader") and time.monotonic() < deadline:
        cluster.run("scancel", "--user=root", "--signal=KILL", "--full")
        cluster.run("scancel", "--user=root")
        time.sleep(0.5)
