"""Layout algebra: what fits, and messages whose advice fits too."""

import dataclasses
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magic_megatron.config.layout import ParallelConfig, check_model_fits, data_parallel_size
from magic_megatron.config.model import ModelConfig
from recipes.command import InputError, compose, typed

SINGLE = ParallelConfig(tp=1, pp=1, cp=1, ep=1, etp=1, sequence_parallel=None)
TINY = typed(ModelConfig, compose("sft", []).model)
DENSE = typed(ModelConfig, compose("sft", ["model=qwen3_tiny"]).model)


def layout(**sizes):
    return dataclasses.replace(SINGLE, **sizes)


def test_the_papers_layout_on_32_and_16_processes():
    paper = typed(ParallelConfig, compose("sft", ["parallel=magicagent"]).parallel)
    assert (paper.tp, paper.pp, paper.cp, paper.ep) == (4, 2, 2, 4)
    assert data_parallel_size(paper, 32) == 2
    assert data_parallel_size(paper, 16) == 1
    check_model_fits(paper, TINY, 1024)


@given(*[st.sampled_from([1, 2, 3, 4, 8])] * 4, st.integers(1, 64))
def test_a_world_that_is_accepted_is_exactly_used(tp, pp, cp, ep, world):
    try:
        dp = data_parallel_size(layout(tp=tp, pp=pp, cp=cp, ep=ep), world)
    except InputError:
        assert world % (tp * pp * cp) or world % (ep * pp)
    else:
        assert tp * pp * cp * dp == world
        assert world % (ep * pp) == 0


@pytest.mark.parametrize(
    ("sizes", "world", "message"),
    [
        (
            {"tp": 3},
            4,
            "parallel.tp=3 parallel.pp=1 parallel.cp=1: tp·pp·cp = 3 must divide the world size 4",
        ),
        ({"ep": 3}, 4, "parallel.ep=3: etp·ep·pp = 1·3·1 = 3 must divide the world size 4"),
        ({"pp": 0}, 4, "parallel.pp=0: must be at least 1; try parallel.pp=1"),
    ],
)
def test_worlds_that_do_not_fit(sizes, world, message):
    with pytest.raises(InputError) as caught:
        data_parallel_size(layout(**sizes), world)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("sizes", "model", "length", "message"),
    [
        ({"tp": 8}, TINY, 1024, "key-value groups"),
        ({"pp": 4}, TINY, 1024, "parallel.pp=4: qwen3_moe_tiny has 2 layers"),
        ({"ep": 3}, TINY, 1024, "parallel.ep=3: qwen3_moe_tiny has 8 experts"),
        ({"ep": 2}, DENSE, 1024, "is dense"),
        ({"tp": 2, "sequence_parallel": False}, TINY, 1024, "parallel.sequence_parallel=false: "),
        ({"cp": 3}, TINY, 4096, "parallel.cp=3: sequence length 4096 must divide by 6 (2·cp zigzag chunks)"),
        ({"tp": 4, "cp": 2}, TINY, 1000, "parallel.cp=2: sequence length 1000 must divide by 16"),
    ],
)
def test_models_that_do_not_split(sizes, model, length, message):
    with pytest.raises(InputError) as caught:
        check_model_fits(layout(**sizes), model, length)
    assert message in str(caught.value)


@given(st.sampled_from(["tp", "pp", "ep"]), st.integers(1, 16))
def test_advice_given_is_advice_that_works(key, size):
    try:
        check_model_fits(layout(**{key: size}), TINY, 4096)
    except InputError as error:
        for advised in re.findall(rf"parallel\.{key}=(\d+)", str(error).split("try", 1)[1]):
            check_model_fits(layout(**{key: int(advised)}), TINY, 4096)
