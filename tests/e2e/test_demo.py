"""The demos against vLLM: its streams are read, its refusals understood.

The model is random, so what it says means nothing; that the protocol fits the real server is what is tested here.
"""

import json
import os
import subprocess
import sys

import pytest
from tiny_model import save_tiny_model

# Asks by the demo's own client and commands; what came of it goes to a file.
CLIENT = """
import json, subprocess, sys, httpx
from evaluation.client import Generation
from evaluation.demo.stream import Server, StreamClient
QUESTION = [{"role": "user", "content": "go to the kitchen"}]
base_url, out = sys.argv[1:3]
seen = {}
client = StreamClient(Server(base_url, "tiny", 300.0, 0, 0.0, None), Generation(24, 0.0, 1.0), 0, False)
stream, pieces = client.ask(QUESTION), []
while True:
    try:
        pieces.append(next(stream).text)
    except StopIteration as stop:
        seen["said"] = [stop.value.content, stop.value.finish_reason]
        break
seen["pieces"] = pieces
command = [sys.executable, "-m", "evaluation.demo", f"endpoint.base_url={base_url}", "model=tiny",
           "generation.max_tokens=24", "generation.temperature=0", "generation.top_p=1"]
for name, more in {"prompt": ["demo=tools", "tool_format=prompt", "question=hi", "loop.max_turns=2"],
                   "native": ["demo=tools", "question=hi"],
                   "travel": ["demo=travel", "tool_format=prompt", "trip=1", "loop.max_turns=2"]}.items():
    done = subprocess.run([*command, *more], capture_output=True, text=True)
    seen[name] = [done.returncode, done.stdout, done.stderr]
body = {"model": "tiny", "messages": QUESTION, "max_tokens": 24, "temperature": 0, "seed": 0}
whole = httpx.post(base_url + "/chat/completions", timeout=300, json=body).json()
seen["whole"] = whole["choices"][0]["message"]["content"]
json.dump(seen, open(out, "w"))
"""


@pytest.mark.slow
def test_vllm_is_understood(tmp_path):
    model = tmp_path / "model"
    save_tiny_model(model, num_experts=0)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8192}))
    out = tmp_path / "out.json"
    serve = [sys.executable, "-m", "magic_megatron.platform.serve", "--model", model, "--name", "tiny"]
    options = ["--log", tmp_path / "log", "--max-model-len", "8192"]
    done = subprocess.run(
        [*map(str, serve + options), "--", sys.executable, "-c", CLIENT, "{base_url}", str(out)],
        env=os.environ | {"VERL_PLATFORM": "cpu"},
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(out.read_text())
    assert "".join(seen["pieces"]) == seen["said"][0] and seen["said"][1] in ("stop", "length")
    assert seen["said"][0] == seen["whole"].encode("utf-8", "replace").decode() and len(seen["pieces"]) > 3
    assert seen["prompt"][0] == 0 and seen["prompt"][1], seen["prompt"]
    assert seen["native"][0] == 1 and "tool_format=prompt works without" in seen["native"][1], seen["native"]
    code, said, _ = seen["travel"]
    assert code == 0 and "✗ constraints: " in said and "✗ NaturalPlan: " in said, seen["travel"]
