"""Whole runs against a misbehaving endpoint: rows are lost, repeated, changed or poisoned by nothing it does."""

import json
import zlib

import pytest
from misbehaving_server import PASSING, MisbehavingServer, answers, completion

from data_synth.engine import generate
from data_synth.llm import open_model
from data_synth.llm.scripted import ScriptedModel
from data_synth.tasks import entry
from data_synth.verify import VERIFIERS
from recipes.command import InputError, compose, typed

NUM_ROWS = 12
QUICK = {name: fault for name, fault in PASSING.items() if name not in ("hangs", "drips", "endless", "10 MB")}
LIES = [
    answers(completion("I am happy to help!")),
    answers(completion('{"query": 7}')),
    answers(completion('{"unknown": "key"}')),
    answers(completion('{"query": "", "reply": "", "steps": []}')),
    answers(completion("[" * 50_000)),
]


class Prompts:
    """A model that remembers which request each prompt belongs to, so that the server can answer sensibly."""

    def __init__(self, inner):
        self.inner, self.name, self.requests = inner, inner.name, {}

    def complete(self, request):
        self.requests[request.messages[-1]["content"]] = request
        return self.inner.complete(request)

    def usage(self):
        return self.inner.usage()


class Endpoint:
    """A server that knows the scripted model's answers, and has ``fault(prompt, number)`` in place of some."""

    def __init__(self, fault):
        self.prompts, self._fault = None, fault
        self.server = MisbehavingServer(self._answer)

    def _answer(self, body, number):
        prompt = body["messages"][-1]["content"]
        if fault := self._fault(prompt, number):
            return fault
        request = self.prompts.requests[prompt]
        return answers(completion(ScriptedModel(0).complete(request)))


def settings_of(folder, task, *overrides):
    config = compose(
        "synth",
        [f"task={task}", f"num_samples={NUM_ROWS}", f"output_dir={folder}", "language=both", *overrides],
    )
    return typed(entry(task).settings, config)


def scripted_rows(folder, task):
    settings = settings_of(folder, task)
    generate(entry(task).make(settings), settings)
    return rows_of(folder)


def endpoint_run(folder, task, endpoint):
    """Make the rows with the model behind ``endpoint``; what the run says it took."""
    keys = ("model=planner", "backoff_s=0.01", "max_wait_s=1", "timeout_s=2", "concurrency=8")
    overrides = ["llm=openai", f"llm.base_url={endpoint.server.base_url}", *(f"llm.{key}" for key in keys)]
    settings = settings_of(folder, task, *overrides)
    made = entry(task).make(settings)
    endpoint.prompts = Prompts(open_model(settings.llm, settings.seed))
    made.toolbox.model = endpoint.prompts
    generate(made, settings, endpoint.prompts.usage)
    return json.loads((folder / "manifest.json").read_text())["llm"]


def rows_of(folder):
    return [json.loads(line) for line in (folder / "data.jsonl").open()]


def without_model(row):
    return {**row, "meta": {key: value for key, value in row["meta"].items() if key != "model"}}


@pytest.mark.parametrize("task", ["decomposition", "tool_augmented"])
def test_faults_of_the_connection_change_no_row(tmp_path, task):
    faults = list(QUICK.values())

    def fault(prompt, number):
        draw = zlib.crc32(prompt.encode())
        return faults[draw // 3 % len(faults)] if number == 1 and draw % 3 == 0 else None

    endpoint = Endpoint(fault)
    with endpoint.server:
        usage = endpoint_run(tmp_path / "endpoint", task, endpoint)
    faultless = Endpoint(lambda prompt, number: None)
    with faultless.server:
        endpoint_run(tmp_path / "faultless", task, faultless)
    assert rows_of(tmp_path / "endpoint") == rows_of(tmp_path / "faultless")
    assert {row["meta"]["model"] for row in rows_of(tmp_path / "endpoint")} == {"planner"}
    assert usage["model"] == "planner"


@pytest.mark.parametrize("task", ["decomposition", "tool_augmented"])
def test_lies_are_rejected_by_reason_and_every_row_is_sound(tmp_path, task):
    def fault(prompt, number):
        draw = zlib.crc32(prompt.encode())
        return LIES[draw // 12 % len(LIES)] if draw % 12 == 0 else None

    endpoint = Endpoint(fault)
    with endpoint.server:
        endpoint_run(tmp_path, task, endpoint)
    rows = rows_of(tmp_path)
    assert len({row["id"] for row in rows}) == NUM_ROWS
    assert [VERIFIERS[task](row) for row in rows] == [(True, "ok")] * NUM_ROWS
    rejected = [json.loads(line)["reason"] for line in (tmp_path / "rejected.jsonl").open()]
    assert {reason for reason in rejected if reason.startswith("answer_")}


def test_an_endpoint_that_dies_ends_the_run_and_the_same_command_goes_on_for_what_is_missing(tmp_path):
    asked = []

    def fault(prompt, number):
        asked.append(prompt)
        return PASSING["closes without an answer"] if 15 < len(asked) < 400 else None

    endpoint = Endpoint(fault)
    with endpoint.server, pytest.raises(InputError, match=r"llm\.base_url"):
        endpoint_run(tmp_path / "run", "decomposition", endpoint)
    asked[:] = range(400)
    endpoint = Endpoint(fault)
    with endpoint.server:
        usage = endpoint_run(tmp_path / "run", "decomposition", endpoint)
        num_asked = len(asked) - 400
    expected = scripted_rows(tmp_path / "scripted", "decomposition")
    assert [without_model(row) for row in rows_of(tmp_path / "run")] == [
        without_model(row) for row in expected
    ]
    assert num_asked < usage["requests"]


def test_another_filter_costs_no_token(tmp_path):
    endpoint = Endpoint(lambda prompt, number: None)
    with endpoint.server:
        endpoint_run(tmp_path, "decomposition", endpoint)
        num_asked = len(endpoint.server.bodies)
        for name in ("data.jsonl", "manifest.json", "rejected.jsonl", "report.html", "README.md"):
            (tmp_path / name).unlink()
        endpoint_run(tmp_path, "decomposition", endpoint)
        assert len(endpoint.server.bodies) == num_asked
