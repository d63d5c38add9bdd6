"""Held-out rows: the same numbers in every layout, and those that transformers finds row by row."""

import json

import numpy as np
import pytest
import torch
from commands import must_run
from megatron.core.datasets.indexed_dataset import IndexedDataset
from sft_runs import NUM_HELD_OUT, run_sft

RUN = [
    "train.micro_batch_size=1",
    "train.save_interval=1000",
    "data.pad_multiple=4",
    "data.sequence_length=1024",
    "optim.lr=5e-3",
]
NUM_STEPS = 80
LAYOUTS = {
    "dp4_ep2": ["parallel.ep=2"],
    "tp2_pp2_ep2": ["parallel.tp=2", "parallel.pp=2", "parallel.ep=2"],
    "cp2_pp2": ["parallel.cp=2", "parallel.pp=2"],
}


@pytest.fixture(scope="module")
def run(held_out):
    return [f"data.path={held_out}", f"data.validation_path={held_out}", *RUN]


@pytest.fixture(scope="module")
def one_more(run, by_heart_folder):
    """One more step over what is known by heart, and a look at the held-out rows."""
    checkpoint = by_heart_folder / f"by_heart/checkpoints/step_{NUM_STEPS:07d}"
    return [
        *run,
        "train.num_steps=1",
        "train.global_batch_size=4",
        "optim.lr=1e-3",
        f"init_from={checkpoint}",
    ]


@pytest.fixture(scope="module")
def by_heart_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("by_heart")


@pytest.fixture(scope="module")
def by_heart(run, one_more, by_heart_folder):
    """After the held-out rows were trained on, so that some but not all are answered right."""
    steps = [f"train.num_steps={NUM_STEPS}", f"train.validation_interval={NUM_STEPS}"]
    runs = {"by_heart": [*run, *steps, "train.global_batch_size=4"], "one_more": one_more}
    run_sft(1, runs, by_heart_folder)
    return by_heart_folder


def validation(folder):
    return [json.loads(line) for line in (folder / "validation.jsonl").read_text().splitlines()]


def flat(line):
    numbers = {key: value for key, value in line.items() if key != "domains"}
    for name, metrics in line["domains"].items():
        numbers |= {f"{name} {key}": value for key, value in metrics.items()}
    return numbers


def test_every_layout_validates_alike(one_more, by_heart, tmp_path):
    run_sft(4, {name: [*one_more, *layout] for name, layout in LAYOUTS.items()}, tmp_path)
    (expected,) = validation(by_heart / "one_more")
    assert 0.05 < expected["exact_match"] < 1
    for name in LAYOUTS:
        (found,) = validation(tmp_path / name)
        # A rounding may turn a token that is nearly as probable as another, and with it a row.
        assert flat(found) == pytest.approx(flat(expected), rel=1e-3, abs=2e-3), name


def test_transformers_finds_the_same_row_by_row(by_heart, held_out, tmp_path):
    from transformers import AutoModelForCausalLM

    hf = tmp_path / "hf"
    must_run("magic_megatron.convert", "direction=to_hf", f"source={by_heart / 'by_heart'}", f"target={hf}")
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
    found = validation(by_heart / "by_heart")[-1]
    assert found["num_rows"] == len(tokens) == NUM_HELD_OUT
    assert found["loss"] == pytest.approx(loss / num_learned, rel=1e-4)
    assert found["token_accuracy"] == pytest.approx(correct / num_learned, abs=2 / num_learned)
    assert found["exact_match"] == pytest.approx(exact / NUM_HELD_OUT, abs=1.5 / NUM_HELD_OUT)
    assert 0.05 < found["exact_match"] < 1
