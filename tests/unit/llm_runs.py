"""Ask a model from many threads, as the engine does, and look into its cache."""

import functools
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from misbehaving_server import SCHEMA

from data_synth.llm import LlmSettings, open_model
from data_synth.llm.model import Request
from recipes.command import compose, typed

PATIENT = {"backoff_s": 0.01, "max_wait_s": 2, "timeout_s": 2, "max_retries": 4}


def settings_of(folder, base_url="http://127.0.0.1:9/v1", **keys) -> LlmSettings:
    """The recipe's values, with quick retries."""
    cache = folder / "requests.sqlite"
    return replace(_recipe(), **{"model": "planner", "base_url": base_url, "cache": cache, **PATIENT, **keys})


@functools.cache
def _recipe():
    given = ["llm.model=planner", "llm.base_url=http://127.0.0.1:9/v1", "output_dir=/nowhere"]
    return typed(LlmSettings, compose("synth", ["llm=openai", *given]).llm)


def open_openai(folder, base_url="http://127.0.0.1:9/v1", seed=0, **keys):
    return open_model(settings_of(folder, base_url, **keys), seed)


def request_of(prompt, seed=0, role="query", schema=SCHEMA):
    return Request(role, ({"role": "user", "content": prompt},), schema, {}, seed)


def ask_all(model, prompts, num_threads=6):
    """The answers' texts in the order of the prompts; an exception stands for itself."""

    def one(prompt):
        try:
            return model.complete(request_of(prompt))
        except Exception as error:
            return error

    with ThreadPoolExecutor(num_threads) as pool:
        return list(pool.map(one, prompts))


def cached_texts(folder):
    """All texts of the cache, sorted, read without the project's code."""
    with sqlite3.connect(folder / "requests.sqlite") as connection:
        found = connection.execute("SELECT text FROM answers").fetchall()
    connection.close()
    return sorted(text for (text,) in found)
