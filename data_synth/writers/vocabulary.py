"""What our small tokenizer takes from Qwen3: special tokens, split pattern, chat template."""

from __future__ import annotations

from importlib import resources

from recipes.command import InputError

# In the order of Qwen3's ids from 151643 on. Control tokens steer the model; markup the model writes itself.
CONTROL_TOKENS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>"),
    *("<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
)
MARKUP_TOKENS = (
    *("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>"),
    *("<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"),
)
# A clock time is one piece, so that it can become one token.
CLOCK_PATTERN = r" ?[0-9]{1,2}:[0-9]{2}(?:AM|PM)?"
QWEN3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
NUM_BYTES = 256


def check_vocab_size(vocab_size: int) -> None:
    """A multiple of 64, so that the embedding splits over tensor-parallel ranks, and large enough.

    Raises:
        InputError: it isn't.
    """
    least = NUM_BYTES + len(CONTROL_TOKENS) + len(MARKUP_TOKENS)
    if vocab_size % 64 or vocab_size < least:
        near = max(-(-least // 64), round(vocab_size / 64)) * 64
        raise InputError(
            f"vocab_size={vocab_size}: must be a multiple of 64 and hold {least} bytes and special tokens;"
            f" try vocab_size={near}"
        )


def chat_template() -> str:
    """Our text of Qwen3's template; it renders what the official one does."""
    return resources.files("data_synth.writers").joinpath("qwen3_chat.jinja").read_text(encoding="utf-8")
