"""transformers' models and Megatron-Core's, with the same weights: same logits, and nothing lost on the way.

The twin of every recipe goes transformers → from_hf → GPTModel → Megatron-Core's checkpoint → to_hf →
transformers, in one process and through layouts of four on gloo, and from each such layout into each other.
"""

import dataclasses
import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from ranks import ranks_of
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from magic_megatron import convert
from magic_megatron.config.model import ModelConfig
from magic_megatron.models.checkpoint_weights import CheckpointReader
from magic_megatron.models.huggingface import all_weights
from magic_megatron.models.huggingface_config import huggingface_config
from recipes.command import compose, typed

WORKER = Path(__file__).with_name("weights_worker.py")
VOCAB_SIZE = 160
SINGLE = {"tp": 1, "pp": 1, "cp": 1, "ep": 1, "etp": 1, "sequence_parallel": None}
LAYOUTS = {
    "tp2_pp2_ep2": {**SINGLE, "tp": 2, "pp": 2, "ep": 2},
    "tp4_ep4": {**SINGLE, "tp": 4, "ep": 4},
    "tp2_cp2_ep2_etp2": {**SINGLE, "tp": 2, "cp": 2, "ep": 2, "etp": 2},
}
RECIPES = sorted(path.stem for path in (Path(__file__).parents[2] / "recipes" / "model").glob("*.yaml"))


def twin_of(name: str) -> ModelConfig:
    """The recipe's model, small: two layers and heads of 32 channels, with its switches and its ratios.

    A recipe of less than a million parameters is its own twin, but for the vocabulary.
    """
    model = typed(ModelConfig, compose("sft", [f"model={name}", "output_dir=-"]).model)
    if name.endswith("_tiny"):
        return dataclasses.replace(model, vocab_size=VOCAB_SIZE)
    heads = 2 * model.num_attention_heads // model.num_key_value_heads
    hidden_size = heads * 32 * model.hidden_size // (model.num_attention_heads * model.head_dim)
    return dataclasses.replace(
        model,
        num_hidden_layers=2,
        hidden_size=hidden_size,
        intermediate_size=hidden_size * model.intermediate_size // model.hidden_size // 2 * 2,
        moe_intermediate_size=hidden_size * model.moe_intermediate_size // model.hidden_size,
        num_attention_heads=heads,
        num_key_value_heads=2,
        head_dim=32,
        vocab_size=VOCAB_SIZE,
        num_experts=8 if model.is_moe else 0,
        num_experts_per_tok=2 if model.is_moe else 0,
    )


# The twin of every recipe, and the switches that no published model has together.
MODELS = {name: twin_of(name) for name in RECIPES} | {
    "moe_tied_not_normalised": dataclasses.replace(
        twin_of("qwen3_moe_tiny"), norm_topk_prob=False, tie_word_embeddings=True
    )
}
# Their twins differ from another's in sizes alone; in one process they are tried as well.
SIZES_ALONE = ("qwen3_1_7b", "qwen3_4b", "qwen3_14b", "qwen3_32b", "qwen3_235b_a22b")
IN_LAYOUT = [(name, "tp2_pp2_ep2") for name in MODELS if name not in SIZES_ALONE] + [
    ("qwen3_moe_tiny", "tp4_ep4"),
    ("qwen3_moe_tiny", "tp2_cp2_ep2_etp2"),
    ("qwen2_5_tiny", "tp2_cp2_ep2_etp2"),
]
# The checkpoint that one layout wrote, read by another.
BETWEEN = [
    (name, source, target)
    for name, source in IN_LAYOUT
    for other, target in IN_LAYOUT
    if name == other and source != target
]


def run_convert(direction: str, source: Path, target: Path, *overrides: str) -> None:
    convert.main(
        compose("convert", [f"direction={direction}", f"source={source}", f"target={target}", *overrides])
    )


