"""``python -m evaluation`` against a real server on loopback, one that answers and one that misbehaves."""

import collections
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest
from chat_server import completion, serving

GOLD = "Here is the proposed time: Monday, 14:30 - 15:30 "
KEY = "sk-very-secret"


@pytest.fixture
def serve():
    with ExitStack() as servers:
        yield lambda behave: servers.enter_context(serving(behave))


def answer(prompt, attempt, handler):
    handler.reply(completion(GOLD if int(prompt.split()[-1]) % 2 == 0 else "Friday, 9:00 - 10:00"))


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "calendar.json"
    fields = {"num_people": 2, "num_days": 1, "golden_plan": GOLD}
    items = {
        f"calendar_{i}": {**fields, "prompt_0shot": f"plainly {i}", "prompt_5shot": f"after examples {i}"}
        for i in range(12)
    }
    path.write_text(json.dumps(items))
    return path


def command(url, data, out, *overrides):
    return [
        *(sys.executable, "-m", "evaluation", "benchmark=natural_plan", "subtask=calendar", f"data={data}"),
        *(f"endpoint.base_url={url}", "model=qwen3_tiny", f"output_dir={out}", "endpoint.backoff_s=0.01"),
        *overrides,
    ]


def evaluate(url, data, out, *overrides, **environment):
    return subprocess.run(
        command(url, data, out, *overrides),
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )


def results_of(out):
    return json.loads((out / "results.json").read_text())


def lines_of(out):
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]


def test_asks_scores_and_sums_up(serve, data, tmp_path):
    def slowly(prompt, attempt, handler):
        time.sleep(0.05)
        answer(prompt, attempt, handler)

    server, out = serve(slowly), tmp_path / "out"
    done = evaluate(
        server.url,
        data,
        out,
        *("endpoint.concurrency=3", "endpoint.api_key_env=EVAL_KEY", "generation.max_tokens=64", "seed=5"),
        EVAL_KEY=KEY,
    )
    assert done.returncode == 0, done.stderr
    results = results_of(out)
    assert results["metrics"] == {"accuracy": 0.5}
    assert (results["num_samples"], results["errors"]) == (12, [])
    assert [s["id"] for s in results["per_sample"]] == [f"calendar_{i}" for i in range(12)]
    assert [s["score"] for s in results["per_sample"]] == [1, 0] * 6
    totals = results["totals"]
    assert (totals["prompt_tokens"], totals["completion_tokens"], totals["wall_s"] > 0) == (84, 60, True)
    assert (totals["model"], totals["endpoint"]) == ("qwen3_tiny", server.url)
    assert [sorted(line) for line in lines_of(out)] == [["id", "prediction"]] * 12
    request = server.requests[0]
    assert request["path"] == "/v1/chat/completions" and request["key"] == f"Bearer {KEY}"
    assert (request["temperature"], request["max_tokens"], request["seed"]) == (0, 64, 5)
    assert request["chat_template_kwargs"] == {"enable_thinking": False}
    assert sorted(server.asked) == sorted(f"after examples {i}" for i in range(12))
    assert 2 <= server.most_under_way <= 3
    written = b"".join(path.read_bytes() for path in out.iterdir())
    assert KEY not in done.stdout + done.stderr and KEY.encode() not in written

    again = evaluate(server.url, data, out, "generation.max_tokens=64", "seed=5")
    assert again.returncode == 0 and len(server.requests) == 12
    assert results_of(out) == results


