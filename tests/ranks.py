"""Ranks of a worker script, forked from one process that has imported what they need: ``python ranks.py N WORKER …``.

Imports are the greater part of a short run, and torchrun pays for them in every rank and in itself. The worker must be
importable, import all it needs when it is, and have a ``main()`` that reads ``sys.argv``; ranks meet through the
environment, as torchrun's do. What torchrun itself does is tested with it: in ``test_launch_sft.py``,
``test_sft_stopping.py`` and ``test_slurm.py``.
"""

import ctypes
import importlib
import os
import signal
import sys
import traceback
from pathlib import Path

from torch.distributed import TCPStore

PR_SET_PDEATHSIG = 1


def ranks_of(num_processes: int, worker: Path, *arguments: object) -> list[str]:
    """The command; a single process is no rank, and starts as any script."""
    ranks = (__file__, num_processes) if num_processes > 1 else ()
    return [sys.executable, *map(str, (*ranks, worker, *arguments))]


def main() -> int:
    """Status 1 as soon as a rank has failed; the others are killed then."""
    num_processes, worker = int(sys.argv[1]), Path(sys.argv[2])
    sys.argv = sys.argv[2:]
    sys.path.insert(0, str(worker.parent))
    module = importlib.import_module(worker.stem)
    reading, writing = os.pipe()
    ranks = []
    for rank in range(num_processes):
        if not (process := os.fork()):
            os._exit(run(module, rank, num_processes, reading))
        ranks.append(process)
    store = TCPStore(
        "127.0.0.1", 0, is_master=True, wait_for_workers=False
    )  # after the forks: it has threads
    os.write(writing, f"{store.port:5d}".encode() * num_processes)
    status = 0
    while ranks:
        process, ended = os.wait()
        ranks.remove(process)
        if ended and not status:
            status = 1
            for other in ranks:
                os.kill(other, signal.SIGKILL)
    return status


def run(module, rank: int, num_processes: int, port: int) -> int:
    """The worker as one rank, which doesn't outlive its parent."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(num_processes),
        "LOCAL_WORLD_SIZE": str(num_processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": os.read(port, 5).decode().strip(),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the parent's: no rank serves one
        "TORCHELASTIC_RESTART_COUNT": "0",
    }
    try:
        module.main()
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
