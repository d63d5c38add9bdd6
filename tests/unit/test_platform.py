"""The platform: which one, what it refuses, and where the redirections of rehearsal send a call."""

import re

import pytest
import torch
from torch import nn

from magic_megatron import platform
from magic_megatron.platform import redirection
from recipes.command import InputError, compose

platform.activate("rehearsal")

from megatron.core.tensor_parallel.random import (  # noqa: E402
    CudaRNGStatesTracker,
    checkpoint,
)

needs_no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")


@needs_no_cuda
def test_without_a_device_the_platform_is_rehearsal_and_cuda_is_refused():
    assert platform.detect() == "rehearsal"
    with pytest.raises(InputError, match=r"^platform=cuda: .*; use platform=rehearsal$"):
        platform.activate("cuda")


def test_an_unknown_platform_is_refused_with_the_choices():
    with pytest.raises(InputError, match=r"^platform=tpu: .*; choose rehearsal or cuda$"):
        platform.activate("tpu")


def test_activating_again_changes_nothing():
    before = torch.zeros, torch.Tensor.to, torch.cuda.current_device
    assert platform.activate("rehearsal") == platform.PLATFORMS["rehearsal"]
    assert (torch.zeros, torch.Tensor.to, torch.cuda.current_device) == before


@pytest.mark.parametrize("name", ["rehearsal", "cuda"])
def test_the_recipes_agree_with_the_package(name):
    recipe = compose("sft", [f"platform={name}"]).platform
    assert recipe.name == name == platform.PLATFORMS[name].name


@needs_no_cuda
def test_cuda_literals_stay_on_the_cpu():
    made = [
        torch.tensor([1.0], device="cuda"),
        torch.zeros(2, device=torch.cuda.current_device()),
        torch.empty_like(torch.ones(2), device=torch.device("cuda", 0)),
        torch.full((2,), 1.0, device="cuda:0", pin_memory=True),
        torch.ones(2).cuda(),
        torch.ones(2).to("cuda", torch.float64),
        torch.ones(2).to(device="cuda"),
        torch.ones(2).pin_memory(),
        next(nn.Linear(2, 2).cuda().parameters()),
        next(nn.Linear(2, 2).to("cuda").parameters()),
    ]
    assert {tensor.device.type for tensor in made} == {"cpu"}
    assert made[5].dtype == torch.float64


def test_values_are_those_of_the_cpu():
    torch.manual_seed(0)
    expected = torch.rand(4), torch.randn(4), torch.randint(0, 100, (4,))
    torch.manual_seed(0)
    redirected = (
        torch.rand(4, device="cuda"),
        torch.randn(4, device="cuda"),
        torch.randint(0, 100, (4,), device="cuda"),
    )
    for ours, plain in zip(redirected, expected, strict=True):
        assert torch.equal(ours, plain)


def test_other_devices_are_left_alone():
    assert torch.zeros(2, device="meta").device.type == "meta"
    assert torch.zeros(2).to("meta").device.type == "meta"
    with torch.device("meta"):
        assert {f(2).device.type for f in (torch.zeros, torch.empty, torch.rand, torch.arange)} == {"meta"}
        assert nn.Linear(2, 2).weight.is_meta


def test_streams_and_events_are_in_order_already():
    side = torch.cuda.Stream(device="cuda")
    assert torch.cuda.current_stream() != side
    with torch.cuda.stream(side):
        assert torch.cuda.current_stream() is side
    side.wait_stream(torch.cuda.current_stream())
    event = side.record_event()
    event.synchronize()
    assert event.query()
    torch.ones(2).record_stream(side)
    torch.cuda.synchronize()


def test_tensor_types_are_renamed_for_the_optimizers_only():
    assert torch.ones(1).type() == "torch.FloatTensor"
    assert torch.ones(1).type(torch.float64).dtype == torch.float64
    inside = {"torch": torch, "__name__": "megatron.core.optimizer.optimizer"}
    assert eval("torch.ones(1, dtype=torch.bfloat16).type()", inside) == "torch.cuda.BFloat16Tensor"


def test_forked_random_states_leave_the_default_one_alone():
    tracker = CudaRNGStatesTracker()
    tracker.add("experts", 1)
    torch.manual_seed(5)
    expected = torch.rand(6)
    torch.manual_seed(5)
    first = torch.rand(3)
    with tracker.fork("experts"):
        of_experts = torch.rand(3)
    assert torch.equal(torch.cat((first, torch.rand(3))), expected)
    torch.manual_seed(1)
    assert torch.equal(of_experts, torch.rand(3))


def test_recomputation_draws_the_same_dropout():
    x = torch.ones(64, requires_grad=True)
    torch.manual_seed(3)
    y = checkpoint(lambda x: nn.functional.dropout(x, 0.5), False, x)
    torch.rand(7)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize("version", ["0.16.1", "0.17.0", "0.20.0", "0.20.0rc1", "1.0"])
def test_unknown_versions_are_refused_with_the_known_ones(version):
    with pytest.raises(InputError, match=re.escape(f"megatron-core=={version}")) as refused:
        redirection.check_version("megatron-core", version, ">=0.18,<0.20")
    assert ">=0.18,<0.20" in str(refused.value)


@pytest.mark.parametrize("version", ["0.18.0", "0.18.2", "0.19.0rc2", "0.19.2", "0.19.2+local"])
def test_known_versions_pass(version):
    redirection.check_version("megatron-core", version, ">=0.18,<0.20")


def test_a_row_with_an_unknown_version_or_a_lost_name_changes_nothing():
    def row(versions, name):
        return redirection.Redirection(
            name="sample",
            package="torch",
            versions=versions,
            upstream="file.py",
            replaces=(name,),
            why="a sample",
            until="never",
            apply=lambda: pytest.fail("applied"),
        )

    with pytest.raises(InputError, match="torch=="):
        redirection.install([row("<1", "torch.zeros")])
    with pytest.raises(InputError, match=r"^torch\.no_such_name: gone from the installed version"):
        redirection.install([row(">=1", "torch.no_such_name")])
    with pytest.raises(InputError, match=r"^no_such_package\.name: gone"):
        redirection.current("no_such_package.name")