def test_retries_every_kind_of_trouble(serve, data, tmp_path):
    def trouble(prompt, attempt, handler):
        kind = int(prompt.split()[-1])
        if attempt > 1:
            handler.reply(completion(GOLD))
        elif kind == 0:
            handler.reply({"error": "slow down"}, 429, Retry_After="1")
        elif kind == 1:
            handler.reply(b"oops", 500)
        elif kind == 2:
            handler.connection.close()
        elif kind == 3:
            handler.reply(b'{"choices": [')
        elif kind == 4:
            handler.reply({"choices": []})
        elif kind == 5:
            time.sleep(8)
        elif kind == 6:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{")
            handler.connection.close()
        elif kind == 7:
            handler.reply(["no object"])
        elif kind == 8:
            handler.reply(b"", 503, Retry_After="no date")
        else:
            handler.reply(completion(GOLD))

    server, out = serve(trouble), tmp_path / "out"
    done = evaluate(server.url, data, out, "endpoint.timeout_s=4")
    assert done.returncode == 0, done.stderr
    results = results_of(out)
    assert results["metrics"] == {"accuracy": 1.0} and results["errors"] == []
    assert results["totals"]["num_retries"] == 9
    waited = server.times["after examples 0"]
    assert waited[1] - waited[0] >= 1


def test_failure_is_an_error_and_never_a_zero(serve, data, tmp_path):
    broken = True

    def half(prompt, attempt, handler):
        number = int(prompt.split()[-1])
        if broken and number == 3:
            handler.reply({"error": "down"}, 500)
        elif broken and number == 4:
            handler.reply({"error": f"prompt too long, {KEY}"}, 400)
        elif broken and number == 5:
            handler.reply(b"", 429, Retry_After="9999")
        else:
            handler.reply(completion(GOLD))

    server, out = serve(half), tmp_path / "out"
    options = ("endpoint.max_retries=2", "endpoint.api_key_env=EVAL_KEY")
    done = evaluate(server.url, data, out, *options, EVAL_KEY=KEY)
    assert done.returncode == 1
    assert "3 of 12 samples failed" in done.stderr and "run this command again" in done.stderr
    assert "Traceback" not in done.stderr
    results = results_of(out)
    assert (results["metrics"], results["num_samples"]) == ({"accuracy": 1.0}, 9)
    errors = {error["id"]: error["error"] for error in results["errors"]}
    assert list(errors) == ["calendar_3", "calendar_4", "calendar_5"]
    assert "gave up after 3 attempts" in errors["calendar_3"]
    assert "prompt too long" in errors["calendar_4"] and KEY not in json.dumps(results)
    assert "asks to wait 9999 s" in errors["calendar_5"]
    asked = collections.Counter(server.asked)
    assert [asked[f"after examples {i}"] for i in (2, 3, 4, 5)] == [1, 3, 1, 1]

    broken = False
    assert evaluate(server.url, data, out, "endpoint.max_retries=2").returncode == 0
    assert results_of(out)["num_samples"] == 12 and results_of(out)["errors"] == []
    assert collections.Counter(server.asked)["after examples 2"] == 1


def test_gives_up_on_a_server_that_refuses_or_is_gone(serve, data, tmp_path):
    refusing = serve(lambda prompt, attempt, handler: handler.reply({"error": "no such model"}, 404))
    done = evaluate(refusing.url, data, tmp_path / "refused", "endpoint.concurrency=2")
    assert done.returncode == 1 and "no such model" in done.stderr
    assert len(refusing.requests) == 2
    results = results_of(tmp_path / "refused")
    assert results["metrics"] == {} and len(results["errors"]) == 12

    gone = "http://127.0.0.1:9/v1"
    options = ("endpoint.max_retries=1", "endpoint.give_up_after=3", "endpoint.concurrency=1")
    done = evaluate(gone, data, tmp_path / "gone", *options)
    assert done.returncode == 1 and "ConnectError" in done.stderr
    errors = [error["error"] for error in results_of(tmp_path / "gone")["errors"]]
    assert sum("not asked" in error for error in errors) == 9


def test_killed_at_any_moment_it_goes_on_where_it_was(serve, data, tmp_path):
    def slowly(prompt, attempt, handler):
        time.sleep(0.15)
        answer(prompt, attempt, handler)

    server, out = serve(slowly), tmp_path / "out"
    finished = []
    for pause in (4, 6):
        with subprocess.Popen(
            command(server.url, data, out, "endpoint.concurrency=2"), stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None and sum(map(len, server.times.values())) < pause:
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
        finished = [line["id"] for line in lines_of(out)] if (out / "predictions.jsonl").exists() else []
        assert len(finished) < 12 and not (out / "results.json").exists()
    assert finished
    with (out / "predictions.jsonl").open("a") as file:
        file.write('{"id": "calendar_11", "predi')
    before = len(server.asked)
    done = evaluate(server.url, data, out)
    assert done.returncode == 0, done.stderr
    asked_again = {f"calendar_{prompt.split()[-1]}" for prompt in server.asked[before:]}
    assert asked_again == {f"calendar_{i}" for i in range(12)} - set(finished)
    assert [line["id"] for line in lines_of(out)] == [f"calendar_{i}" for i in range(12)]
    assert results_of(out)["metrics"] == {"accuracy": 0.5}
    assert results_of(out)["totals"]["completion_tokens"] == 60


def test_zero_shots_limit_thinking_and_a_run_with_other_settings(serve, data, tmp_path):
    def think(prompt, attempt, handler):
        handler.reply(completion(f"<think>\nTuesday, 9:00 - 10:00?\n</think>\n\n{GOLD}", "length"))

    server, out = serve(think), tmp_path / "out"
    options = ("num_shots=0", "limit=4", "thinking=true")
    assert evaluate(server.url, data, out, *options).returncode == 0
    assert server.requests[0]["chat_template_kwargs"] == {"enable_thinking": True}
    assert sorted(server.asked) == [f"plainly {i}" for i in range(4)]
    assert results_of(out)["metrics"] == {"accuracy": 1.0}
    assert results_of(out)["totals"]["num_truncated"] == 4
    assert lines_of(out)[0]["prediction"] == GOLD.strip()
    before = {path: path.read_bytes() for path in out.iterdir()}
    for change in ("limit=5", "model=other", "generation.temperature=0.5", "seed=1"):
        done = evaluate(server.url, data, out, *options, change)
        assert done.returncode == 2
        assert change.split("=")[0] in done.stderr and "resume=never" in done.stderr
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    done = evaluate(server.url, data, out, *options, "limit=5", "resume=never")
    assert done.returncode == 0 and results_of(out)["num_samples"] == 5


def test_rows_of_data_synth_bring_their_own_chat(serve, tmp_path):
    def row(number, subtask):
        system, user = {"role": "system", "content": "Plan."}, {"role": "user", "content": f"puzzle {number}"}
        fields = {"golden_plan": GOLD, "num_people": 3, "num_days": 1}
        return {
            "id": f"row-{number}",
            "task": "scheduling",
            "subtask": subtask,
            "messages": [system, user, {"role": "assistant", "content": GOLD}],
            "gold": {"subtask": subtask, "natural_plan": fields},
        }

    rows = [row(0, "calendar"), row(1, "trip"), row(2, "calendar")]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    server, out = serve(answer), tmp_path / "out"
    assert evaluate(server.url, data, out).returncode == 0
    assert server.requests[0]["messages"][0] == {"role": "system", "content": "Plan."}
    assert sorted(server.asked) == ["puzzle 0", "puzzle 2"]
    assert results_of(out)["metrics"] == {"accuracy": 1.0}
    assert results_of(out)["groups"] == [{"group": "3 people, 1 days", "num_samples": 2, "accuracy": 1.0}]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("endpoint.base_url=ftp://x", "endpoint.base_url"),
        ("endpoint.concurrency=0", "endpoint.concurrency=0"),
        ("endpoint.api_key_env=NO_SUCH_KEY", "NO_SUCH_KEY"),
        ("limit=0", "limit=0"),
        ("num_shots=3", "num_shots=3"),
        ("num_trials=0", "num_trials=0"),
        ("user.base_url=nowhere", "user.base_url"),
        ("judge.base_url=http://127.0.0.1:9/v1", "judge.model=null"),
        ("generation.top_p=0", "generation.top_p=0"),
        ("thinkin=true", "did you mean thinking"),
        ("subtask=lunch", "subtask=lunch"),
        ("data=/nowhere.json", "data=/nowhere.json"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(data, tmp_path, override, message):
    done = evaluate("http://127.0.0.1:9/v1", data, tmp_path / "out", override)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not (tmp_path / "out").exists()
