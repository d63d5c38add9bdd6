"""The scripted model's grammar of questions and their steps: role ``workflow_question``.

It reads the same variables as the prompt: the operations in words of one language, and what is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from data_synth.llm.scripted import scripted
from data_synth.tasks.procedural.knowledge import LANGUAGES, QUANTITY, Entity, Knowledge
from data_synth.tasks.procedural.questions import Operation, Question

_WORDS: dict[str, dict[str, Any]] = {
    "en": {
        "and": (", ", " and "),
        "or": (", ", " or "),
        "look_up": ("Find {np}.", "Look up {np}.", "Identify {np}."),
        "list_all": ("List {np}.", "Find all of {np}.", "Collect {np}."),
        "filter": ("Keep those of {a} whose {attribute} is {word} {value}.",),
        "extreme": ("Pick the {noun} with the {word} {attribute} from {a}.",),
        "count": ("Count {a}.", "Determine how many there are of {a}."),
        "average": ("Compute the average {attribute} of {a}.",),
        "sum_of": ("Add up the {attribute} of each of {a}.",),
        "compare": ("Determine which of the values found in steps {steps} is {word}.",),
        "difference": ("Compute the difference between the values found in steps {steps}.",),
        "sum": ("Add the values found in steps {steps}.",),
        "ratio": ("Divide the value found in step {first} by the value found in step {second}.",),
        "same": ("Check whether {a} and {b} are the same.",),
        "intersect": ("Keep the {plural} that were found both in step {first} and in step {second}.",),
        "found_one": "the {noun} found in step {step}",
        "found_many": "the {plural} found in step {step}",
        "np_filter": "{a} (only those whose {attribute} is {word} {value})",
        "np_extreme": "the {noun} with the {word} {attribute} among {a}",
        "np_count": "the number of {bare}",
        "np_average": "the average {attribute} of {a}",
        "np_sum_of": "the total {attribute} of {a}",
        "np_intersect": "the {plural} that are among both {a} and {b}",
        "ask_who": ("Who is {np}?", "Please tell me: who is {np}?", "Name {np}."),
        "ask_what": ("What is {np}?", "Can you tell me {np}?", "Find out {np}."),
        "ask_number": ("What is {np}?", "Can you tell me {np}?", "I would like to know {np}."),
        "ask_what_many": ("What are {np}?", "Give me {np}."),
        "ask_count": ("How many {bare} are there?", "I would like to know the number of {bare}."),
        "ask_compare": ("Which is {word}: {options}?", "Of {all_of}, which is {word}?"),
        "ask_difference": (
            "By how much do {a} and {b} differ?",
            "What is the difference between {a} and {b}?",
        ),
        "ask_sum": ("What is the sum of {a} and {b}?", "Add {a} to {b}. What is the result?"),
        "ask_ratio": ("What is the ratio of {a} to {b}?", "Divide {a} by {b}. What do you get?"),
        "ask_same": ("Are {a} and {b} the same {noun}?", "Is it true that {a} is also {b}?"),
        "ask_several": ("Consider {stem}. What are {parts}?", "About {stem}: tell me {parts}."),
    },
    "zh": {
        "and": ("、", "和"),
        "or": ("、", "和"),
        "look_up": ("查出{np}。", "查询{np}。", "确定{np}。"),
        "list_all": ("列出{np}。", "逐一找出{np}。"),
        "filter": ("从{a}中保留{attribute}{word}{value}的{plural}。",),
        "extreme": ("从{a}中选出{attribute}{word}的{noun}。",),
        "count": ("统计{a}的数量。", "数一数{a}共有多少。"),
        "average": ("计算{a}的平均{attribute}。",),
        "sum_of": ("计算{a}的{attribute}总和。",),
        "compare": ("判断第{steps}步得到的数值中哪个{word}。",),
        "difference": ("计算第{steps}步所得数值之差。",),
        "sum": ("将第{steps}步得到的数值相加。",),
        "ratio": ("用第{first}步得到的数值除以第{second}步得到的数值。",),
        "same": ("判断{a}与{b}是否相同。",),
        "intersect": ("保留第{first}步和第{second}步共有的{plural}。",),
        "found_one": "第{step}步得到的{noun}",
        "found_many": "第{step}步得到的{plural}",
        "np_filter": "{a}中{attribute}{word}{value}的{plural}",
        "np_extreme": "{a}中{attribute}{word}的{noun}",
        "np_count": "{bare}的数量",
        "np_average": "{a}的平均{attribute}",
        "np_sum_of": "{a}的{attribute}总和",
        "np_intersect": "既属于{a}、又属于{b}的{plural}",
        "ask_who": ("{np}是谁？", "请问{np}是谁？", "请告诉我{np}是谁。"),
        "ask_what": ("{np}是什么？", "请问{np}是什么？", "请查明{np}。"),
        "ask_number": ("{np}是多少？", "请问{np}是多少？", "我想知道{np}。"),
        "ask_what_many": ("{np}有哪些？", "请给出{np}。"),
        "ask_count": ("{bare}一共有多少？", "我想知道{bare}的数量。"),
        "ask_compare": ("{options}相比，哪个{word}？", "在{options}之中，哪个{word}？"),
        "ask_difference": ("{a}与{b}相差多少？", "请计算{a}与{b}之差。"),
        "ask_sum": ("{a}与{b}之和是多少？", "把{a}和{b}相加，结果是多少？"),
        "ask_ratio": ("{a}与{b}之比是多少？", "{a}是{b}的多少倍？"),
        "ask_same": ("{a}与{b}是同一{noun}吗？", "{a}和{b}是否为同一{noun}？"),
        "ask_several": ("关于{stem}，请问{parts}分别是什么？", "以{stem}为例，请给出{parts}。"),
    },
}

_VALUE = {"noun": ("value", "数值"), "plural": ("values", "数值"), "this": ("this value", "该数值")}


def describe(question: Question, knowledge: Knowledge, language: str) -> dict[str, Any]:
    """The variables of the role: operations in words of ``language``, and what is asked."""
    column = LANGUAGES.index(language)
    operations = []
    for number, operation in enumerate(question.operations, 1):
        entry = knowledge.actions[operation.action]
        inputs = [i.names[column] if isinstance(i, Entity) else i for i in operation.inputs]
        operations.append(
            {
                "step": number,
                "action": entry["name"],
                "operation": operation.action,
                "inputs": inputs,
                "relation": operation.relation.np[column] if operation.relation else "",
                "attribute": operation.relation.attribute()[column] if operation.relation else "",
                "direction": operation.direction,
                **_measure(operation, question, knowledge, column),
                **_result(operation, knowledge, column),
            }
        )
    return {"operations": operations, "asked": list(question.asked)}


def _measure(operation: Operation, question: Question, knowledge: Knowledge, column: int) -> dict[str, str]:
    """The word for the operation's direction, and its value with the unit."""
    relation, direction = operation.relation, operation.direction
    quantity = relation.quantity if relation else None
    if operation.action == "compare":
        first = operation.inputs[0]
        assert isinstance(first, int)
        quantity = question.operations[first - 1].result.rpartition(":")[2]
        if len(operation.inputs) == 2:
            direction = {"most": "more", "least": "less"}[direction]
    words = knowledge.quantities.get(quantity or "", {})
    word = words[direction][column] if direction in words else ""
    if operation.value is None:
        return {"word": word, "value": ""}
    unit = words["unit"][column]
    grouped = operation.value if quantity == "year" or column else f"{operation.value:,}"
    return {"word": word, "value": f"{grouped}{unit}"}


