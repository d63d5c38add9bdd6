"""MagicEval by the runner, against an endpoint on loopback that knows the answers."""

import json

import pytest
from chat_server import completion, serving

from evaluation.benchmarks._magic_eval_set import FOLDER
from evaluation.runner import evaluate
from evaluation.settings import EvalSettings
from recipes.command import InputError, compose, typed


def run(server, output_dir, *overrides):
    keys = [f"endpoint.base_url={server.url}", "endpoint.model=m", "limit=4", f"output_dir={output_dir}"]
    return evaluate(typed(EvalSettings, compose("eval", [*keys, *overrides])))


def golden(name):
    """What the assistant says after each number of turns, by the user's first words."""
    rows = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["rows"][:4]
    return {
        row["messages"][1]["content"]: [
            turn["content"] for turn in row["messages"] if turn["role"] == "assistant"
        ]
        for row in rows
    }


def knowing(server_of, name):
    def behave(prompt, attempt, handler):
        messages = server_of[0].requests[-1]["messages"]
        if len(messages) == 1:
            return handler.reply(completion('{"reason": "same", "correct": true}'))
        num_said = sum(turn["role"] == "assistant" for turn in messages)
        return handler.reply(completion(golden(name)[messages[1]["content"]][num_said]))

    return behave


@pytest.mark.parametrize("name", ["magic_eval_plan", "magic_eval_tool"])
def test_an_endpoint_that_knows_the_answers_is_right_in_all(name, tmp_path):
    holder = []
    with serving(knowing(holder, name)) as server:
        holder.append(server)
        judge = [f"judge.base_url={server.url}", "judge.model=j"] if name == "magic_eval_plan" else []
        results = run(server, tmp_path, f"benchmark={name}", "endpoint.concurrency=1", *judge)
    assert results["errors"] == [] and results["num_samples"] == 4
    assert set(results["metrics"].values()) == {1.0} and len(results["metrics"]) == 2
    assert [group["group"] for group in results["groups"]] == sorted(
        ["general", "dependency", "condition", "context_inheritance"]
    )


def test_what_only_scoring_needs_is_checked_before_asking_and_changed_without_asking_again(tmp_path):
    bad, out = tmp_path / "model", tmp_path / "out"
    bad.mkdir()
    (bad / "config.json").write_text("{}")
    keys = ("benchmark=magic_eval_plan", "subtask=general", "language=en")
    answer = completion("<Plan>Step1.Go home.</Plan>")
    with serving(lambda prompt, attempt, handler: handler.reply(answer)) as server:
        with pytest.raises(InputError, match=rf"embedding={bad}: not a model that can be read"):
            run(server, out, *keys, f"embedding={bad}")
        assert not server.requests and not out.exists()
        first = run(server, out, *keys)
        assert first["metrics"].keys() == {"step_accuracy"} and first["embedding"] is None
        kept = json.loads((out / "settings.json").read_text())
        assert "embedding" not in kept and kept["options"] == {"judge": None}
        # as an earlier version wrote it
        older = kept | {"embedding": None, "options": kept["options"] | {"device": "cuda", "cache": None}}
        (out / "settings.json").write_text(json.dumps(older))
        again = run(server, out, *keys, "embedding=minilm", "options.batch_size=8")
    assert len(server.requests) == 4, "nothing is asked again"
    assert again["metrics"].keys() == {"step_accuracy", "embedding_similarity"}
    assert again["embedding"] == "minilm" and again["options"]["batch_size"] == 8
