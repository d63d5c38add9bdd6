"""The same recipe in rehearsal and on one GPU, through the command that users start."""

import json

import pytest
from commands import must_run

pytestmark = pytest.mark.gpu

SHORT = [
    "train.num_steps=3",
    "train.global_batch_size=4",
    "train.micro_batch_size=1",
    "data.sequence_length=512",
]
MODELS = ["qwen3_tiny", "qwen3_moe_tiny"]


def run(export_folder, output_dir, *keys):
    must_run(
        "magic_megatron.sft",
        f"data.path={export_folder / 'train'}",
        f"output_dir={output_dir}",
        *SHORT,
        *keys,
    )
    return [json.loads(line) for line in (output_dir / "metrics.jsonl").read_text().splitlines()]


def assert_near(found, expected, tolerance):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        keys = [key for key in ("loss", "grad_norm", "load_balancing_loss", "z_loss") if key in theirs]
        wanted = {key: theirs[key] for key in keys}
        assert {key: ours[key] for key in keys} == pytest.approx(wanted, rel=tolerance)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("bf16", 2e-2)])
def test_steps_are_those_of_rehearsal(model, dtype, tolerance, export_folder, tmp_path):
    """bf16 only: flash attention knows no float32. Its tolerance is that of bf16 layouts in rehearsal."""
    expected = run(export_folder, tmp_path / "cpu", f"model={model}", "platform=rehearsal")
    on_gpu = ["platform=cuda", f"platform.dtype={dtype}"]
    assert_near(run(export_folder, tmp_path / "gpu", f"model={model}", *on_gpu), expected, tolerance)


def test_a_checkpoint_of_the_cpu_goes_on_on_a_gpu(export_folder, tmp_path):
    weights = tmp_path / "cpu"
    run(export_folder, weights, "platform=rehearsal", "train.save_interval=3")
    checkpoint = weights / "checkpoints" / "step_0000003"
    found = run(export_folder, tmp_path / "gpu", "platform=cuda", f"init_from={checkpoint}")
    expected = run(export_folder, tmp_path / "cpu_again", "platform=rehearsal", f"init_from={checkpoint}")
    assert_near(found[:1], expected[:1], 2e-2)
