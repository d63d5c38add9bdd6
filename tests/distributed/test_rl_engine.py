"""verl's Megatron engine on this project's model: transformers' numbers, and those of one process in every layout."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_model import save_tiny_model
from transformers import AutoModelForCausalLM

WORKER = Path(__file__).with_name("rl_engine_worker.py")
LENGTHS = (9, 14, 6, 11, 17, 5, 12, 8)
TEMPERATURE = 0.9
ONE = {"layout": {}, "world_size": 1, "loss": "clipped", "dynamic": True}
CASES = {
    "one": {**ONE, "model": "moe", "checkpoint": "saved", "resume": "saved"},
    "tp2_ep2": {**ONE, "model": "moe", "layout": {"tp": 2, "ep": 2}, "resume": "saved", "reference": True},
    "dp2": {**ONE, "model": "moe", "dynamic": False},
    "dp2_padded": {**ONE, "model": "moe", "num_padding": 2},
    "pp2": {**ONE, "model": "moe", "layout": {"pp": 2}},
    "started": {**ONE, "model": "moe", "layout": {"pp": 2}, "init_from": "saved"},
    "dense": {**ONE, "model": "dense", "loss": "entropy"},
    "dense_tp2": {**ONE, "model": "dense", "loss": "entropy", "layout": {"tp": 2}},
}
FURTHER = {
    "one": CASES["one"],
    "tp2_ep2_recompute": {**ONE, "model": "moe", "layout": {"tp": 2, "ep": 2}, "recompute": "full"},
    "cp2": {**ONE, "model": "moe", "layout": {"cp": 2}},
    "dp2_ep2": {**ONE, "model": "moe", "layout": {"ep": 2}, "world_size": 2, "resume": "saved"},
    "tp2_pp2_ep2": {**ONE, "model": "moe", "layout": {"tp": 2, "pp": 2, "ep": 2}, "world_size": 4},
    "tp2_cp2_ep2": {**ONE, "model": "moe", "layout": {"tp": 2, "cp": 2, "ep": 2}, "world_size": 4},
    "cp2_pp2_ep2": {**ONE, "model": "moe", "layout": {"cp": 2, "pp": 2, "ep": 2}, "world_size": 4},
    "tied": {**ONE, "model": "tied"},
    "tied_pp2": {**ONE, "model": "tied", "layout": {"pp": 2}},
}
for name, case in (CASES | FURTHER).items():
    case["name"] = name
    if name not in ("one", "dense", "tied"):
        case["world_size"] = max(2, case["world_size"])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_tiny_model(folder / "dense", num_experts=0)
    save_tiny_model(folder / "moe", num_experts=4)
    return folder


def run(cases, models, folder):
    """What each process of each case found."""
    plan = folder / "plan.json"
    plan.write_text(json.dumps([{**case, "model": str(models / case["model"])} for case in cases.values()]))
    process = subprocess.run(
        [sys.executable, str(WORKER), str(plan), str(folder)],
        capture_output=True,
        text=True,
        timeout=1500,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.returncode == 0, process.stderr[-4000:]
    return {name: torch.load(folder / f"{name}.pt", weights_only=False) for name in cases}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="module")
def found(models, folder):
    return run(CASES, models, folder)


def told(processes, key):
    """What the process says that verl's trainer would hear of."""
    return next(found[key] for found in processes if found[key] and any(found[key]))


