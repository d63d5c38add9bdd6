"""Which tokens of a response are thought and which act, from its tags, wherever tokens split them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from magic_megatron.rl.xxpo import ACTION, NEITHER, THINK
from recipes.command import InputError

TAG = re.compile(rb"</?(?:think|action)>")
# In place of a special token: no UTF-8 text holds this byte, so no tag reaches across one.
SPECIAL = b"\xff"
_AFTER_THOUGHT = 3
_TAG = 4
_NEXT = {
    (NEITHER, b"<think>"): THINK,
    (_AFTER_THOUGHT, b"<think>"): THINK,
    (NEITHER, b"</think>"): _AFTER_THOUGHT,
    (THINK, b"</think>"): _AFTER_THOUGHT,
    (_AFTER_THOUGHT, b"</think>"): _AFTER_THOUGHT,
    (NEITHER, b"<action>"): ACTION,
    (_AFTER_THOUGHT, b"<action>"): ACTION,
    (ACTION, b"</action>"): NEITHER,
    (NEITHER, b"</action>"): NEITHER,
    (_AFTER_THOUGHT, b"</action>"): NEITHER,
}


def mark(token_ids: list[int], tokenizer: Any, thinking: bool = False) -> list[int]:
    """``NEITHER``, ``THINK`` or ``ACTION`` for each token of a response, in time linear in its length.

    Thought is what stands inside ``<think>…</think>``. Action is what follows ``</think>``; where the response has an
    ``<action>`` outside its thoughts, it is what stands inside ``<action>…</action>``. A tag that is never closed
    reaches to the end, and inside thought or action every tag but the closing one is text. Tags and special tokens
    belong to neither. A token that a tag shares with thought or action (``>go``, ``.</``) belongs to that: the tag was
    no choice, the rest is.

    Args:
        token_ids: the response.
        tokenizer: of transformers, byte-level BPE.
        thinking: whether the prompt ends inside an open ``<think>``.

    Raises:
        InputError: the tokenizer isn't byte-level BPE.
    """
    pieces = _pieces(token_ids, tokenizer)
    marks = _mark_bytes(b"".join(pieces), thinking)
    result, start = [], 0
    for piece in pieces:
        content = marks[start : start + len(piece)].lstrip(bytes([NEITHER, _TAG]))
        start += len(piece)
        result.append(content[0] if content and piece != SPECIAL else NEITHER)
    return result


def _mark_bytes(text: bytes, thinking: bool) -> bytes:
    """The mark of each byte, ``_TAG`` for those of tags."""
    state = THINK if thinking else NEITHER
    marks, start, acts = bytearray(), 0, False
    for tag in TAG.finditer(text):
        following = _NEXT.get((state, tag.group()))
        if following is None:
            continue
        marks += bytes([state]) * (tag.start() - start) + bytes([_TAG]) * len(tag.group())
        state, start = following, tag.end()
        acts = acts or state == ACTION
    marks += bytes([state]) * (len(text) - start)
    return bytes(marks.replace(bytes([_AFTER_THOUGHT]), bytes([NEITHER if acts else ACTION])))


def _pieces(token_ids: list[int], tokenizer: Any) -> list[bytes]:
    """The bytes that each token stands for."""
    written, special = _added_tokens(tokenizer)
    characters = _bytes_of_characters()
    pieces = []
    for token_id, token in zip(token_ids, tokenizer.convert_ids_to_tokens(token_ids), strict=True):
        if token_id in written:
            pieces.append(written[token_id])
        elif token_id in special or token is None:
            pieces.append(SPECIAL)
        else:
            try:
                pieces.append(bytes([characters[character] for character in token]))
            except KeyError:
                raise InputError(
                    f"model.path={tokenizer.name_or_path}: token {token!r} isn't byte-level BPE; give a policy with"
                    " such a tokenizer, as Qwen's"
                ) from None
    return pieces


@lru_cache(maxsize=8)
def _added_tokens(tokenizer: Any) -> tuple[dict[int, bytes], frozenset[int]]:
    """Added tokens that the model writes as text, tags among them however they are declared, and the special ones."""
    written, special = {}, set(tokenizer.all_special_ids)
    for token_id, token in tokenizer.added_tokens_decoder.items():
        text = token.content.encode()
        if TAG.fullmatch(text) or not (token.special or token_id in special):
            written[token_id] = text
    return written, frozenset(special | set(tokenizer.added_tokens_decoder) - set(written))


@lru_cache(maxsize=1)
def _bytes_of_characters() -> dict[str, int]:
    """GPT-2's alphabet: printable bytes stand for themselves, the others for characters from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(others)}
