"""The paper's layout, TP4·PP2·CP2·EP4, in 16 processes: the numbers of one process, in memory that a laptop has.

``-m slow`` runs a matrix of further layouts of 16 and 8 processes.
"""

import pytest
from sft_runs import run_sft

NUM_STEPS = 3
GIB = 2**30
SHORT = [
    f"train.num_steps={NUM_STEPS}",
    "train.global_batch_size=4",
    "train.micro_batch_size=1",
    "data.sequence_length=512",
    "optim.lr=1e-3",
    "moe.aux_loss_coeff=0.5",
    "moe.z_loss_coeff=0.1",
]
PAPER = "parallel=magicagent"
BF16 = "platform.dtype=bf16"
KEYS = ("loss", "grad_norm", "load_balancing_loss", "z_loss", "max_vio")
# Processes, and what is set on top of SHORT.
MATRIX = {
    "paper_recompute": (16, [PAPER, "train.recompute=full"]),
    "paper_exact": (16, [PAPER, "moe.statistics=exact"]),
    "paper_sequence_lbl": (16, [PAPER, "ablation=sequence_lbl", "moe.aux_loss_coeff=0.5"]),
    "paper_micro_batch_lbl": (16, [PAPER, "ablation=micro_batch_lbl", "moe.aux_loss_coeff=0.5"]),
    "paper_variance_loss": (16, [PAPER, "ablation=variance_loss", "moe.aux_loss_coeff=0.5"]),
    "dense_tp4_pp2_cp2": (16, ["model=qwen3_tiny", "parallel.tp=4", "parallel.pp=2", "parallel.cp=2"]),
    "tp2_pp2_cp2_dp2_ep4": (16, ["parallel.tp=2", "parallel.pp=2", "parallel.cp=2", "parallel.ep=4"]),
    "tp4_cp4_ep8": (16, ["parallel.tp=4", "parallel.cp=4", "parallel.ep=8", "data.pad_multiple=8"]),
    "pp2_dp4_ep4": (8, ["parallel.pp=2", "parallel.ep=4"]),
    "cp4_pp2_ep4": (8, ["parallel.cp=4", "parallel.pp=2", "parallel.ep=4", "data.pad_multiple=8"]),
    "tp4_pp2_ep2": (8, ["parallel.tp=4", "parallel.pp=2", "parallel.ep=2"]),
}
LAYOUT_KEYS = ("parallel", "train.recompute")


def reference_of(overrides):
    """The same run in one process."""
    return [override for override in overrides if not override.startswith(LAYOUT_KEYS)]


@pytest.fixture(scope="module")
def data(export_folder):
    return [f"data.path={export_folder / 'train'}", *SHORT]


def assert_same(found, expected, tolerance):
    assert len(found) == len(expected) == NUM_STEPS
    for ours, theirs in zip(found, expected, strict=True):
        keys = [key for key in KEYS if key in theirs]
        assert {key: ours[key] for key in keys} == pytest.approx(
            {key: theirs[key] for key in keys}, rel=tolerance
        )


def test_the_papers_layout_gives_the_numbers_of_one_process_within_12_gib(data, tmp_path):
    memory = []
    alone = run_sft(1, {"fp32": data, "bf16": [*data, BF16]}, tmp_path / "one")
    spread = run_sft(
        16, {"fp32": [*data, PAPER], "bf16": [*data, PAPER, BF16]}, tmp_path / "sixteen", memory=memory
    )
    assert_same(spread["fp32"], alone["fp32"], tolerance=1e-5)
    for ours, theirs in zip(spread["bf16"], alone["bf16"], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=5e-4)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-2)
        assert ours["load_balancing_loss"] == pytest.approx(theirs["load_balancing_loss"], rel=2e-3)
    print(f"peak memory of 16 processes: {max(memory) / GIB:.2f} GiB")
    assert max(memory) <= 12 * GIB


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_further_layouts_of_8_and_16_processes(data, tmp_path):
    runs = {name: [*data, *overrides] for name, (_, overrides) in MATRIX.items()}
    references = {name: reference_of(run) for name, run in runs.items()}
    unique = {" ".join(reference): reference for reference in references.values()}
    names = {key: f"reference{number}" for number, key in enumerate(unique)}
    alone = run_sft(1, {names[key]: run for key, run in unique.items()}, tmp_path, timeout=1200)
    for num_processes in (8, 16):
        chosen = {name: runs[name] for name, (number, _) in MATRIX.items() if number == num_processes}
        spread = run_sft(num_processes, chosen, tmp_path, timeout=1800)
        for name, found in spread.items():
            assert_same(found, alone[names[" ".join(references[name])]], tolerance=1e-5)
