"""Libraries that share a process with the redirections still do what they do without them."""

import subprocess
import sys

SCRIPT = """
import sys
import torch
from transformers import AutoModelForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM

config = Qwen3MoeConfig(
    vocab_size=64, hidden_size=32, intermediate_size=48, moe_intermediate_size=16, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, head_dim=8, num_experts=4, num_experts_per_tok=2,
)
torch.manual_seed(0)
model = Qwen3MoeForCausalLM(config).eval()
model.save_pretrained(sys.argv[1])
tokens = torch.arange(16)[None]
expected = model(tokens).logits

from magic_megatron.platform import activate
activate("rehearsal")

loaded = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
for (name, ours), (other, plain) in zip(
    loaded.state_dict().items(), model.state_dict().items(), strict=True
):
    assert name == other and torch.equal(ours, plain), name
assert torch.equal(loaded(tokens).logits, expected)

import torch._dynamo
twice = torch.compile(lambda x: x + torch.ones(2), backend="eager")
assert torch.equal(twice(torch.ones(2)), 2 * torch.ones(2))

import datasets
rows = datasets.Dataset.from_dict({"x": [1, 2, 3]}).with_format("torch").map(lambda row: {"y": row["x"] + 1})
assert rows[:]["y"].tolist() == [2, 3, 4]

import vllm
assert vllm.SamplingParams(max_tokens=1).max_tokens == 1
print("as without")
"""


def test_transformers_datasets_vllm_and_the_compiler(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.rstrip().endswith("as without")
