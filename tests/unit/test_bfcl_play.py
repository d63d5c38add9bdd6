"""What a model is shown in BFCL-v3, and how its answers become predictions."""

import ast
import asyncio
import json

import pytest

from evaluation import benchmarks
from evaluation.benchmarks import Reply, Source, ToolCall
from evaluation.client import RequestFailedError
from evaluation.results import write_gold
from recipes.command import InputError


class ScriptedChat:
    """Gives the replies of a list in turn, then says it is done; keeps what it was asked."""

    seed = 0

    def __init__(self, *replies):
        self._replies = list(replies)
        self.asked = []

    async def ask(self, messages, *, role="agent", tools=None, stop=None):
        self.asked.append((json.loads(json.dumps(messages)), tools))
        assert role == "agent" and stop is None
        reply = self._replies.pop(0) if self._replies else "Done."
        if isinstance(reply, str):
            return Reply(reply)
        calls = tuple(
            ToolCall(name, arguments if isinstance(arguments, str) else json.dumps(arguments))
            for name, arguments in reply
        )
        return Reply("", tool_calls=calls)


@pytest.fixture(scope="module")
def benchmark_of():
    made = {
        mode: benchmarks.load("bfcl_v3", Source(None, None, mode=mode, options={"timeout_s": 300.0}))
        for mode in ("prompt", "fc")
    }
    return made.__getitem__


def play(benchmark, sample_id, *replies):
    chat = ScriptedChat(*replies)
    return asyncio.run(benchmark.play(sample_id, chat)), chat.asked


def test_prompt_mode_lists_the_functions_in_the_system_prompt(benchmark_of):
    prediction, ((messages, tools),) = play(benchmark_of("prompt"), "simple_0", "[f(a=1)]")
    assert prediction == "[f(a=1)]" and tools is None
    system, user = messages
    assert system["role"] == "system" and system["content"].startswith(
        "You are an expert in composing functions."
    )
    listed = system["content"].split("that you can invoke.\n")[1].strip()
    assert ast.literal_eval(listed)[0]["name"] == "calculate_triangle_area"
    assert user == {
        "role": "user",
        "content": "Find the area of a triangle with a base of 10 units and height of 5 units.",
    }


def test_native_mode_gives_tools_whose_names_have_no_dots(benchmark_of):
    calls = [("math_factorial", {"number": 5})]
    prediction, ((messages, tools),) = play(benchmark_of("fc"), "simple_1", calls)
    assert prediction == [{"math_factorial": '{"number": 5}'}]
    assert [message["role"] for message in messages] == ["user"]
    (tool,) = tools
    assert tool["type"] == "function" and tool["function"]["name"] == "math_factorial"
    assert tool["function"]["parameters"]["type"] == "object"
    assert benchmark_of("fc").score("simple_1", prediction).score == 1
    assert benchmark_of("fc").score("simple_1", [{"math.factorial": '{"number": 5}'}]).score == 0


def test_a_text_is_the_prediction_where_nothing_is_called(benchmark_of):
    prediction, _ = play(benchmark_of("fc"), "irrelevance_0", "No function fits.")
    assert prediction == "No function fits."
    assert benchmark_of("fc").score("irrelevance_0", prediction).score == 1
    assert benchmark_of("fc").score("simple_0", prediction).score == 0


GOLD = [
    ["cd(folder='document')", "mkdir(dir_name='temp')", "mv(source='final_report.pdf', destination='temp')"],
    ["cd(folder='temp')", "grep(file_name='final_report.pdf', pattern='budget analysis')"],
    [],
    ["sort(file_name='final_report.pdf')"],
    [
        *("cd(folder='..')", "mv(source='previous_report.pdf', destination='temp')", "cd(folder='temp')"),
        "diff(file_name1='final_report.pdf', file_name2='previous_report.pdf')",
    ],
]
SAMPLE = "multi_turn_miss_func_0"