def assert_same_training(found, expected):
    for ours, theirs in zip(told(found, "updates"), told(expected, "updates"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-7)
    assert_same_weights(found[0]["after"], expected[0]["after"])


def assert_same_weights(found, expected):
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(
            found[name], weight, rtol=1e-5, atol=1e-6, msg=lambda text, name=name: name + text
        )


def transformers_rows(model):
    """Log-probabilities and entropies of each position's next token, but of the last position."""
    generator = torch.Generator().manual_seed(0)
    for length in LENGTHS:
        ids = torch.randint(3, model.config.vocab_size, (length,), generator=generator)
        torch.randn(length, generator=generator)
        with torch.no_grad():
            log_probs = (model(ids[None]).logits[0, :-1] / TEMPERATURE).log_softmax(dim=-1)
        yield log_probs.gather(1, ids[1:, None])[:, 0], -(log_probs.exp() * log_probs).sum(dim=-1)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", ["one", "dense", "dense_tp2"])
def test_log_probs_and_entropies_are_those_of_transformers(found, models, case):
    model = AutoModelForCausalLM.from_pretrained(models / CASES[case]["model"], dtype=torch.float32)
    inferred = told(found[case], "inferred")
    for number, (log_probs, entropies) in enumerate(transformers_rows(model)):
        torch.testing.assert_close(
            torch.tensor(inferred["log_probs"][number][:-1]), log_probs, rtol=0, atol=2e-5
        )
        torch.testing.assert_close(
            torch.tensor(inferred["entropy"][number][:-1]), entropies, rtol=0, atol=2e-5
        )


def test_a_reference_policy_in_another_layout_says_the_same(found):
    reference, actor = told(found["tp2_ep2"], "reference"), told(found["one"], "inferred")
    for ours, theirs in zip(reference["log_probs"], actor["log_probs"], strict=True):
        assert ours[:-1] == pytest.approx(theirs[:-1], abs=2e-5)


@pytest.mark.parametrize("case", ["tp2_ep2", "dp2", "dp2_padded", "pp2"])
def test_updates_and_router_metrics_are_those_of_one_process(found, case):
    assert_same_training(found[case], found["one"])
    update = told(found[case], "updates")[0]
    assert update["actor/aux_loss"] > 0.9
    assert update["actor/z_loss"] > 0
    assert 0 <= update["actor/max_vio"] <= update["actor/max_vio_worst_layer"]


def test_the_gradient_of_entropy_is_that_of_one_process_where_the_vocabulary_is_split(found):
    assert_same_training(found["dense_tp2"], found["dense"])
    before, after = told(found["dense"], "updates")
    assert after["loss"] < before["loss"]


def test_only_updates_are_counted(found):
    counts = found["one"][0]["counted"]["tokens_per_expert"]
    assert counts.sum(dim=-1).tolist() == [2.0 * sum(LENGTHS)] * 2


@pytest.mark.parametrize("case", [case for case in CASES if case != "started"])
def test_exported_weights_are_those_that_were_loaded(found, models, case):
    stored = load_file(models / CASES[case]["model"] / "model.safetensors")
    exported = found[case][0]["before"]
    assert exported.keys() == stored.keys()
    for process in found[case]:
        assert all(torch.equal(process["before"][name], weight) for name, weight in stored.items())


@pytest.mark.parametrize("case", ["one", "tp2_ep2"])
def test_a_checkpoint_of_one_process_goes_on_in_any_layout_as_if_uninterrupted(found, case):
    assert told(found[case], "resumed") == pytest.approx(told(found["one"], "updates")[1], rel=1e-5, abs=1e-7)
    assert_same_weights(found[case][0]["resumed_weights"], found["one"][0]["after"])


def test_weights_come_from_a_checkpoint_where_one_is_named(found, folder):
    written = load_file(next((folder / "saved" / "actor" / "huggingface").glob("*.safetensors")))
    assert_same_weights(found["started"][0]["before"], written)
    first, expected = told(found["started"], "updates")[0], told(found["one"], "updates")[1]
    assert first["loss"] == pytest.approx(expected["loss"], rel=1e-5)


def test_checkpoints_convert_to_hugging_face(found, folder, tmp_path):
    checkpoint = folder / "saved" / "actor"
    command = [sys.executable, "-m", "magic_megatron.convert", "direction=to_hf"]
    subprocess.run([*command, f"source={checkpoint}", f"target={tmp_path / 'hf'}"], check=True, timeout=120)
    converted = AutoModelForCausalLM.from_pretrained(tmp_path / "hf").state_dict()
    written = AutoModelForCausalLM.from_pretrained(checkpoint / "huggingface").state_dict()
    assert_same_weights(converted, written)
    shards = load_file(next((tmp_path / "hf").glob("*.safetensors")))
    assert any(not torch.equal(weight, found["one"][0]["before"][name]) for name, weight in shards.items())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_further_layouts(models, tmp_path):
    tied = AutoModelForCausalLM.from_pretrained(models / "dense")
    tied.config.tie_word_embeddings = True
    AutoModelForCausalLM.from_config(tied.config).save_pretrained(models / "tied")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (models / "tied" / name).write_bytes((models / "dense" / name).read_bytes())
    found = run(FURTHER, models, tmp_path)
    for name, case in FURTHER.items():
        assert_same_training(found[name], found["tied" if case["model"] == "tied" else "one"])
    resumed = told(found["dp2_ep2"], "resumed")
    assert resumed == pytest.approx(told(found["one"], "updates")[1], rel=1e-5, abs=1e-7)
