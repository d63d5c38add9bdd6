"""``python -m evaluation.efficiency`` against a server with known delays, cut streams and refusals."""

import asyncio
import json
import subprocess
import sys
from contextlib import contextmanager
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import streaming_server
from hypothesis import given
from hypothesis import strategies as st
from streaming_server import Answer, StreamingServer, chunk, count_tokens, event, steady, usage
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from evaluation.efficiency.__main__ import main
from evaluation.efficiency.levels import judge_requests, sum_up
from evaluation.efficiency.prompts import WORDS, local_count, make_prompts
from evaluation.efficiency.stream import IncompleteError, Recording, read
from recipes.command import InputError, compose

WITHIN = 0.02


@contextmanager
def server_process(*arguments):
    """The server of known delays, undisturbed by this process."""
    command = [sys.executable, streaming_server.__file__, json.dumps(arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield SimpleNamespace(base_url=process.stdout.readline().strip())
        process.stdin.close()


def measure(server, folder, *overrides):
    """``results.json`` and the exit status."""
    keys = ["endpoint.model=m", "input_tokens=32", "output_tokens=12", "num_warmup=1", *overrides]
    config = compose("efficiency", [f"endpoint.base_url={server.base_url}", f"output_dir={folder}", *keys])
    status = None
    try:
        main(config)
    except SystemExit as ended:
        status = ended.code
    return json.loads((folder / "results.json").read_text()), status


TTFT_S, TPOT_S, NUM_TOKENS = 1.0, 0.05, 12


@pytest.mark.parametrize(
    ("per_chunk", "continuous", "concurrency"), [(1, True, 8), (1, False, 1), (4, True, 4)]
)
def test_known_delays_are_measured_within_two_percent(tmp_path, per_chunk, continuous, concurrency):
    """A busy machine only ever adds to a time: the least disturbed request of a few measurements counts."""
    known = {"ttft_s": TTFT_S, "tpot_s": TPOT_S, "latency_s": TTFT_S + (NUM_TOKENS - per_chunk) * TPOT_S}
    keys = [f"concurrency={concurrency}", f"num_requests={concurrency}", f"continuous_usage={continuous}"]
    off = []
    with server_process(TTFT_S, TPOT_S, NUM_TOKENS, per_chunk, continuous) as server:
        for _ in range(4):
            results, status = measure(server, tmp_path, *keys, "num_warmup=0", "resume=never")
            assert status is None
            off.append(deviations(tmp_path, known))
            if max(off[-1].values()) < WITHIN:
                break
    assert max(off[-1].values()) < WITHIN, off
    level = results["levels"][0]
    assert level["prompt_tokens"] == {"min": 32, "max": 32}
    assert (level["num_requests"], level["num_errors"]) == (concurrency, 0)
    whole_s = TTFT_S + NUM_TOKENS * TPOT_S  # until the stream's end, which comes after the last token
    assert level["output_tokens_per_s"] == pytest.approx(concurrency * NUM_TOKENS / whole_s, rel=0.1)
    assert results["metrics"][f"ttft_s@{concurrency}"] == level["ttft_s"]["mean"]
    assert (tmp_path / "efficiency.svg").read_text().startswith("<svg")


def deviations(folder, known):
    """How far the request nearest to each known time is off, as a share of it."""
    requests = json.loads((folder / "levels.jsonl").read_text())["requests"]
    return {
        key: min(abs(request[key] - seconds) for request in requests) / seconds
        for key, seconds in known.items()
    }


def test_what_is_sent(tmp_path):
    with StreamingServer(lambda *_: steady(0.0, 0.0, 12)) as server:
        measure(server, tmp_path / "chat", "concurrency=2", "num_requests=5", "seed=3")
        measure(server, tmp_path / "again", "concurrency=2", "num_requests=5", "seed=3")
        measure(
            server,
            tmp_path / "plain",
            "concurrency=2",
            "num_requests=1",
            "continuous_usage=false",
            "ignore_eos=false",
        )
    assert len(server.bodies) == 6 + 6 + 2
    first = server.bodies[0]
    assert (first["stream"], first["max_tokens"], first["ignore_eos"], first["seed"]) == (True, 12, True, 3)
    assert first["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert "ignore_eos" not in server.bodies[-1]
    assert server.bodies[-1]["stream_options"] == {"include_usage": True}
    prompts = [body["messages"][0]["content"] for body in server.bodies]
    assert all(count_tokens(prompt) == 32 for prompt in prompts)
    assert len(set(prompts[:6])) == 6, "a server that caches prefixes must not know a prompt"
    assert set(prompts[:6]) == set(prompts[6:12])


def cut(answer, num_parts):
    return Answer(answer.parts[:num_parts], cut=True)


WHOLE = steady(0.01, 0.001, 12)
FAULTS = {
    "cut at once": (Answer([], cut=True), "RemoteProtocolError"),
    "cut midway": (cut(WHOLE, 6), "RemoteProtocolError"),
    "ended midway": (Answer(WHOLE.parts[:6]), "cut: no finish_reason"),
    "429": (Answer([(0, b'{"error": "slow down"}')], 429), "HTTP 429"),
    "500": (Answer([(0, b"oops")], 500), "HTTP 500"),
    "no stream": (Answer([(0, json.dumps(chunk("x", "stop")).encode())]), "cut: no finish_reason"),
    "broken JSON": (Answer([(0, b'data: {"choices"\n\n')]), "no chunk of an answer"),
    "100,000 deep": (Answer([(0, b"data: " + b"[" * 100_000 + b"\n\n")]), "no chunk of an answer"),
    "an error in the stream": (
        Answer([WHOLE.parts[1], (0.01, event({"error": {"message": "died"}}))]),
        "broke off",
    ),
    "no usage": (Answer([(0, event(chunk("x"))), (0, event(chunk("y", "stop")))]), "no token counts"),
    "too short": (steady(0.01, 0.001, 11), "11 tokens instead of 12"),
    "silence": (Answer([(1.5, b"")]), "no whole answer within 1 s"),
}


def test_failures_are_counted_and_in_no_figure(tmp_path):
    faults = list(FAULTS.values())

    def answer(body, number):
        return faults[(number - 2) // 2][0] if number % 2 == 0 else WHOLE

    with StreamingServer(answer) as server:
        results, status = measure(
            server, tmp_path, "concurrency=1", f"num_requests={2 * len(faults)}", "endpoint.timeout_s=1"
        )
    level = results["levels"][0]
    assert (level["num_requests"], level["num_errors"]) == (2 * len(faults), len(faults))
    assert results["num_samples"] == len(faults)
    assert [error["id"] for error in results["errors"]] == [f"1/{2 * n}" for n in range(len(faults))]
    for error, (_, reason) in zip(results["errors"], faults, strict=True):
        assert reason in error["error"]
    assert 0.005 < level["ttft_s"]["mean"] < 0.2
    assert level["completion_tokens"] == {"min": 12, "max": 12}
    assert "run this command again" in status


def test_a_level_without_an_answer_has_no_figures(tmp_path):
    with StreamingServer(lambda body, number: WHOLE if number == 1 else Answer([], 500)) as server:
        results, status = measure(server, tmp_path, "concurrency=2", "num_requests=4")
    assert status
    assert results["metrics"] == {}
    assert results["levels"] == [
        {"concurrency": 2, "num_requests": 4, "num_errors": 4, "wall_s": results["levels"][0]["wall_s"]}
    ]
    assert "<svg" in (tmp_path / "efficiency.svg").read_text()


def test_it_goes_on_where_it_was(tmp_path):
    levels = ["concurrency=[1,2]", "num_requests=[2,4]"]
    with StreamingServer(lambda body, number: Answer([], 500) if number == 6 else WHOLE) as server:
        first, status = measure(server, tmp_path, *levels)
        assert "1 of 6 requests failed" in status
        assert len(server.bodies) == 3 + 5
        second, status = measure(server, tmp_path, *levels)
        assert (status, len(server.bodies)) == (None, 3 + 5 + 5)
        assert second["levels"][0] == first["levels"][0]
        assert second["levels"][1]["num_errors"] == 0
        prompts = [body["messages"][0]["content"] for body in server.bodies]
        assert len(set(prompts)) == len(prompts), "the server may have cached those of before"
        assert measure(server, tmp_path, *levels) == (second, None)
        assert len(server.bodies) == 3 + 5 + 5
        with pytest.raises(InputError, match=r"seed=7: .* holds a run with seed=0"):
            measure(server, tmp_path, *levels, "seed=7")
        measure(server, tmp_path, *levels, "seed=7", "resume=never")
        assert len(server.bodies) == 3 + 5 + 5 + 8


def test_what_it_refuses(tmp_path):
    with StreamingServer(lambda *_: Answer([(0, b"no such model")], 404)) as server:
        with pytest.raises(FileNotFoundError):  # nothing was measured, so nothing is written
            measure(server, tmp_path / "a", "concurrency=1", "num_requests=1")
        for overrides, match in (
            (["concurrency=[1,2]", "num_requests=3"], "num_requests=3: give one for each"),
            (["concurrency=[1,1]", "num_requests=[1,1]"], "every level once"),
            (["concurrency=0", "num_requests=1"], "concurrency=0: too small"),
            (["concurrency=1", "num_requests=1", "input_tokens=3"], "input_tokens=3: no prompt has so many"),
            (["concurrency=1", "num_requests=1", "tokenizer=/nowhere"], "tokenizer=/nowhere: no such folder"),
        ):
            with pytest.raises(InputError, match=match):
                measure(server, tmp_path / match[:9], *overrides)
    with (
        StreamingServer(lambda *_: WHOLE, has_tokenize=False) as server,
        pytest.raises(InputError, match="give tokenizer=FOLDER"),
    ):
        measure(server, tmp_path / "c", "concurrency=1", "num_requests=1")


def test_the_command(tmp_path):
    with StreamingServer(lambda *_: WHOLE) as server:
        command = [
            sys.executable,
            "-m",
            "evaluation.efficiency",
            f"endpoint.base_url={server.base_url}",
            "model=m",
        ]
        command += [
            "input_tokens=32",
            "output_tokens=12",
            "concurrency=3",
            "num_requests=6",
            f"output_dir={tmp_path}",
        ]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[:3] == ["3", "6", "0"]


@given(st.data())
def test_times_don_t_depend_on_how_the_bytes_arrive(data):
    """An event counts from the read that brings its end, wherever the reads are."""
    events = [payload for _, payload in steady(1.0, 0.1, 12, data.draw(st.sampled_from([1, 3, 4]))).parts]
    stream = b"".join(events)
    ends = np.cumsum([len(payload) for payload in events])
    places = data.draw(st.lists(st.integers(1, len(stream) - 1), unique=True, max_size=40))
    borders = [0, *sorted(places), len(stream)]
    chunks = [(float(n), stream[a:b]) for n, (a, b) in enumerate(pairwise(borders))]
    timing = read(Recording(chunks))
    # an event ends with its first newline
    came = [next(n for n, b in enumerate(borders[1:]) if b >= end - 1) for end in ends]
    num_first = 12 // (len(events) - 3)
    assert timing.ttft_s == came[1]
    assert timing.latency_s == came[-3]
    assert timing.completion_tokens == 12
    assert timing.tpot_s == pytest.approx((came[-3] - came[1]) / (12 - num_first))


def test_reasoning_tools_and_plain_completions_bring_tokens_too():
    for first in (
        {"delta": {"reasoning_content": "hm"}},
        {"delta": {"reasoning": "hm"}},
        {"delta": {"tool_calls": [{"index": 0}]}},
        {"text": ""},
    ):
        parts = [
            (0.5, event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})),
            (1.0, event({"choices": [first]})),
            (3.0, event(chunk("b", "stop"))),
            (9.0, event({"choices": [], "usage": usage(5, 3)})),
        ]
        timing = read(Recording(parts))
        assert (timing.ttft_s, timing.tpot_s, timing.latency_s) == (1.0, 1.0, 3.0)
    one = read(Recording([(1.0, event(chunk("a", "stop", usage=usage(5, 3))))]))
    assert (one.ttft_s, one.tpot_s, one.latency_s, one.completion_tokens) == (1.0, None, 1.0, 3)


@given(st.lists(st.tuples(st.floats(0, 9), st.binary(max_size=60) | st.sampled_from([b"data: {}\n", b"\n"]))))
def test_any_bytes_are_read_or_refused(chunks):
    with pytest.raises(IncompleteError):
        read(Recording([(time_s, data) for time_s, data in chunks]))


def test_percentiles_are_those_of_a_loop():
    times = [0.1 * n for n in range(1, 12)]
    requests = judge_requests([Recording(steady(time, 0.01, 12).parts) for time in times], 4, 12)
    level = sum_up(4, 2.0, requests)
    assert level["ttft_s"]["p50"] == pytest.approx(0.6)
    assert level["ttft_s"]["p90"] == pytest.approx(1.0)
    assert level["ttft_s"]["p99"] == pytest.approx(1.09)
    assert level["ttft_s"]["mean"] == pytest.approx(0.6)
    assert (level["output_tokens_per_s"], level["requests_per_s"]) == (66.0, 5.5)


@pytest.fixture(scope="module")
def tokenizer():
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<s>"], initial_alphabet=alphabet)
    bpe.train_from_iterator([" ".join(WORDS)] * 20, trainer)
    return bpe


@pytest.mark.parametrize("num_tokens", [1, 8, 100, 1024])
def test_prompts_have_the_length_by_a_byte_level_tokenizer(tokenizer, num_tokens):
    async def count(prompt):
        return len(tokenizer.encode(prompt).ids)

    if num_tokens == 1:
        with pytest.raises(InputError, match="the shortest has"):
            asyncio.run(make_prompts(count, num_tokens, 3, "seed"))
        return
    prompts = asyncio.run(make_prompts(count, num_tokens, 8, "seed"))
    assert [len(tokenizer.encode(prompt).ids) for prompt in prompts] == [num_tokens] * 8
    assert prompts == asyncio.run(make_prompts(count, num_tokens, 8, "seed"))
    if num_tokens >= 100:
        assert len(set(prompts)) == 8


@pytest.mark.slow
def test_prompts_by_a_tokenizer_in_a_folder(tokenizer, tmp_path):
    from transformers import PreTrainedTokenizerFast

    template = "{% for m in messages %}<s>{{ m.role }}\n{{ m.content }}{% endfor %}"
    template += "{% if add_generation_prompt %}<s>{% endif %}"
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", chat_template=template)
    fast.save_pretrained(tmp_path)
    for api in ("chat", "completions"):
        prompt = asyncio.run(make_prompts(local_count(str(tmp_path), api), 64, 1, "s"))[0]
        around = f"<s>user\n{prompt}<s>" if api == "chat" else prompt
        assert len(tokenizer.encode(around).ids) == 64
