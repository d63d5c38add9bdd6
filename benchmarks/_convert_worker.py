"""One conversion in a process: ``_convert_worker.py ours|transformers SOURCE TARGET SHARD_BYTES [DIRECTION]``.

The last line is ``{"wall_s", "cpu_s", "peak_bytes"}``; imports are counted in the memory, not in the time.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch


def main() -> None:
    way, source, target, shard_bytes, *direction = sys.argv[1:]
    torch.set_num_threads(1)
    convert = _ours(*direction) if way == "ours" else _transformers()
    wall, cpu = time.perf_counter(), time.process_time()
    convert(source, target, int(shard_bytes))
    status = Path("/proc/self/status").read_text()
    high_water = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert high_water is not None
    measured = {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_bytes": int(high_water[1]) * 1024,
    }
    print(json.dumps(measured))


def _ours(direction: str) -> Callable[[str, str, int], None]:
    from magic_megatron.convert import main as convert
    from recipes.command import compose

    def run(source: str, target: str, shard_bytes: int) -> None:
        keys = {"direction": direction, "source": source, "target": target, "max_shard_bytes": shard_bytes}
        convert(compose("convert", [f"{key}={value}" for key, value in keys.items()]))

    return run


def _transformers() -> Callable[[str, str, int], None]:
    from transformers import AutoModelForCausalLM

    def run(source: str, target: str, shard_bytes: int) -> None:
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
        model.save_pretrained(target, max_shard_size=shard_bytes)

    return run


if __name__ == "__main__":
    main()
