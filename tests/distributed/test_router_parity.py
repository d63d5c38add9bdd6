"""The router's losses are those of one process over the whole batch, value and gradient, in every layout."""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from ranks import ranks_of

WORKER = Path(__file__).parent / "router_worker.py"
LAYOUTS = (
    "dp4",
    "tp2_ep2",
    pytest.param(
        "tp4_ep4_recompute", marks=pytest.mark.slow
    ),  # TP, EP and recomputation stand below in other pairs
    "cp2_ep2",
    "pp2",
    "pp2_ep2_recompute",
    "tp2_pp2_recompute",
    "tp2_cp2",
    "pp2_cp2_ep2",
)


def start(mode, num_processes, folder):
    out = folder / f"{mode}.pt"
    done = subprocess.run(
        ranks_of(num_processes, WORKER, mode, out),
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return torch.load(out, weights_only=False)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return start("single", 1, tmp_path_factory.mktemp("router"))


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    return start("layouts", 4, tmp_path_factory.mktemp("router"))


@pytest.fixture
def in_layout(layout, request):
    """What a layout found; the slow one has ranks of its own."""
    found = request.getfixturevalue("tensor_parallel_4" if layout.startswith("tp4") else "layouts")
    return found[layout]


@pytest.fixture(scope="module")
def tensor_parallel_4(tmp_path_factory):
    return start("tp4_ep4_recompute", 4, tmp_path_factory.mktemp("router"))


def assert_same_gradients(got, want):
    assert got.keys() == want.keys()
    for name, gradient in want.items():
        error = (got[name] - gradient).norm()
        assert error <= 1e-5 * gradient.norm(), f"{name}: off by {error:.1e} of {gradient.norm():.1e}"


@pytest.mark.parametrize("case", ["exact_alone", "first_step", "second_step"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_of_routers_experts_and_norms_are_those_of_one_process(single, in_layout, layout, case):
    assert_same_gradients(in_layout[case]["gradients"], single[case]["gradients"])


@pytest.mark.parametrize("case", ["exact_alone", "first_step", "second_step"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_metrics_are_those_of_one_process(single, in_layout, layout, case):
    got, want = in_layout[case]["metrics"], single[case]["metrics"]
    assert got.load_balancing_loss == pytest.approx(want["load_balancing_loss"].item(), rel=1e-6)
    assert got.z_loss == pytest.approx(want["z_loss"].item(), rel=1e-6)
    assert torch.equal(got.statistics.counts.long(), want["tokens_per_expert"])
    assert torch.equal(got.domain_counts, want["domain_counts"])
    loads = want["tokens_per_expert"].double()
    violation = (loads.amax(-1) / loads.mean(-1) - 1).tolist()
    assert got.max_vio_per_layer == pytest.approx(violation)
    assert got.max_vio == pytest.approx(sum(violation) / len(violation))
    assert got.num_dropped_tokens == 0


@pytest.mark.parametrize("loss", ["micro_batch", "sequence", "variance"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_other_losses_of_table_6_are_those_of_one_process(single, in_layout, layout, loss):
    want = single[loss]
    if loss == "micro_batch":
        want = want[2 if layout == "tp2_pp2_recompute" else 1]
    got = in_layout[loss]
    assert got["metrics"].aux_loss == pytest.approx(want["aux_loss"], rel=1e-6)
    assert_same_gradients(got["gradients"], want["gradients"])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_loads_of_the_last_step_spare_the_statistics_pass(in_layout, layout):
    passes = [in_layout[case]["statistics_pass"] for case in ("exact_alone", "first_step", "second_step")]
    assert passes == [True, True, False]


@pytest.mark.parametrize("loss", ["global", "micro_batch", "variance"])
def test_tensor_parallel_without_a_split_sequence(layouts, loss):
    alone = layouts["tp2_without_sequence_parallel"][loss]
    torch.testing.assert_close(alone["got"], alone["want"], rtol=1e-5, atol=1e-7)
    assert alone["value"] == pytest.approx(alone["want_value"], rel=1e-6)


def test_running_statistics_of_the_whole_batch_at_once_are_exact(single):
    assert not single["running_at_once"]["statistics_pass"]
    assert_same_gradients(single["running_at_once"]["gradients"], single["exact_alone"]["gradients"])


def test_recomputation_leaves_running_statistics_alone(layouts):
    plain, recomputed = (layouts[name]["running"] for name in ("pp2", "pp2_ep2_recompute"))
    assert_same_gradients(recomputed["gradients"], plain["gradients"])


def test_the_two_losses_add_up(single):
    balance, z = single["without_z"]["gradients"], single["without_balance"]["gradients"]
    assert not single["without_balance"]["statistics_pass"]
    summed = {name: balance[name] + z[name] for name in balance}
    assert_same_gradients(summed, single["exact_alone"]["gradients"])


def test_domains_are_counted_only_when_asked(single):
    for case in ("without_z", "capped"):
        metrics = single[case]["metrics"]
        assert metrics.domain_counts is None
        assert metrics.domain_divergence is None


def test_a_capacity_drops_tokens_and_counts_them(single):
    capped, free = single["capped"]["metrics"], single["without_z"]["metrics"]
    assert capped.num_dropped_tokens > 0
    assert torch.equal(capped.statistics.counts[0], free.statistics.counts[0])


@pytest.mark.parametrize(
    ("misuse", "says"),
    [
        ("no statistics pass", "counting()"),
        ("wrong count", "begin_step wants the real tokens of the global batch"),
        ("missing micro-batch", "1 micro-batches are missing"),
        ("other model", "don't fit a model of (4, 8)"),
        ("stock router", "use_balanced_router"),
        ("two z-losses", "moe_z_loss_coeff=0.001"),
    ],
)
def test_misuse_is_told(single, misuse, says):
    assert says in single["refusals"][misuse]


def assert_ratios(found, wanted):
    assert found == {case: pytest.approx(ratio, rel=1e-4) for case, ratio in wanted.items()}


def test_stock_losses_are_right_in_one_process_without_loss_masks(single):
    right = dict.fromkeys(("balance", "balance mask", "micro", "sequence", "z"), 1.0)
    assert_ratios(single["stock"], single["stock"] | right)


def test_stock_losses_are_still_inflated_by_loss_masks(single):
    """Half of the tokens carry a loss: twice the gradient. 1 once upstream mends it; see docs/router.md."""
    inflated = dict.fromkeys(("balance half", "micro half", "z half"), 2.0)
    assert_ratios(single["stock"], single["stock"] | inflated)


def test_stock_losses_still_depend_on_the_layout(layouts):
    """1 everywhere once upstream mends it; see docs/router.md."""
    right = dict.fromkeys(("balance", "balance mask", "micro", "micro mask", "sequence"), 1.0)
    assert_ratios(layouts["stock_dp4"], right | {"balance": 1 / 4})
    assert_ratios(layouts["stock_tp2_cp2"], right | {"balance mask": 4.0, "micro mask": 4.0})