def test_several_turns_in_prompt_mode(benchmark_of):
    replies = [
        reply for turn in GOLD for reply in ([f"[{', '.join(turn)}]", "Done."] if turn else ["I can't."])
    ]
    prediction, asked = play(benchmark_of("prompt"), SAMPLE, *replies)
    assert prediction == [[f"[{', '.join(turn)}]", "Done."] if turn else ["I can't."] for turn in GOLD]
    assert benchmark_of("prompt").score(SAMPLE, prediction).score == 1
    results = ast.literal_eval(asked[1][0][-1]["content"])
    assert [result["name"] for result in results] == GOLD[0]
    assert results[1] == {"role": "tool", "name": "mkdir(dir_name='temp')", "content": "None"}
    # sort is held back until the fourth turn, whose message brings it
    assert "'name': 'sort'" not in asked[0][0][0]["content"]
    added = next(m["content"] for m in asked[-1][0] if "updated some more functions" in m["content"])
    assert "'name': 'sort'" in added and added.endswith("What about now?")


def test_several_turns_of_native_calls(benchmark_of):
    def native(statement):
        call = ast.parse(statement, mode="eval").body
        return call.func.id, {k.arg: ast.literal_eval(k.value) for k in call.keywords}

    replies = [
        reply for turn in GOLD for reply in ([[native(s) for s in turn], "Done."] if turn else ["I can't."])
    ]
    prediction, asked = play(benchmark_of("fc"), SAMPLE, *replies)
    assert benchmark_of("fc").score(SAMPLE, prediction).score == 1
    names = [{tool["function"]["name"] for tool in tools} for _, tools in asked]
    assert "sort" not in names[0] and "sort" in names[-1]
    messages = asked[-1][0]
    assert [m["role"] for m in messages[:5]] == ["user", "assistant", "tool", "tool", "tool"]
    assert [c["id"] for c in messages[1]["tool_calls"]] == [m["tool_call_id"] for m in messages[2:5]]
    ids = [call["id"] for message in messages for call in message.get("tool_calls", [])]
    assert len(ids) == len(set(ids)) == sum(len(turn) for turn in GOLD)


def test_calls_that_cant_be_read_end_the_turn_and_stay_in_the_chat_as_text(benchmark_of):
    prediction, asked = play(benchmark_of("fc"), SAMPLE, [("ls", '{"a": ')])
    assert prediction == [[[{"ls": '{"a": '}]], *([["Done."]] * 4)]
    said = asked[1][0][1]
    assert (
        "tool_calls" not in said
        and '<tool_call>\n{"name": "ls", "arguments": {"a": }\n</tool_call>' in said["content"]
    )
    assert benchmark_of("fc").score(SAMPLE, prediction).reason == "Model response list is empty for turn 0"


def test_a_model_that_never_stops_is_stopped(benchmark_of):
    prediction, asked = play(benchmark_of("prompt"), "multi_turn_base_0", *["[ls()]"] * 100)
    assert [len(turn) for turn in prediction] == [21] and len(asked) == 21
    verdict = benchmark_of("prompt").score("multi_turn_base_0", prediction)
    assert verdict.score == 0 and verdict.details["error_type"] == "multi_turn:force_terminated"


def test_the_same_answers_lead_to_the_same_requests(benchmark_of):
    replies = ["[ls(), pwd()]", "[post_tweet(content='x')]", "Done."]
    first, second = (play(benchmark_of("prompt"), "multi_turn_long_context_3", *replies) for _ in range(2))
    assert first == second


def test_a_process_that_crashes_is_an_error_before_the_model_spoke_and_its_fault_afterwards(
    benchmark_of, monkeypatch, tmp_path, capsys
):
    benchmark = benchmark_of("prompt")
    worker = benchmark._worker

    class Stopping(ScriptedChat):
        async def ask(self, messages, **others):
            monkeypatch.setattr(worker, "_module", "no_such")
            worker.close()
            return await super().ask(messages, **others)

    assert asyncio.run(benchmark.play(SAMPLE, Stopping("[ls()]"))) == [["[ls()]"]]
    with pytest.raises(RequestFailedError, match=r"no question: .*no_such") as error:
        play(benchmark, "simple_0", "[f(a=1)]")
    assert error.value.fault == "sample"
    write_gold(tmp_path, benchmark, ["simple_0", "simple_1"])
    assert "gold.jsonl has 0 golds only" in capsys.readouterr().err
    assert (tmp_path / "gold.jsonl").read_bytes() == b""
    with pytest.raises(InputError, match=r"options\.timeout_s=300\.0: .* doesn't list its samples"):
        benchmarks.load("bfcl_v3", Source(None, None, mode="prompt", options={"timeout_s": 300.0}))
    monkeypatch.undo()
    assert benchmark.score("simple_0", "[f(a=1)]").details
