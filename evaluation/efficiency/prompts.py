"""Prompts of exactly so many tokens, by the tokenizer that the served model has."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal

import httpx

from evaluation.efficiency.load import LoadClient, Target
from evaluation.jsonl import quote
from recipes.command import InputError

type CountTokens = Callable[[str], Awaitable[int]]
"""The tokens of a prompt with everything that the server puts around it."""

WORDS = (
    *("time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school"),
    *("state", "family", "student", "group", "country", "problem", "hand", "part", "place", "case", "week"),
    *("company", "system", "program", "question", "work", "government", "number", "night", "point", "home"),
    *("water", "room", "mother", "area", "money", "story", "fact", "month", "lot", "right", "study", "book"),
)
FILLERS = (" a", " .", "!", "?", " 1", "x")
"""Appended one by one for what words leave over; a token each in most tokenizers, in any order."""
MOST_DRAWS, MOST_STEPS = 8, 12
NUM_AT_ONCE = 16


def server_count(client: LoadClient, target: Target, api: Literal["chat", "completions"]) -> CountTokens:
    """Count with vLLM's ``/tokenize``.

    Raises (when called):
        InputError: the server has none.
    """

    async def count(prompt: str) -> int:
        said = {"messages": [{"role": "user", "content": prompt}]} if api == "chat" else {"prompt": prompt}
        try:
            response = await client.ask_json(target.tokenize_url, {"model": target.model, **said})
            number = response.json()["count"] if response.status_code == httpx.codes.OK else None
        except (httpx.RequestError, ValueError, LookupError, TypeError, RecursionError) as error:
            raise InputError(
                f"endpoint.base_url={target.shown_url}: {type(error).__name__} from /tokenize; "
                "start the server, or give tokenizer=FOLDER of the served model"
            ) from None
        if type(number) is not int:
            raise InputError(
                f"endpoint.base_url={target.shown_url}: /tokenize answers HTTP {response.status_code} "
                f"{quote(response.text)}; give tokenizer=FOLDER of the served model"
            )
        return number

    return count


def local_count(folder: str, api: Literal["chat", "completions"]) -> CountTokens:
    """Count with the tokenizer, and for ``chat`` the chat template, in a folder in Hugging Face format.

    Raises:
        InputError: there is none.
    """
    if not Path(folder).is_dir():
        raise InputError(f"tokenizer={folder}: no such folder; give that of the served model")
    from transformers import AutoTokenizer  # takes seconds, and most runs have the server's

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise InputError(f"tokenizer={folder}: {quote(str(error), 200)}; give the served model's") from None
    if api == "chat" and not tokenizer.chat_template:
        raise InputError(f"tokenizer={folder}: has no chat template; give one that has, or api=completions")

    async def count(prompt: str) -> int:
        if api == "completions":
            return len(tokenizer.encode(prompt))
        said = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )
        return len(tokenizer.encode(said, add_special_tokens=False))

    return count


async def make_prompts(count: CountTokens, num_tokens: int, num_prompts: int, seed: str) -> list[str]:
    """Unlike prompts of ``num_tokens`` tokens each; the same for the same seed and tokenizer.

    Raises:
        InputError: no prompt of that length could be made.
    """
    chance = random.Random(seed)
    words, filler = await _fit(count, num_tokens, chance)
    orders = [chance.sample(words, len(words)) for _ in range(num_prompts)]
    gate = asyncio.Semaphore(NUM_AT_ONCE)

    async def make(number: int, order: Sequence[str]) -> str:
        prompt = " ".join(order) + filler
        async with gate:
            if await count(prompt) == num_tokens:  # words have as many tokens in any order, as a rule
                return prompt
            fitted, end = await _fit(count, num_tokens, random.Random(f"{seed} {number}"))
            return " ".join(fitted) + end

    return list(await asyncio.gather(*(make(*pair) for pair in enumerate(orders))))


async def _fit(count: CountTokens, num_tokens: int, chance: random.Random) -> tuple[list[str], str]:
    """Words, and what is to follow them, that make ``num_tokens`` tokens together."""
    least = await count(WORDS[0])
    for _ in range(MOST_DRAWS if least <= num_tokens else 0):
        pool = chance.choices(WORDS, k=num_tokens)
        num_words, found = await _most_words(count, num_tokens, pool)
        words, filler = pool[:num_words], ""
        for piece in chance.sample(FILLERS * num_tokens, min(4 * MOST_STEPS, len(FILLERS) * num_tokens)):
            if found == num_tokens:
                break
            longer = await count(" ".join(words) + filler + piece)
            if found < longer <= num_tokens:
                filler, found = filler + piece, longer
        if found == num_tokens:
            return words, filler
    raise InputError(
        f"input_tokens={num_tokens}: no prompt has so many (the shortest has {least}); give another number"
    )


async def _most_words(count: CountTokens, num_tokens: int, pool: Sequence[str]) -> tuple[int, int]:
    """How many words of the pool fit into ``num_tokens``, nearly as many as possible, and their tokens."""
    low, low_tokens = 1, await count(pool[0])
    high, high_tokens = len(pool), await count(" ".join(pool))
    if high_tokens <= num_tokens:
        return high, high_tokens
    for _ in range(MOST_STEPS):
        if high - low <= 1:
            break
        slope = max((high_tokens - low_tokens) / (high - low), 1e-9)
        middle = min(max(low + int((num_tokens - low_tokens) / slope), low + 1), high - 1)
        tokens = await count(" ".join(pool[:middle]))
        if tokens <= num_tokens:
            low, low_tokens = middle, tokens
        else:
            high, high_tokens = middle, tokens
    return low, low_tokens
