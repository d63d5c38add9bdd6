"""A served model answers as transformers does, and its server is gone afterwards."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch
from tiny_model import save_tiny_model
from transformers import PreTrainedTokenizerFast, Qwen3MoeForCausalLM

MESSAGES = [{"role": "user", "content": "go to the kitchen"}]
# Asks once, and notes all processes of the wrapper, itself included.
CLIENT = """
import json, os, sys, time, httpx, psutil
base_url, out = sys.argv[1:3]
body = {"model": "tiny", "messages": json.loads(sys.argv[3]), "max_tokens": 24, "temperature": 0,
        "return_token_ids": True}
answer = httpx.post(base_url + "/chat/completions", json=body, timeout=120).raise_for_status().json()
below = psutil.Process().parents()[1].children(recursive=True)
with open(out + ".partial", "w") as file:
    json.dump({"answer": answer, "pids": [p.pid for p in below]}, file)
os.replace(out + ".partial", out)
time.sleep(float(sys.argv[4]))
sys.exit(7)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    save_tiny_model(folder, num_experts=8)
    return folder


def greedy_tokens(folder, num_tokens=24):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = Qwen3MoeForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    prompt = tokenizer.apply_chat_template(
        MESSAGES, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    generated = model.generate(**prompt, max_new_tokens=num_tokens, do_sample=False)
    return generated[0, prompt["input_ids"].shape[1] :].tolist()


def serve(*arguments):
    return [sys.executable, "-m", "magic_megatron.platform.serve", *map(str, arguments)]


def options(model, log, *more):
    return ["--model", model, "--name", "tiny", "--log", log, *more]


def client(out, seconds):
    return ["--", sys.executable, "-c", CLIENT, "{base_url}", out, json.dumps(MESSAGES), seconds]


def test_answers_are_those_of_transformers_and_nothing_is_left(model, tmp_path):
    out = tmp_path / "out.json"
    done = subprocess.run(
        serve(*options(model, tmp_path / "log", "--max-model-len", 256), *client(out, 0)),
        env=os.environ | {"VERL_PLATFORM": "cpu"},
        capture_output=True,
        text=True,
        timeout=800,
    )
    assert done.returncode == 7, done.stderr[-3000:]
    seen = json.loads(out.read_text())
    assert seen["answer"]["choices"][0]["token_ids"] == greedy_tokens(model)
    assert seen["pids"] and not any(psutil.pid_exists(pid) for pid in seen["pids"])
    assert "vLLM serves tiny" in done.stderr


@pytest.mark.slow
def test_a_killed_wrapper_leaves_no_server(model, tmp_path):
    out = tmp_path / "out.json"
    wrapper = subprocess.Popen(
        serve(*options(model, tmp_path / "log", "--max-model-len", 256), *client(out, 60))
    )
    try:
        while not out.exists():
            assert wrapper.poll() is None
            time.sleep(0.5)
    finally:
        wrapper.send_signal(signal.SIGKILL)
        wrapper.wait()
    _, alive = psutil.wait_procs(
        [psutil.Process(p) for p in json.loads(out.read_text())["pids"] if psutil.pid_exists(p)], timeout=30
    )
    assert not alive


@pytest.mark.slow
def test_a_server_that_cannot_start_shows_its_log_and_what_to_do(model, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    config = json.loads((model / "config.json").read_text()) | {"architectures": ["NoSuchModel"]}
    (broken / "config.json").write_text(json.dumps(config))
    done = subprocess.run(
        serve(*options(broken, tmp_path / "log"), "--", "true"), capture_output=True, text=True, timeout=800
    )
    assert done.returncode == 1
    assert "NoSuchModel" in done.stderr and "check config.json" in done.stderr
    assert "Traceback" not in done.stderr.split("The end of its log:")[0]
