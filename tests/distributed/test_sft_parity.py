"""The same recipe in one process and under each layout: same loss, gradient norm and router losses, step by step.

Real ranks, gloo, Megatron-Core with its distributed optimizer; packed rows with uneven loss masks, micro-batches
accumulated, router losses weighted heavily enough to show in the gradient norm.
"""

import pytest
from sft_runs import run_sft

NUM_STEPS = 3
SHORT = [
    f"train.num_steps={NUM_STEPS}",
    "train.global_batch_size=8",
    "train.micro_batch_size=1",
    "data.sequence_length=512",
    "optim.lr=1e-3",
    "moe.aux_loss_coeff=0.5",
    "moe.z_loss_coeff=0.1",
]
DENSE = "model=qwen3_tiny"
LAYOUTS = {
    "tp2_ep2": ["parallel.tp=2", "parallel.ep=2"],
    "pp2": ["parallel.pp=2"],
    "cp2": ["parallel.cp=2"],
    "dp4_ep2": ["parallel.ep=2"],
    "dp4_ep4_recompute": ["parallel.ep=4", "train.recompute=full"],
    "tp2_pp2_ep2": ["parallel.tp=2", "parallel.pp=2", "parallel.ep=2"],
    "cp2_pp2_ep2": ["parallel.cp=2", "parallel.pp=2", "parallel.ep=2"],
    "exact_tp2_cp2": ["parallel.tp=2", "parallel.cp=2", "moe.statistics=exact"],
    "dense_tp2_cp2": [DENSE, "parallel.tp=2", "parallel.cp=2"],
    "dense_tp2_without_sp": [DENSE, "parallel.tp=2", "parallel.sequence_parallel=false"],
    "dense_tp2_pp2": [DENSE, "parallel.tp=2", "parallel.pp=2"],
}
REFERENCES = {
    "previous_step": [],
    "exact": ["moe.statistics=exact"],
    "dense": [DENSE],
    "one_microbatch": ["train.micro_batch_size=8"],
    "without_router_losses": ["moe.aux_loss_coeff=0", "moe.z_loss_coeff=0"],
}
KEYS = ("loss", "grad_norm", "load_balancing_loss", "z_loss", "max_vio")


@pytest.fixture(scope="module")
def references(export_folder, tmp_path_factory):
    runs = {name: [f"data.path={export_folder / 'train'}", *SHORT, *run] for name, run in REFERENCES.items()}
    return run_sft(1, runs, tmp_path_factory.mktemp("references"))


@pytest.fixture(scope="module")
def layouts(export_folder, tmp_path_factory):
    runs = {name: [f"data.path={export_folder / 'train'}", *SHORT, *run] for name, run in LAYOUTS.items()}
    return run_sft(4, runs, tmp_path_factory.mktemp("layouts"))


def assert_same(found, expected):
    assert len(found) == len(expected) == NUM_STEPS
    for ours, theirs in zip(found, expected, strict=True):
        keys = [key for key in KEYS if key in theirs]
        assert {key: ours[key] for key in keys} == pytest.approx({key: theirs[key] for key in keys}, rel=1e-5)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_gives_the_numbers_of_one_process(name, layouts, references):
    kind = name.split("_")[0]
    assert_same(layouts[name], references[kind if kind in ("exact", "dense") else "previous_step"])


def test_accumulation_does_not_matter(references):
    assert_same(references["one_microbatch"], references["previous_step"])


def test_exact_and_previous_statistics_agree_in_the_first_step_only(references):
    first, second = list(zip(references["exact"], references["previous_step"], strict=True))[:2]
    assert first[0]["grad_norm"] == pytest.approx(first[1]["grad_norm"], rel=1e-6)
    assert second[0]["grad_norm"] != pytest.approx(second[1]["grad_norm"], rel=1e-6)


def test_the_router_losses_reach_the_gradient(references):
    """What the parity of gradient norms would miss if the losses were attached nowhere."""
    with_losses, without = references["previous_step"][0], references["without_router_losses"][0]
    assert with_losses["loss"] == pytest.approx(without["loss"], rel=1e-6)
    assert with_losses["grad_norm"] != pytest.approx(without["grad_norm"], rel=1e-3)
