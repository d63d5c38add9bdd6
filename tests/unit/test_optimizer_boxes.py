"""Ranges of a flattened array as boxes: the same elements in the same order, and few of them."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from magic_megatron import platform

platform.activate("rehearsal")

from magic_megatron.models.optimizer_state import boxes  # noqa: E402


@st.composite
def ranges(draw):
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=4)))
    start = draw(st.integers(0, math.prod(shape)))
    return shape, start, draw(st.integers(start, math.prod(shape)))


@given(ranges())
def test_boxes_are_the_range(given_range):
    shape, start, stop = given_range
    array = np.arange(math.prod(shape)).reshape(shape)
    found = list(boxes(start, stop, shape))
    for box in found:
        window = tuple(slice(at, at + size) for at, size in zip(box.offsets, box.sizes, strict=True))
        assert array[window].ravel()[0] == box.start
        assert array[window].shape == box.sizes
        np.testing.assert_array_equal(array[window].ravel(), box.start + np.arange(math.prod(box.sizes)))
    assert [n for box in found for n in range(box.start, box.start + math.prod(box.sizes))] == list(
        range(start, stop)
    )
    assert len(found) <= 2 * len(shape) - 1
