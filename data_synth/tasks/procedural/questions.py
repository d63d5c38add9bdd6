"""Questions whose decomposition is known because they are built from it.

A question is a graph of operations on a typed schema, in the manner of QDMR (Wolfson et al. 2020, Break It Down):
look-ups chained over relations, lists that are filtered, ranked, counted, and joins that compare, add or intersect.
Equal operations are one node, so that what two branches need is looked up once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from data_synth.tasks.procedural.knowledge import QUANTITY, Entity, Knowledge, Relation

MAX_DRAWS = 400
"""Drafts per question; one of them has the size asked for."""
type Reference = int | Entity


@dataclass(frozen=True, slots=True)
class Operation:
    """A node.

    Attributes:
        action: key of ``Knowledge.actions``.
        inputs: numbers of earlier operations, or named things.
        result: type of the answer; ``quantity:…`` for numbers, ``truth`` for yes or no.
        many: the answer is a list.
        relation: what is looked up, listed, filtered or ranked by.
        direction: which end, side or function: ``most``, ``least``, ``above``, ``below``, ``average``, ``sum``,
            ``difference``, ``ratio``.
        value: what a filter compares with.
    """

    action: str
    inputs: tuple[Reference, ...]
    result: str
    many: bool = False
    relation: Relation | None = None
    direction: str = ""
    value: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """Operations, each after those that it needs; ``asked`` numbers the ones that the question is about."""

    operations: tuple[Operation, ...]
    asked: tuple[int, ...]

    def edges(self) -> tuple[tuple[int, int], ...]:
        """Pairs of operation numbers."""
        pairs = [
            (source, number)
            for number, operation in enumerate(self.operations, 1)
            for source in operation.inputs
            if isinstance(source, int)
        ]
        return tuple(dict.fromkeys(pairs))

    def structure(self) -> str:
        """The question without its names and numbers."""
        parts = [
            (
                op.action,
                [i if isinstance(i, int) else i.type for i in op.inputs],
                op.relation.np[0] if op.relation else "",
                op.direction,
            )
            for op in self.operations
        ]
        return repr((parts, self.asked))

    def entities(self) -> list[Entity]:
        """Named things, in the order in which they are needed."""
        return [i for operation in self.operations for i in operation.inputs if isinstance(i, Entity)]


def draw_question(knowledge: Knowledge, size: int, rng: Random) -> Question:
    """A question of ``size`` operations, or of the nearest size that ``MAX_DRAWS`` drafts have."""
    best: Question | None = None
    for _ in range(MAX_DRAWS):
        question = _Draft(knowledge, rng).question()
        if question is None:
            continue
        if best is None or abs(len(question.operations) - size) < abs(len(best.operations) - size):
            best = question
        if len(best.operations) == size:
            break
    assert best is not None, "most drafts are questions"
    return best


class _Draft:
    """One question in the making."""

    def __init__(self, knowledge: Knowledge, rng: Random) -> None:
        self.knowledge, self.rng = knowledge, rng
        self.operations: list[Operation] = []
        self.named: dict[Entity, None] = {}

    def question(self) -> Question | None:
        """A question of a random form; None where two parts came out the same or an operation isn't needed."""
        forms = (self._ask_chain, self._ask_compare, self._ask_arithmetic, self._ask_same, self._ask_several)
        form = self.rng.choice((*forms, self._ask_list, self._ask_list, self._ask_common))
        asked = form()
        if asked is None or self._needed(asked) < len(self.operations):
            return None
        return Question(tuple(self.operations), tuple(asked))

    def _needed(self, asked: Sequence[int]) -> int:
        """How many operations the answers come from."""
        needed, waiting = set(asked), list(asked)
        while waiting:
            inputs = self.operations[waiting.pop() - 1].inputs
            new = {i for i in inputs if isinstance(i, int)} - needed
            needed |= new
            waiting += sorted(new)
        return len(needed)

    def add(self, operation: Operation) -> int:
        """The operation's number; that of an equal one where there is one."""
        if operation not in self.operations:
            self.operations.append(operation)
        return self.operations.index(operation) + 1

    def thing(self, kind: str, depth: int) -> Reference:
        """Something of a type, ``depth`` look-ups away from a named thing."""
        relations = [r for r in self.knowledge.relations if r.target == kind and not r.many]
        if depth == 0 or not relations:
            return self.entity(kind)
        return self.look_up(self.rng.choice(relations), depth)

    def entity(self, kind: str) -> Entity:
        """A name that the question doesn't have yet, or now and then one that it has."""
        again = [entity for entity in self.named if entity.type == kind]
        if again and self.rng.random() < 0.3:
            return self.rng.choice(again)
        entity = self.rng.choice(self.knowledge.entities[kind])
        self.named[entity] = None
        return entity

    def look_up(self, relation: Relation, depth: int) -> int:
        """``relation`` of something ``depth - 1`` look-ups away from a name."""
        source = self.thing(relation.source, depth - 1)
        if self._undoes(relation, source):
            source = self.entity(relation.source)
        return self.add(Operation("look_up", (source,), relation.target, relation=relation))

    def _undoes(self, relation: Relation, source: Reference) -> bool:
        """Whether the look-up only leads back, as in the country of a country's capital."""
        if isinstance(source, Entity):
            return False
        before = self.operations[source - 1].relation
        return before is not None and before.source == "country" == relation.target

    def listing(self, depth: int) -> int:
        """A list; sometimes filtered."""
        relation = self.rng.choice([r for r in self.knowledge.relations if r.many])
        source = self.thing(relation.source, depth)
        listed = self.add(Operation("list_all", (source,), relation.target, True, relation))
        if self.rng.random() < 0.5:
            listed = self.filter(listed)
        return listed

    def filter(self, listed: int) -> int:
        """Those elements whose number is on one side of a value."""
        relation = self._measure(self.operations[listed - 1].result)
        if relation is None or relation.quantity is None:
            return listed
        direction = self.rng.choice(("above", "below"))
        value = self.rng.choice(self.knowledge.quantities[relation.quantity]["values"])
        return self.add(Operation("filter", (listed,), relation.source, True, relation, direction, value))

    def _measure(self, kind: str) -> Relation | None:
        measures = [r for r in self.knowledge.relations if r.source == kind and r.quantity]
        return self.rng.choice(measures) if measures else None

    def number(self, quantity: str, depth: int) -> int:
        """A number that measures ``quantity``."""
        if quantity == "count":
            return self.add(Operation("count", (self.listing(max(depth - 2, 0)),), f"{QUANTITY}count"))
        relations = [r for r in self.knowledge.relations if r.quantity == quantity]
        return self.look_up(self.rng.choice(relations), depth)

    def _depth(self) -> int:
        return self.rng.choice((1, 2, 2, 3))

    def _ask_chain(self) -> Sequence[int] | None:
        depth = self.rng.choice((2, 3, 3, 4))
        single = [r for r in self.knowledge.relations if not r.many]
        return [self.look_up(self.rng.choice(single), depth)]

    def _ask_compare(self) -> Sequence[int] | None:
        quantity = self.rng.choice(sorted(self.knowledge.quantities))
        numbers = [self.number(quantity, self._depth()) for _ in range(self.rng.choice((2, 2, 3, 4)))]
        if len(set(numbers)) < len(numbers):
            return None
        direction = self.rng.choice(("most", "least"))
        return [self.add(Operation("compare", tuple(numbers), "choice", direction=direction))]

    def _ask_arithmetic(self) -> Sequence[int] | None:
        quantity = self.rng.choice(sorted(self.knowledge.quantities))
        first, second = self.number(quantity, self._depth()), self.number(quantity, self._depth())
        if first == second:
            return None
        functions = ("difference",) if quantity == "year" else ("difference", "sum", "ratio")
        result, function = f"{QUANTITY}{quantity}", self.rng.choice(functions)
        return [self.add(Operation("arithmetic", (first, second), result, direction=function))]

    def _ask_same(self) -> Sequence[int] | None:
        kind = self.rng.choice(("person", "city", "country", "language", "university"))
        first, second = self.thing(kind, self._depth()), self.thing(kind, self._depth())
        if first == second or isinstance(first, Entity) or isinstance(second, Entity):
            return None
        return [self.add(Operation("same", (first, second), "truth"))]

    def _ask_several(self) -> Sequence[int] | None:
        kind = self.rng.choice(
            ("person", "city", "country", "film", "book", "company", "university", "river")
        )
        stem = self.thing(kind, self.rng.choice((1, 2, 3)))
        relations = [r for r in self.knowledge.relations if r.source == kind and not r.many]
        chosen = self.rng.sample(relations, min(self.rng.choice((2, 3, 4)), len(relations)))
        if isinstance(stem, Entity) or any(self._undoes(relation, stem) for relation in chosen):
            return None
        return [self.add(Operation("look_up", (stem,), r.target, relation=r)) for r in chosen]

    def _ask_list(self) -> Sequence[int] | None:
        listed = self.listing(self.rng.choice((0, 1, 2, 3)))
        kind = self.operations[listed - 1].result
        relation = self._measure(kind)
        if relation is None or self.rng.random() < 0.3:
            return [self.add(Operation("count", (listed,), f"{QUANTITY}count"))]
        if self.rng.random() < 0.3 and relation.quantity != "year":
            function = self.rng.choice(("average", "sum"))
            return [self.add(Operation("aggregate", (listed,), relation.target, False, relation, function))]
        return self._of_extreme(listed, relation)

    def _of_extreme(self, listed: int, relation: Relation) -> Sequence[int] | None:
        """The element at one end of a list, or something about it."""
        direction = self.rng.choice(("most", "least"))
        found = self.add(Operation("extreme", (listed,), relation.source, False, relation, direction))
        more = [
            r
            for r in self.knowledge.relations
            if r.source == relation.source and not r.many and r != relation
        ]
        more = [r for r in more if not self._undoes(r, found)]
        chosen = self.rng.sample(more, min(self.rng.choice((0, 1, 1, 2, 3)), len(more)))
        return [self.add(Operation("look_up", (found,), r.target, relation=r)) for r in chosen] or [found]

    def _ask_common(self) -> Sequence[int] | None:
        kind = self.rng.choice(("country", "city", "company", "university"))
        relations = [r for r in self.knowledge.relations if r.many and r.target == kind]
        lists = []
        for relation in (self.rng.choice(relations), self.rng.choice(relations)):
            source = self.thing(relation.source, self.rng.choice((0, 1, 2)))
            lists.append(self.add(Operation("list_all", (source,), kind, True, relation)))
        if lists[0] == lists[1]:
            return None
        both = self.add(Operation("intersect", (lists[0], lists[1]), kind, many=True))
        measure = self._measure(kind)
        if measure is None or self.rng.random() < 0.4:
            return [self.add(Operation("count", (both,), f"{QUANTITY}count"))]
        return self._of_extreme(both, measure)
