"""What verl's config of a Megatron engine has no keys for, carried in its ``override_mcore_model_config``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from magic_megatron.config.moe import MoeConfig
from recipes.command import typed


@dataclass(frozen=True)
class MegatronSettings:
    """Of an actor or a reference policy.

    Attributes:
        platform: of the process, which verl's platform must agree with.
        dtype: of weights and activations; ``bf16`` has fp32 main weights. verl's ``dtype`` knows 16 bits only.
        recompute: which activations to recompute in backward.
        init_from: a checkpoint of ``magic_megatron.sft`` to take the weights from; ``None`` takes the safetensors
            of the policy's folder.
        moe: the losses of the routers, in updates only.
    """

    platform: Literal["rehearsal", "cuda"]
    dtype: Literal["fp32", "bf16"]
    recompute: Literal["none", "full"]
    init_from: str | None
    moe: MoeConfig


def read_settings(values: Mapping[str, Any] | DictConfig) -> MegatronSettings:
    """The settings in ``override_mcore_model_config``.

    Raises:
        InputError: a key is missing, unknown or of another type.
    """
    plain = values if isinstance(values, DictConfig) else OmegaConf.create(dict(values))
    return typed(MegatronSettings, plain)