def run_worker(folder: Path, num_processes: int, layouts: list[dict]) -> None:
    plan = folder / f"plan_{num_processes}.json"
    plan.write_text(json.dumps(layouts))
    done = subprocess.run(
        ranks_of(num_processes, WORKER, plan),
        capture_output=True,
        text=True,
        timeout=800,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]


def make_huggingface_model(model: ModelConfig, folder: Path) -> torch.nn.Module:
    """A random model, its biases and norms too, saved as transformers saves it."""
    folder.mkdir()
    fields = huggingface_config(model, vocab_size=VOCAB_SIZE, dtype="float32", bos=None, eos=1)
    (folder / "config.json").write_text(json.dumps(fields))
    made = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.float32)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(1 + 0.2 * noise if "norm" in name else 0.1 * noise)
    made.save_pretrained(folder)
    return made.eval()


def tokens() -> torch.Tensor:
    return torch.randint(0, VOCAB_SIZE, (2, 48), generator=torch.Generator().manual_seed(6))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All models, through one process and through the layouts."""
    folder = tmp_path_factory.mktemp("weights")
    work = []
    for name, model in MODELS.items():
        hf = make_huggingface_model(model, folder / f"{name}_hf")
        with torch.no_grad():
            torch.save(hf(tokens()).logits, folder / f"{name}_expected.pt")
        run_convert("from_hf", folder / f"{name}_hf", folder / f"{name}_imported")
        fields = dataclasses.asdict(model)
        asked = {"tokens": tokens().tolist(), "logits": str(folder / f"{name}_logits.safetensors")}
        imported = str(folder / f"{name}_imported")
        work.append({"model": fields, "load": imported, "save": str(folder / f"{name}_saved"), **asked})
        asked["logits"] = str(folder / f"{name}_logits_by_megatron.safetensors")
        work.append({"model": fields, "load_by_megatron": imported, **asked})
        work.append({"model": fields, "seed": 7, "save": str(folder / f"{name}_initial")})
    run_worker(folder, 1, [{"parallel": SINGLE, "work": work}])
    names = {layout: [name for name, its_layout in IN_LAYOUT if its_layout == layout] for layout in LAYOUTS}
    layouts = [work_in_layout(folder, layout, names[layout]) for layout in LAYOUTS]
    run_worker(folder, 4, layouts + [work_between_layouts(folder, layout) for layout in LAYOUTS])
    return folder


@pytest.fixture(scope="module")
def sizes_alone(folder):
    run_worker(folder, 4, [work_in_layout(folder, "tp2_pp2_ep2", SIZES_ALONE)])


def work_in_layout(folder: Path, layout: str, names: Iterable[str]) -> dict:
    work = []
    for name in names:
        fields = dataclasses.asdict(MODELS[name])
        saved, initial = (str(folder / f"{name}_{state}_{layout}") for state in ("saved", "initial"))
        work.append({"model": fields, "load": str(folder / f"{name}_imported"), "save": saved})
        work.append({"model": fields, "seed": 7, "save": initial})
    return {"parallel": LAYOUTS[layout], "work": work}


def work_between_layouts(folder: Path, target: str) -> dict:
    work = []
    for name, source in ((name, source) for name, source, its_target in BETWEEN if its_target == target):
        written = folder / f"{name}_saved_{source}"
        work.append(
            {"model": dataclasses.asdict(MODELS[name]), "load": str(written), "save": f"{written}_{target}"}
        )
    return {"parallel": LAYOUTS[target], "work": work}


def exported(folder: Path, name: str, state: str) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint as ``to_hf`` writes them."""
    target = folder / f"{name}_{state}_exported"
    run_convert("to_hf", folder / f"{name}_{state}", target, "overwrite=true", "max_shard_bytes=50000")
    shards = sorted(target.glob("*.safetensors"))
    assert len(shards) > 1
    return {key: tensor for shard in shards for key, tensor in load_file(shard).items()}


def assert_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    different = [key for key in expected if not torch.equal(found[key], expected[key])]
    assert not different