def _result(operation: Operation, knowledge: Knowledge, column: int) -> dict[str, Any]:
    kind = knowledge.types.get(operation.result, _VALUE)
    noun, plural = kind["noun"][column], kind["plural"][column]
    who, number = kind.get("who", False), operation.result.startswith(QUANTITY)
    said = {"noun": noun, "plural": plural, "this": kind["this"][column]}
    return {**said, "who": who, "number": number, "many": operation.many}


@scripted("workflow_question")
def write_question(variables: Mapping[str, Any], rng: Random) -> dict[str, Any]:
    """The question in words, and a sentence per step."""
    grammar = _Grammar(variables["operations"], variables["language"], rng)
    steps = [grammar.step(operation) for operation in variables["operations"]]
    return {"question": grammar.question(variables["asked"]), "steps": steps}


class _Grammar:
    """Phrases of one question."""

    def __init__(self, operations: Sequence[Mapping[str, Any]], language: str, rng: Random) -> None:
        self.operations, self.language, self.rng = operations, language, rng
        self.words = _WORDS[language]

    def step(self, operation: Mapping[str, Any]) -> str:
        """What the step does, earlier ones by their numbers."""
        inputs = [i if isinstance(i, str) else self._found(i) for i in operation["inputs"]]
        numbers = [str(i) for i in operation["inputs"] if isinstance(i, int)]
        key = operation["operation"]
        if key in ("aggregate", "arithmetic"):
            key = (
                "sum_of" if (key, operation["direction"]) == ("aggregate", "sum") else operation["direction"]
            )
        fields = {name: operation[name] for name in ("attribute", "word", "value", "noun", "plural")}
        fields |= {"a": inputs[0], "b": inputs[-1], "np": operation["relation"].format(inputs[0])}
        fields |= {"steps": self._joined(numbers, "and"), "first": (numbers or [""])[0]}
        return str(self.rng.choice(self.words[key]).format(**fields, second=(numbers or [""])[-1]))

    def question(self, asked: Sequence[int]) -> str:
        """What is asked."""
        if len(asked) > 1:
            stem = self.operations[asked[0] - 1]["inputs"][0]
            this = self.operations[stem - 1]["this"]
            parts = [self.operations[number - 1]["relation"].format(this) for number in asked]
            return self._say("ask_several", stem=self.np(stem), parts=self._joined(parts, "and"))
        operation = self.operations[asked[0] - 1]
        key, inputs = operation["operation"], [self.np(i) for i in operation["inputs"]]
        if key == "count":
            return self._say("ask_count", bare=self._bare(inputs[0]))
        if key == "compare":
            options, both = self._joined(inputs, "or"), self._joined(inputs, "and")
            return self._say("ask_compare", options=options, all_of=both, word=operation["word"])
        if key == "arithmetic":
            return self._say(f"ask_{operation['direction']}", a=inputs[0], b=inputs[1])
        if key == "same":
            noun = self.operations[operation["inputs"][0] - 1]["noun"]
            return self._say("ask_same", a=inputs[0], b=inputs[1], noun=noun)
        kind = "what_many" if operation["many"] else "who" if operation["who"] else "what"
        return self._say("ask_number" if operation["number"] else f"ask_{kind}", np=self.np(asked[0]))

    def np(self, reference: int | str) -> str:
        """The noun phrase for an operation's answer, down to the names."""
        if isinstance(reference, str):
            return reference
        operation = self.operations[reference - 1]
        inputs = [self.np(i) for i in operation["inputs"]]
        key = operation["operation"]
        if key in ("look_up", "list_all"):
            return str(operation["relation"].format(inputs[0]))
        if key == "aggregate":
            key = "sum_of" if operation["direction"] == "sum" else operation["direction"]
        fields = {name: operation[name] for name in ("attribute", "word", "value", "noun", "plural")}
        bare = self._bare(inputs[0])
        return str(self.words[f"np_{key}"].format(**fields, a=inputs[0], b=inputs[-1], bare=bare))

    def _found(self, step: int) -> str:
        operation = self.operations[step - 1]
        key = "found_many" if operation["many"] else "found_one"
        return str(self.words[key].format(step=step, noun=operation["noun"], plural=operation["plural"]))

    def _say(self, key: str, **fields: str) -> str:
        said = self.rng.choice(self.words[key]).format(**fields)
        return said[0].upper() + said[1:]

    def _joined(self, parts: Sequence[str], how: str) -> str:
        comma, last = self.words[how]
        return "".join(parts) if len(parts) < 2 else comma.join(parts[:-1]) + last + parts[-1]

    def _bare(self, phrase: str) -> str:
        return phrase.removeprefix("the ")
