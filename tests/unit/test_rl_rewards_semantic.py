"""Cosines: each text embedded once, shared between threads, bounded in memory."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from reward_rows import recipe, settings

from magic_megatron.rl.rewards import open_settings
from magic_megatron.rl.rewards.semantic import Embeddings
from recipes.command import InputError


class Model:
    """Vectors of length 1 by the letters of a text, and a record of what was asked."""

    def __init__(self):
        self.batches = []

    def __call__(self, texts):
        self.batches.append(texts)
        counts = np.array(
            [[text.count(letter) + 1e-3 for letter in "abcdefghij"] for text in texts], np.float32
        )
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


def opened(cache_size=100, max_characters=50):
    model = Model()
    return model, Embeddings(model, cache_size, max_characters)


def test_each_text_is_embedded_once():
    model, embeddings = opened()
    first, again = embeddings(["a", "b", "a"]), embeddings(["b", "c"])
    assert model.batches == [["a", "b"], ["c"]]
    assert np.array_equal(first[0], first[2]) and np.array_equal(first[1], again[0])


def test_the_cache_keeps_what_was_used_last():
    model, embeddings = opened(cache_size=2)
    for text in ("a", "b", "a", "c", "a", "b"):
        embeddings([text])
    assert model.batches == [["a"], ["b"], ["c"], ["b"]]


def test_more_texts_than_the_cache_holds_are_all_answered():
    _, embeddings = opened(cache_size=2)
    texts = [letter * n for letter in "abcde" for n in (1, 2)]
    assert np.allclose(embeddings(texts), Model()(texts))


def test_cosines_are_one_for_equal_texts_and_zero_for_long_ones():
    model, embeddings = opened(max_characters=5)
    cosines = embeddings.cosines(["a", "abc", "a" * 6, "a" * 6], ["a", "abd", "a" * 6, "a"])
    assert cosines == [1.0, pytest.approx(2 / 3, abs=1e-2), 1.0, 0.0]
    assert model.batches == [["abc", "abd"]]
    matrix = embeddings.cosine_matrix(["abc", "a" * 6], ["abc", "abd"])
    assert matrix == pytest.approx(np.array([[1, 2 / 3], [0, 0]]), abs=1e-2)
    assert embeddings.cosines([], []) == []


def test_texts_that_gather_while_the_model_is_busy_are_embedded_together():
    busy, go_on = threading.Event(), threading.Event()
    model = Model()

    def slow(texts):
        busy.set()
        assert go_on.wait(30)
        return model(texts)

    embeddings = Embeddings(slow, cache_size=100, max_characters=50)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(embeddings, ["a"])
        assert busy.wait(30)
        others = [pool.submit(embeddings, [letter]) for letter in "bcdefghi"]
        while len(embeddings._waiting) < len(others):
            threading.Event().wait(0.01)
        go_on.set()
        assert np.allclose(first.result(), Model()(["a"]))
        for letter, other in zip("bcdefghi", others, strict=True):
            assert np.allclose(other.result(), Model()([letter]))
    assert [len(batch) for batch in model.batches] == [1, 8]


def test_a_model_that_fails_once_fails_its_callers_and_no_later_one():
    model = Model()
    failures = iter([RuntimeError("out of memory")])

    def encode(texts):
        for failure in failures:
            raise failure
        return model(texts)

    embeddings = Embeddings(encode, cache_size=100, max_characters=50)
    with pytest.raises(RuntimeError, match="out of memory"):
        embeddings(["a"])
    assert np.allclose(embeddings(["a", "b"]), Model()(["a", "b"]))


def test_minilm_tells_meanings_apart_on_the_cpu():
    near, far = settings().embeddings.cosines(
        ["Cancel the flight to Rome."] * 2, ["Call off the flight to Rome.", "Sing a song about the moon."]
    )
    assert near > 0.85 > 0.5 > far


@pytest.mark.parametrize(("key", "value"), [("model", "/no/such/model")])
def test_a_model_that_is_not_there_is_refused_when_opened(key, value):
    import dataclasses

    embedding = dataclasses.replace(recipe().embedding, **{key: value})
    with pytest.raises(InputError, match=r"reward\.embedding\.model=/no/such/model"):
        open_settings(dataclasses.replace(recipe(), embedding=embedding))