@pytest.mark.parametrize("name", MODELS)
def test_same_logits(folder, name):
    expected = torch.load(folder / f"{name}_expected.pt")
    assert expected.std() > 0.5
    for run in ("logits", "logits_by_megatron"):
        logits = load_file(folder / f"{name}_{run}.safetensors")["logits"]
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_round_trip_is_exact(folder, name):
    assert_equal(exported(folder, name, "saved"), load_file(folder / f"{name}_hf" / "model.safetensors"))


@pytest.mark.parametrize("name", MODELS)
def test_the_way_from_a_checkpoint_and_back_is_exact(folder, name):
    exported(folder, name, "initial")
    run_convert("from_hf", folder / f"{name}_initial_exported", folder / f"{name}_back", "overwrite=true")
    names = all_weights(MODELS[name])
    first = CheckpointReader(folder / f"{name}_initial", "source").read(names)
    assert_equal(CheckpointReader(folder / f"{name}_back", "source").read(names), first)


@pytest.mark.parametrize("name", MODELS)
def test_transformers_loads_the_export(folder, name):
    exported(folder, name, "saved")
    loaded, report = AutoModelForCausalLM.from_pretrained(
        folder / f"{name}_saved_exported", dtype=torch.float32, output_loading_info=True
    )
    assert not any(report[problem] for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        logits = loaded.eval()(tokens()).logits
    torch.testing.assert_close(logits, torch.load(folder / f"{name}_expected.pt"), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("name", "layout"), IN_LAYOUT)
@pytest.mark.parametrize("state", ["saved", "initial"])
def test_a_layout_has_the_weights_of_one_process(folder, name, layout, state):
    assert_equal(exported(folder, name, f"{state}_{layout}"), exported(folder, name, state))


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES_ALONE)
@pytest.mark.parametrize("state", ["saved", "initial"])
def test_a_layout_has_the_weights_of_one_process_in_every_size(folder, sizes_alone, name, state):
    assert_equal(exported(folder, name, f"{state}_tp2_pp2_ep2"), exported(folder, name, state))


@pytest.mark.parametrize(("name", "source", "target"), BETWEEN)
def test_a_layout_reads_what_another_wrote(folder, name, source, target):
    read = exported(folder, name, f"saved_{source}_{target}")
    assert_equal(read, load_file(folder / f"{name}_hf" / "model.safetensors"))


def test_every_recipe_has_a_twin_with_its_switches():
    assert len(RECIPES) >= 13
    switches = ("tie_word_embeddings", "attention_bias", "qk_norm", "norm_topk_prob", "is_moe", "rope_theta")
    by_switches = {tuple(getattr(MODELS[name], s) for s in switches) for name, _ in IN_LAYOUT}
    for name in RECIPES:
        assert tuple(getattr(MODELS[name], s) for s in switches) in by_switches, name
        model, twin = (
            typed(ModelConfig, compose("sft", [f"model={name}", "output_dir=-"]).model),
            MODELS[name],
        )
        assert all(getattr(twin, switch) == getattr(model, switch) for switch in switches), name
        ratios = [m.num_attention_heads / m.num_key_value_heads for m in (model, twin)]
        assert ratios[0] == ratios[1], name


def test_initial_weights_have_megatrons_deviations(folder):
    weights = exported(folder, "qwen3_moe_tiny", "initial")
    model = MODELS["qwen3_moe_tiny"]
    for name, weight in weights.items():
        if "norm" in name:
            assert torch.all(weight == 1)
            continue
        into_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
        expected = model.initializer_range / (2 * model.num_hidden_layers) ** (0.5 if into_residual else 0)
        assert weight.std().item() == pytest.approx(expected, rel=0.15), name
        assert abs(weight.mean().item()) < 0.1 * expected + 5 * expected / weight.numel() ** 0.5


def test_no_two_initial_weights_are_alike(folder):
    weights = [w for name, w in exported(folder, "qwen3_moe_tiny", "initial").items() if "norm" not in name]
    starts = torch.stack([weight.flatten()[:16] for weight in weights])
    assert len(starts.unique(dim=0)) == len(weights)
