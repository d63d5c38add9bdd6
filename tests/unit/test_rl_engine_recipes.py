"""Recipes of engines, and what verl is told of them."""

import dataclasses
import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

os.environ["VERL_PLATFORM"] = "cpu"
from verl.utils.config import omega_conf_to_dataclass

from magic_megatron.config.platform import PlatformConfig
from magic_megatron.config.rl import RlConfig
from magic_megatron.config.rl_engine import EngineConfig
from magic_megatron.rl.arguments import full_names
from magic_megatron.rl.engines.overrides import engine_overrides
from magic_megatron.rl.engines.settings import read_settings
from magic_megatron.rl.verl_config import verl_config
from recipes.command import InputError, compose, typed


def read(name, *overrides, platform="rehearsal"):
    recipe = compose("sft", [f"+rl/engine@engine={name}", f"platform={platform}", "output_dir=-", *overrides])
    return typed(EngineConfig, recipe.engine), typed(PlatformConfig, recipe.platform)


def test_verl_is_told_the_layout_for_actor_and_reference_alike():
    engine, platform = read("megatron", "parallel@engine.parallel=magicagent", platform="cuda")
    told = engine_overrides(engine, platform)
    sizes = {
        "tensor_model_parallel_size": 4,
        "pipeline_model_parallel_size": 2,
        "context_parallel_size": 2,
        "expert_model_parallel_size": 4,
        "expert_tensor_parallel_size": 1,
        "sequence_parallel": True,
    }
    for role in ("actor", "ref"):
        assert told[role]["strategy"] == "megatron"
        assert {key: told[role]["megatron"][key] for key in sizes} == sizes
    assert told["actor"]["megatron"] == told["ref"]["megatron"]
    assert told["model"]["use_remove_padding"]


def test_the_engines_own_settings_survive_verls_config():
    engine, platform = read("megatron", "engine.moe.aux_loss_coeff=0.01", "engine.init_from=runs/sft")
    settings = read_settings(
        engine_overrides(engine, platform)["actor"]["megatron"]["override_mcore_model_config"]
    )
    assert settings.moe == engine.moe and settings.init_from == "runs/sft"
    assert (settings.platform, settings.dtype) == ("rehearsal", "fp32")
    with pytest.raises(InputError, match="moe"):
        read_settings({"platform": "rehearsal", "dtype": "fp32", "recompute": "none", "init_from": None})


def test_nothing_is_offloaded_from_a_cpu_to_itself():
    for platform, expected in (("rehearsal", False), ("cuda", True)):
        told = engine_overrides(*read("megatron", "engine.offload_params=true", platform=platform))
        assert told["actor"]["megatron"]["param_offload"] is expected


@pytest.mark.parametrize("platform", ["rehearsal", "cuda"])
def test_fsdp_packs_where_transformers_has_a_kernel_for_it(platform):
    told = engine_overrides(*read("fsdp2", "engine.max_tokens=4096", platform=platform))
    assert told["model"]["use_remove_padding"] is (platform == "cuda")
    assert told["actor"]["ppo_max_token_len_per_gpu"] == 4096
    assert "megatron" not in told["actor"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["engine.parallel.tp=2"], "engine.parallel.tp=2: fsdp2 shards weights only"),
        (["engine.init_from=runs/sft"], "engine.init_from=runs/sft: fsdp2 reads Hugging Face folders"),
        (["engine.moe.z_loss_coeff=0.1"], "routers under fsdp2 have no losses"),
        (["engine.max_tokens=0"], "engine.max_tokens=0: must be at least 1"),
    ],
)
def test_what_an_engine_cannot_do_is_refused(overrides, message):
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        read("fsdp2", *overrides)


def told(engine, *overrides):
    """verl's config for a run."""
    recipe = compose("rl", full_names([f"engine={engine}", "model.path=-", "output_dir=-", *overrides]))
    orders = {name: Path(f"{name}.json") for name in ("train", "validation")}
    return verl_config(typed(RlConfig, recipe), orders, None)


@pytest.mark.parametrize("platform", ["rehearsal", "cuda"])
@pytest.mark.parametrize("engine", ["fsdp2", "megatron"])
def test_verl_takes_every_key_that_it_is_told(engine, platform):
    config = told(engine, f"platform={platform}")
    OmegaConf.resolve(config)
    actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
    assert actor.strategy == engine
    assert actor.optim.clip_grad == 1.0
    omega_conf_to_dataclass(config.actor_rollout_ref.rollout)


@pytest.mark.parametrize("role", ["actor", "actor.megatron"])
def test_an_entropy_without_a_gradient_is_refused(role):
    key = f"actor_rollout_ref.{role}.entropy_from_logits_with_chunking"
    assert told("megatron").actor_rollout_ref.actor.strategy == "megatron"
    with pytest.raises(
        InputError, match=r"entropy_from_logits_with_chunking=true: verl 0\.9\.1 has no gradient"
    ):
        told("megatron", f"+verl.{key}=true")
    if role == "actor":
        assert told("fsdp2", f"+verl.{key}=true").actor_rollout_ref.actor.entropy_from_logits_with_chunking


def test_a_recipe_without_a_key_is_refused():
    engine, _ = read("megatron")
    values = dataclasses.asdict(engine)
    del values["max_tokens"]
    with pytest.raises(TypeError, match="max_tokens"):
        EngineConfig(**values)
