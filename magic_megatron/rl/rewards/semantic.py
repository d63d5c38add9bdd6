"""Cosines of sentence embeddings: each text is embedded once, in batches that concurrent callers share."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from data_synth.tools.embedding import open_encoder
from magic_megatron.config.rl_reward import EmbeddingConfig

type Vectors = NDArray[np.float32]


class Embeddings:
    """Texts to vectors of length 1, the last used ones kept. Safe to call from threads.

    While one thread is in the model, the texts of the others gather; whoever comes next embeds them all at once.
    """

    def __init__(self, encode: Callable[[list[str]], Vectors], cache_size: int, max_characters: int) -> None:
        """``encode`` gives float32 vectors of length 1 [texts, D]; ``cache_size`` counts texts."""
        self.max_characters = max_characters
        self._encode, self._cache_size = encode, cache_size
        self._known: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._waiting: dict[bytes, str] = {}
        self._memory, self._model = threading.Lock(), threading.Lock()

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """float32 [texts, D], ``texts`` being one or more."""
        clean = [text.encode("utf-8", "replace") for text in texts]  # lone surrogates, which JSON may hold
        keys = [hashlib.blake2b(text, digest_size=16).digest() for text in clean]
        found = self._recall(keys)
        missing = {k: text.decode() for k, text in zip(keys, clean, strict=True) if k not in found}
        if missing:
            with self._memory:
                self._waiting.update(missing)
            with self._model:
                self._embed_waiting()
                found |= self._recall(list(missing))
                found |= self._embedded({k: text for k, text in missing.items() if k not in found})
        return np.stack([found[key] for key in keys])

    def cosines(self, found: Sequence[str], wanted: Sequence[str]) -> list[float]:
        """Of each pair, in [−1, 1]: 1 for equal texts, 0 where one is longer than ``max_characters``."""
        pairs = list(zip(found, wanted, strict=True))
        open_pairs = [
            (a, b) for a, b in dict.fromkeys(pairs) if a != b and max(len(a), len(b)) <= self.max_characters
        ]
        values = {(a, b): 1.0 if a == b else 0.0 for a, b in pairs}
        if open_pairs:
            vectors = self([text for pair in open_pairs for text in pair])
            products = np.einsum("pd,pd->p", vectors[::2], vectors[1::2])
            values.update(zip(open_pairs, products.tolist(), strict=True))
        return [values[pair] for pair in pairs]

    def cosine_matrix(self, found: Sequence[str], wanted: Sequence[str]) -> NDArray[np.float32]:
        """[found, wanted], both one or more; texts longer than ``max_characters`` are like none."""
        texts = [text if len(text) <= self.max_characters else "" for text in (*found, *wanted)]
        vectors = self(texts) * np.array([[bool(text)] for text in texts])
        cosines: NDArray[np.float32] = vectors[: len(found)] @ vectors[len(found) :].T
        return cosines

    def _recall(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        found = {}
        with self._memory:
            for key in keys:
                if (vector := self._known.get(key)) is not None:
                    self._known.move_to_end(key)
                    found[key] = vector
        return found

    def _embed_waiting(self) -> None:
        with self._memory:
            texts, self._waiting = self._waiting, {}
        self._embedded(texts)

    def _embedded(self, texts: dict[bytes, str]) -> dict[bytes, NDArray[np.float32]]:
        if not texts:
            return {}
        rows = self._encode(list(texts.values()))
        vectors = {key: row.copy() for key, row in zip(texts, rows, strict=True)}
        with self._memory:
            self._known.update(vectors)
            while len(self._known) > self._cache_size:
                self._known.popitem(last=False)
        return vectors


def open_embeddings(config: EmbeddingConfig) -> Embeddings:
    """The model of a recipe, loaded when it is first asked.

    Raises:
        InputError: it isn't there.
    """
    encode = open_encoder(config.model, config.device, "reward.embedding.model")
    return Embeddings(encode, config.cache_size, config.max_characters)
