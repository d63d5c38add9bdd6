"""How tools are put into words: the grammars' shared vocabulary, English and Chinese.

Built-in tools bring phrases with placeholders (``Tool.hints``); tools from elsewhere are spoken of by their names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from data_synth.operators.schema import is_identifier
from data_synth.simulator.values import spoken
from data_synth.tasks.decomposition.value_wording import in_words
from data_synth.tasks.decomposition.views import ArgumentView, StepView
from data_synth.tools.tool import Tool

CHINESE = re.compile(r"[\u4e00-\u9fff]")
PLACEHOLDER = re.compile(r"\{(\w+)\}")


def ask_phrases(tool: Tool, language: str) -> list[str]:
    """How a user asks for the tool: imperatives with a placeholder per required parameter."""
    known = tool.hints.get("ask", {}).get(language)
    return list(known) if known else [_generic(tool, language)]


def step_phrase(tool: Tool, language: str) -> str:
    """The tool's call as a step of a plan."""
    return str(tool.hints.get("step", {}).get(language) or sentence(_generic(tool, language)))


def fragment(tool: Tool, name: str, language: str) -> str:
    """How a request goes on where the optional parameter ``name`` is given."""
    known = tool.hints.get("optional", {}).get(name, {}).get(language)
    if known:
        return str(known)
    if language == "zh":
        return f"{label(tool, name, language)}为{{{name}}}"
    return f"with {label(tool, name, language)} {{{name}}}"


def label(tool: Tool, name: str, language: str) -> str:
    """What a parameter, or a field of the answer, is called."""
    return str(tool.hints.get("label", {}).get(name, {}).get(language) or in_words(name))


def words_of(tool: Tool, name: str, language: str) -> Mapping[str, str]:
    """What the values of an enumeration are called."""
    found: Mapping[str, str] = tool.hints.get("words", {}).get(name, {}).get(language, {})
    return found


def question(tool: Tool, name: str, language: str) -> str:
    """What makes the user say a parameter."""
    known = tool.hints.get("ask_for", {}).get(name, {}).get(language)
    if known:
        return str(known)
    text = label(tool, name, language)
    return f"请问{text}是什么？" if language == "zh" else f"What {text} should I use?"


def noun(tool: Tool, name: str, language: str) -> str:
    """What stands for a parameter's value that is known from elsewhere: ``that hotel``."""
    known = tool.hints.get("noun", {}).get(name, {}).get(language)
    if known:
        return str(known)
    text = label(tool, name, language)
    return f"该{text}" if language == "zh" else f"that {text}"


def thing(tool: Tool, name: str, language: str) -> str:
    """What a parameter names: its label, without the word for id."""
    text = label(tool, name, language)
    return text.removesuffix("编号") if language == "zh" else text.removesuffix(" id")


VERBS = frozenset(
    (
        *("add", "analyze", "book", "calculate", "cancel", "change", "check", "close", "compare", "compute"),
        *("convert", "count", "create", "delete", "detect", "display", "download", "estimate", "evaluate"),
        *("extract", "fetch", "find", "generate", "get", "identify", "list", "locate", "lookup", "make"),
        *("order", "play", "predict", "query", "read", "recommend", "remove", "reserve", "retrieve"),
        *("schedule", "search", "send", "set", "show", "solve", "start", "stop", "track", "translate"),
        *("turn", "update", "upload", "validate", "verify", "view"),
    )
)
"""A tool's name that begins with one of these is a request as it stands."""


def _generic(tool: Tool, language: str) -> str:
    """For tools without phrases: their name as words, and the required parameters by name."""
    name = in_words(tool.name)
    if language == "zh":
        parts = "，".join(f"{label(tool, p, language)}为{{{p}}}" for p in tool.required)
        return f"使用{tool.name}" + (f"，{parts}" if parts else "")
    parts = spoken([f"{label(tool, p, language)} {{{p}}}" for p in tool.required]) if tool.required else ""
    doing = name if name.split(" ", 1)[0] in VERBS else f"run “{name}”"
    return doing + (f" with {parts}" if parts else "")


def sentence(text: str) -> str:
    """The text with a capital letter, unless it begins with a code or an address."""
    if re.match(r"[^\s“”]*[\d@/]", text):
        return text
    return text[:1].upper() + text[1:]


def lowered(text: str) -> str:
    """The text to go on a sentence with; abbreviations keep their capitals."""
    if re.match(r"I\b|[A-Z][A-Z0-9]", text):
        return text
    return text[:1].lower() + text[1:]


# Phrases with their arguments

type Say = Callable[[ArgumentView], str | None]
"""An argument's words in a phrase; None leaves it out."""


