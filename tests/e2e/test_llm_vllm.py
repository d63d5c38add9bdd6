"""The client against a real server and a real model: vLLM with SmolLM2-135M-Instruct on the CPU.

The model is small and often wrong, as it should be here: what it says must be taken or rejected, never believed.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from data_synth.llm.model import AnswerError, Request, parse_answer
from magic_megatron.platform.serve import parse_arguments, serving
from recipes.command import InputError

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from llm_runs import open_openai
from smollm2 import smollm2_folder

MAX_MODEL_LEN = 512
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "enum": ["Paris", "Rome", "Oslo"]},
        "nights": {"type": "integer"},
        "breakfast": {"type": "boolean"},
    },
    "required": ["city", "nights", "breakfast"],
    "additionalProperties": False,
}
SYSTEM = f"Answer with JSON alone, in this schema: {json.dumps(SCHEMA)}"
CITIES = ["Paris", "Rome", "Oslo"]


@pytest.fixture(scope="module")
def base_url(tmp_path_factory):
    folder = smollm2_folder(tmp_path_factory.mktemp("smollm2") / "model")
    arguments = ["--model", folder, "--name", "smollm2", "--log", folder.parent / "log"]
    arguments += ["--max-model-len", MAX_MODEL_LEN, "--max-num-seqs", 8, "--", "true"]
    options, _ = parse_arguments([str(argument) for argument in arguments])
    with serving(options) as url:
        yield url


@pytest.fixture
def opened(base_url, tmp_path):
    """A function that opens the model on one cache; closed afterwards."""
    models = []

    def open_model(**keys):
        given = {"model": "smollm2", "max_tokens": 60, "timeout_s": 300, "concurrency": 4, **keys}
        models.append(open_openai(tmp_path, base_url, **given))
        return models[-1]

    yield open_model
    for model in models:
        model.close()


def requests(num, words="Book a hotel in {} for two nights, with breakfast."):
    for number in range(num):
        user = words.format(CITIES[number % len(CITIES)])
        messages = ({"role": "system", "content": SYSTEM}, {"role": "user", "content": user})
        yield Request("booking", messages, SCHEMA, {}, seed=number)


def answers(model, asked):
    """Values, or the word for which an answer is rejected; in order."""

    def one(request):
        try:
            return parse_answer(model.complete(request), request.schema)
        except AnswerError as error:
            return error.reason

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, asked))


def test_the_server_holds_answers_to_their_schema(opened):
    model = opened(structured_output="json_schema", temperature=0.2)
    found = answers(model, requests(6))
    whole = [answer for answer in found if isinstance(answer, dict)]
    assert len(whole) >= 3, found  # one may run into max_tokens
    assert all(answer["city"] in CITIES and isinstance(answer["nights"], int) for answer in whole)
    used = model.usage()
    assert used["requests"] == 6 and used["prompt_tokens"] > 6 * 50 and used["completion_tokens"] > 6 * 5
    again = opened(structured_output="auto", temperature=0.2)
    assert answers(again, requests(6)) == found
    assert again.usage()["requests"] == 6 and again.usage()["cached_requests"] == 6


def test_free_answers_are_taken_or_rejected_by_a_word(opened):
    model = opened(structured_output="none", temperature=1.0, thinking=False, max_tokens=24)
    asked = list(requests(6, words="Tell me about {}."))
    texts = [model.complete(request) for request in asked]
    assert len(set(texts)) > 3 and all(texts)
    found = answers(model, asked)
    reasons = [answer for answer in found if isinstance(answer, str)]
    assert reasons and set(reasons) <= {"answer_not_json", "answer_not_in_schema"}
    assert model.usage()["requests"] == 6  # what can't be read isn't asked again: another seed is


def test_another_seed_is_another_answer(opened):
    model = opened(structured_output="none", temperature=1.5, max_tokens=16)
    one, *_ = requests(1, words="Tell me a story about {}.")
    texts = {model.complete(Request(one.role, one.messages, one.schema, {}, seed)) for seed in range(4)}
    assert len(texts) > 1


def test_a_model_that_is_not_served(opened):
    model = opened(model="no-such-model")
    with pytest.raises(InputError, match=r"llm\.model=no-such-model: not served at llm\.base_url=http"):
        model.complete(next(requests(1)))


def test_a_prompt_beyond_the_context_is_rejected_alone(opened):
    model = opened()
    long = next(requests(1, words="{} " + "and on " * MAX_MODEL_LEN))
    first, second = requests(2)
    model.complete(first)
    with pytest.raises(AnswerError) as caught:
        model.complete(long)
    assert caught.value.reason == "request_refused" and "context length" in caught.value.detail
    model.complete(second)


def test_more_tokens_than_the_context_stop_the_run_at_once(opened):
    model = opened(max_tokens=100_000)
    with pytest.raises(InputError, match=r"llm\.max_tokens"):
        model.complete(next(requests(1)))
