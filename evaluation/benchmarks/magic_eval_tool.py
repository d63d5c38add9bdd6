"""MagicEval-Tool (section 6.2): are the right tools called with the right arguments, within a dialogue?

Our public set in place of the paper's: general, dependency, condition and context inheritance, 60 dialogues each, half
in English, half in Chinese. Every message m of the assistant is asked for with the golden dialogue before it, answers
of tools included. Of a message the calls are independent of each other, so their order is free; what depends on an
answer belongs into a later message, and a call in another message than the gold's is wrong there and missing here.
With G_m the calls wanted of m and P_m those found, as multisets:

    name     = Σ_m |names(P_m) ∩ names(G_m)| / Σ_m max(|P_m|, |G_m|)
    argument = Σ_m |P'_m ∩ G'_m|             / Σ_m max(|P'_m|, |G'_m|)

where P' and G' leave out ``reply``, the tool that speaks to the user and whose words are free, and a call is in the
intersection if its name and all its arguments are the gold's as JSON (``"2"`` isn't ``2``). Both are means over
dialogues. A prediction is a list with an entry for each message: the text, or its calls as ``{"name", "arguments"}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import zip_longest
from operator import add
from typing import Any

from evaluation.benchmarks import Chat, Judged, Message, Reply, Source, Verdict
from evaluation.benchmarks._magic_eval_calls import REPLY, Call, Counts, count, read_calls
from evaluation.benchmarks._magic_eval_set import Dialogue, read_set
from evaluation.jsonl import quote
from recipes.command import InputError

FORMATS = ("prompt", "native")


class MagicEvalTool:
    """The dialogues of a set."""

    def __init__(self, dialogues: Mapping[str, Dialogue], is_native: bool) -> None:
        self._dialogues = dialogues
        self._is_native = is_native
        self.ids = tuple(dialogues)

    async def play(self, sample_id: str, chat: Chat) -> list[Any]:
        """An answer for each message of the assistant; with native calls, the calls."""
        dialogue = self._dialogues[sample_id]
        answers: list[Any] = []
        for place in dialogue.places:
            if self._is_native:
                reply = await chat.ask(_native_prompt(dialogue, place), tools=dialogue.tools)
                answers.append(_native_calls(reply))
            else:
                reply = await chat.ask(dialogue.prompt(place))
                answers.append(reply.text)
        return answers

    def score(self, sample_id: str, prediction: Any) -> Verdict:
        """``name`` and ``argument`` of the dialogue, and the first message that isn't as wanted."""
        wanted = [[Call(**call) for call in turn] for turn in self._dialogues[sample_id].wanted]
        if isinstance(prediction, str):
            prediction = [prediction]
        if not isinstance(prediction, list):
            return Verdict({"name": 0.0, "argument": 0.0}, "no list of answers")
        nothing: list[Call] = []
        pairs = list(zip_longest(map(read_calls, prediction), wanted, fillvalue=nothing))
        counts = [count(found, golden) for found, golden in pairs]
        total = reduce(add, counts, Counts(0, 0, 0, 0))
        score = {"name": _share(total.names, total.of_names), "argument": _share(total.calls, total.of_calls)}
        return Verdict(score, _reason(pairs, counts))

    def gold(self, sample_id: str) -> list[list[Any]]:
        """The calls of each message."""
        return list(self._dialogues[sample_id].wanted)

    def group(self, sample_id: str) -> str:
        """The scenario."""
        return self._dialogues[sample_id].scenario

    def metrics(self, judged: Sequence[Judged]) -> dict[str, float]:
        """``name_accuracy`` and ``argument_accuracy``."""
        scores = [one.verdict.score for one in judged]
        return {
            f"{key}_accuracy": sum(s[key] for s in scores if isinstance(s, Mapping)) / len(scores)
            for key in ("name", "argument")
        }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _reason(pairs: Sequence[tuple[Sequence[Call], Sequence[Call]]], counts: Sequence[Counts]) -> str:
    for number, ((found, golden), one) in enumerate(zip(pairs, counts, strict=True), 1):
        if one.names == one.of_names and one.calls == one.of_calls:
            continue
        names, wanted = (", ".join(call.name for call in calls) or "nothing" for calls in (found, golden))
        if one.names < one.of_names:
            return f"message {number} calls {quote(names)}; wanted is {wanted}"
        return f"message {number}: arguments of {wanted} differ"
    return f"all {len(pairs)} messages as wanted"


def _native_prompt(dialogue: Dialogue, place: int) -> list[Message]:
    """The dialogue with its calls as OpenAI's; a reply is a message without calls."""
    turns: list[Message] = []
    wanted = dict(zip(dialogue.places, dialogue.wanted, strict=True))
    open_ids: list[str] = []
    for number, message in enumerate(dialogue.messages[:place]):
        if message["role"] == "tool":
            turns.append({"role": "tool", "tool_call_id": open_ids.pop(0), "content": message["content"]})
        elif message["role"] != "assistant":
            turns.append(dict(message))
        elif [call["name"] for call in wanted[number]] == [REPLY]:
            turns.append({"role": "assistant", "content": wanted[number][0]["arguments"]["content"]})
        else:
            open_ids = [f"call_{number}_{position}" for position in range(len(wanted[number]))]
            calls = [_native_call(key, call) for key, call in zip(open_ids, wanted[number], strict=True)]
            turns.append({"role": "assistant", "content": None, "tool_calls": calls})
    return turns


def _native_call(key: str, call: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": call["name"], "arguments": json.dumps(call["arguments"], ensure_ascii=False)}
    return {"id": key, "type": "function", "function": function}


def _native_calls(reply: Reply) -> list[dict[str, Any]]:
    """Arguments that are no JSON stay text; an answer in words alone speaks to the user."""
    if not reply.tool_calls:
        return [{"name": REPLY, "arguments": {"content": reply.text}}] if reply.text.strip() else []
    calls = []
    for call in reply.tool_calls:
        try:
            arguments = json.loads(call.arguments)
        except (ValueError, RecursionError):
            arguments = call.arguments
        calls.append({"name": call.name, "arguments": arguments})
    return calls


def load(source: Source) -> MagicEvalTool:
    """The frozen set, or the file ``data``; ``subtask`` is a scenario, ``language`` en or zh, all if left out.

    Raises:
        InputError: no such scenario, language or format, or data that isn't such a set.
    """
    how = source.options.get("format")
    if how not in FORMATS:
        raise InputError(f"options.format={how}: magic_eval_tool knows {' and '.join(FORMATS)}; choose one")
    dialogues = read_set("magic_eval_tool", source)
    for dialogue in dialogues.values():
        try:
            _native_prompt(dialogue, len(dialogue.messages))
        except (TypeError, KeyError, IndexError):
            raise InputError(
                f"data={source.data}: {dialogue.id}: calls and answers of tools don't fit; make the file again"
            ) from None
    return MagicEvalTool(dialogues, how == "native")