def phrase(template: str, step: StepView, say: Say, language: str) -> str:
    """``template`` with each argument said, and a fragment for each that it has no placeholder for."""
    arguments = {argument.name: argument for argument in step.arguments}
    text = template
    mentioned = set(PLACEHOLDER.findall(template))
    for name in PLACEHOLDER.findall(template):
        words = say(arguments[name]) if name in arguments else None
        text = (
            leave_out(text, name, step.tool, language) if words is None else insert(text, name, words, step)
        )
    for name, argument in arguments.items():
        if name in mentioned:
            continue
        words = say(argument)
        if words is None or (argument.schema.get("type") == "boolean" and argument.value is False):
            continue
        part = insert(fragment(step.tool, name, language), name, words, step)
        text += f"，{part}" if language == "zh" else _joint(part) + part
    return text


def _joint(part: str) -> str:
    """``, `` before a fragment that would run into the words before it."""
    return (
        " "
        if part.split(" ", 1)[0] in ("in", "on", "at", "for", "with", "from", "to", "under", "by")
        else ", "
    )


def insert(text: str, name: str, words: str, step: StepView) -> str:
    """``{name}`` replaced by its words; a thing's id gets its name before it, a repeated noun goes."""
    if f"{{{name}}}" not in text:
        return text  # a flag has no value to say
    before, _, after = text.partition(f"{{{name}}}")
    argument = next(a for a in step.arguments if a.name == name)
    if words == argument.value and is_identifier(argument.schema, name):
        words = _named(words, before, step.tool, name, "zh" if CHINESE.search(text) else "en")
    elif argument.origin != "said" and before.endswith("“"):
        before, after = before.removesuffix("“"), after.removeprefix("”")
    if re.match(r"(?:the|that) ", words):
        before = re.sub(r"\b(?:the|an?|my) $", "", before)
    last = words.rsplit(" ", 1)[-1]
    if " " in words and re.match(rf" {re.escape(last)}\b", after):
        after = after[1 + len(last) :]
    return before + _gap(before, words) + words + _gap(words, after) + after


def _named(value: str, before: str, tool: Tool, name: str, language: str) -> str:
    """An id with what it is of, unless the words before it say so."""
    called = thing(tool, name, language)
    if re.search(rf"{re.escape(called)}(编号)?为?\s?$", before, re.IGNORECASE):
        return value
    return f"{called}{value}" if language == "zh" else f"{called} {value}"


def _gap(before: str, after: str) -> str:
    """A space between two runs of Latin letters or digits that would read as one."""
    ends, begins = before[-1:], after[:1]
    return " " if ends.isascii() and ends.isalnum() and begins.isascii() and begins.isalnum() else ""


UNITS = "nights?|people|days?|minutes?|hours?|euros?|stars?|results?|weeks?|months?|years?|guests?"
PREPOSITIONS = (
    "in|at|on|for|from|to|with|by|until|under|into|starting|arriving|after|before|between"
    "|the night of|checking in on|arriving on|staying"
)
CLAUSE = rf"(?=$|[,.;]| and | (?:{PREPOSITIONS})\b)"
"""After what can be left out, a sentence goes on like this."""


def leave_out(text: str, name: str, tool: Tool, language: str) -> str:
    """``text`` without ``{name}``: with its preposition where that reads on, else something vague instead."""
    hole = re.escape(f"{{{name}}}")
    numeric = tool.properties.get(name, {}).get("type") in ("integer", "number")
    if language == "zh":
        for pattern in (rf"在{hole}(?=[^的，]|$)", rf"，[^，]{{0,6}}{hole}[^，]{{0,3}}$", rf"“{hole}”"):
            shorter = re.sub(pattern, "", text, count=1)
            if shorter != text and len(shorter) > 3:
                return shorter
        vague = "几" if numeric else f"某个{thing(tool, name, language)}"
        return re.sub(hole, vague, text, count=1)
    lead = rf",? (?:(?:{PREPOSITIONS}) )+"
    pattern = rf"{lead}[“\"]?{hole}[”\"]?(?: (?:{UNITS}))?{CLAUSE}"
    shorter = re.sub(pattern, "", text, count=1)
    if shorter != text and len(shorter.split()) > 2 and not shorter.endswith((" me", " us")):
        return shorter
    called = thing(tool, name, language)
    if numeric:
        vague = "some" if re.search(rf"{hole} \w", text) else f"a certain {called}"
    else:
        vague = (
            f"one of my {plural(called)}"
            if is_identifier(tool.properties.get(name, {}), name)
            else f"a certain {called}"
        )
    before, after = re.split(rf"[“\"]?{hole}[”\"]?", text, maxsplit=1)
    before = re.sub(r"\b(?:an?|the|my) $", "", before)
    return before + vague + after.removeprefix(f" {vague.rsplit(' ', 1)[-1]}")


def plural(word: str) -> str:
    """The English plural of a label."""
    if re.search(r"[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + ("es" if re.search(r"(s|x|ch|sh)$", word) else "s")
