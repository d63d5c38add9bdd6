"""``python -m magic_megatron.rl engine=megatron`` on a Mixture of Experts, in one process and at TP2·EP2, on a CPU."""

import pytest
from rl_runs import SAMPLES_PER_STEP, check, finish
from tiny_model import save_tiny_model

ENGINE = ["engine=megatron", "engine.moe.z_loss_coeff=1e-3", "engine.max_tokens=1024"]


@pytest.mark.slow
@pytest.mark.timeout(1900)
@pytest.mark.parametrize(("layout", "world_size"), [({}, 1), ({"tp": 2, "ep": 2}, 2)], ids=["one", "tp2_ep2"])
def test_a_mixture_of_experts_under_megatron_with_ray_and_vllm(tmp_path, layout, world_size):
    save_tiny_model(tmp_path / "model", num_experts=4)
    run = tmp_path / "run"
    parallel = [f"engine.parallel.{key}={size}" for key, size in layout.items()]
    overrides = [*ENGINE, *parallel, f"gpus_per_node={world_size}"]
    finish(tmp_path / "model", run, tmp_path / "log", *overrides, timeout=1700)
    for line in check(run):
        assert line["num_samples"] == SAMPLES_PER_STEP
        assert line["max_vio"] > 0
        assert line["z_loss"] > 0
        assert line["load_balancing_loss"] > 0
    actor = run / "checkpoints" / "global_step_2" / "actor"
    assert (actor / ".metadata").is_file()
    assert list((actor / "huggingface").glob("*.safetensors"))
