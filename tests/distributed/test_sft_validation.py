"""Held-out rows: the same numbers in every layout, and those that transformers finds row by row."""

import json

import numpy as np
import pytest
import torch
from commands import must_run
from megatron.core.datasets.indexed_dataset import IndexedDataset
from sft_runs import run_sft

RUN = [
    "train.num_steps=10",
    "train.validation_interval=5",
    "train.global_batch_size=4",
    "train.micro_batch_size=1",
    "train.save_interval=1000",
    "data.sequence_length=512",
    "optim.lr=5e-3",
]
LAYOUTS = {
    "dp4_ep2": ["parallel.ep=2"],
    "tp2_pp2_ep2": ["parallel.tp=2", "parallel.pp=2", "parallel.ep=2"],
    "cp2_pp2": ["parallel.cp=2", "parallel.pp=2"],
}


@pytest.fixture(scope="module")
def held_out(export_folder, tmp_path_factory):
    """Puzzles of structures that the training rows don't have."""
    rows, folder = tmp_path_factory.mktemp("rows"), tmp_path_factory.mktemp("held_out")
    must_run(
        "data_synth",
        "task=scheduling",
        "difficulty=mini",
        "num_samples=45",
        "seed=3",
        "split=test",
        f"output_dir={rows}",
    )
    must_run(
        "data_synth.export",
        f"input={rows / 'data.jsonl'}",
        f"tokenizer={export_folder / 'tokenizer'}",
        f"output_dir={folder}",
    )
    return folder / "train"


@pytest.fixture(scope="module")
def run(export_folder, held_out):
    return [f"data.path={export_folder / 'train'}", f"data.validation_path={held_out}", *RUN]


@pytest.fixture(scope="module")
def alone(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    run_sft(1, {"run": run}, folder)
    return folder / "run"


def validation(folder):
    return [json.loads(line) for line in (folder / "validation.jsonl").read_text().splitlines()]


def flat(line):
    numbers = {key: value for key, value in line.items() if key != "domains"}
    for name, metrics in line["domains"].items():
        numbers |= {f"{name} {key}": value for key, value in metrics.items()}
    return numbers


def test_every_layout_validates_alike(run, alone, tmp_path):
    run_sft(4, {name: [*run, *layout] for name, layout in LAYOUTS.items()}, tmp_path)
    expected = validation(alone)
    assert [line["step"] for line in expected] == [5, 10]
    assert expected[-1]["loss"] < expected[0]["loss"]
    for name in LAYOUTS:
        for ours, theirs in zip(validation(tmp_path / name), expected, strict=True):
            # A rounding may turn a token that is nearly as probable as another.
            assert flat(ours) == pytest.approx(flat(theirs), rel=1e-3, abs=2e-3), name


def test_transformers_finds_the_same_row_by_row(export_folder, held_out, tmp_path):
    """After the held-out rows were trained on, so that some but not all are answered right."""
    from transformers import AutoModelForCausalLM

    by_heart = [*RUN, "train.num_steps=130", "train.global_batch_size=8", "train.validation_interval=130"]
    run_sft(1, {"run": [*by_heart, f"data.path={held_out}", f"data.validation_path={held_out}"]}, tmp_path)
    hf = tmp_path / "hf"
    must_run("magic_megatron.convert", "direction=to_hf", f"source={tmp_path / 'run'}", f"target={hf}")
    model = AutoModelForCausalLM.from_pretrained(hf, dtype=torch.float32)
    tokens, labels = (IndexedDataset(f"{held_out}_{kind}_document") for kind in ("text", "label"))
    loss, correct, num_learned, exact = 0.0, 0, 0, 0
    for row in range(len(tokens)):
        ids, wanted = (torch.from_numpy(np.array(part[row])).long() for part in (tokens, labels))
        with torch.no_grad():
            logits = model(ids[None]).logits[0, :-1]
        learned = wanted[1:] != -100
        logits, wanted = logits[learned], wanted[1:][learned]
        loss += torch.nn.functional.cross_entropy(logits, wanted, reduction="sum").item()
        right = logits.argmax(-1) == wanted
        correct, num_learned, exact = (
            correct + int(right.sum()),
            num_learned + len(right),
            exact + bool(right.all()),
        )
    found = validation(tmp_path / "run")[-1]
    assert found["num_rows"] == len(tokens) == 45
    assert found["loss"] == pytest.approx(loss / num_learned, rel=1e-4)
    assert found["token_accuracy"] == pytest.approx(correct / num_learned, abs=2 / num_learned)
    assert found["exact_match"] == pytest.approx(exact / 45, abs=1.5 / 45)
    assert 0.05 < found["exact_match"] < 1
