"""What is checked of a Ray cluster before verl waits for it."""

import os
import subprocess
import sys

import pytest

JOIN = """
import sys
from magic_megatron.config.rl import RayConfig
from magic_megatron.rl.ray_cluster import ray_cluster

with ray_cluster(RayConfig(None, int(sys.argv[1]), 10**8, False), 1, 1, {}):
    print("it is large enough")
"""


@pytest.mark.parametrize(
    ("num_cpus", "words"),
    [("2", "gpus_per_node=1: verl takes 3 of Ray's CPUs with each GPU"), ("3", "it is large enough")],
)
def test_a_cluster_with_too_few_cpus_is_refused(num_cpus, words):
    done = subprocess.run(
        [sys.executable, "-c", JOIN, num_cpus],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
    )
    assert words in done.stdout + done.stderr
