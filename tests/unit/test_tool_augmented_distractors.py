"""Distractors are near in meaning and of no use; thoughts and actions agree."""

import pickle
import string
from dataclasses import replace
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from tool_augmented_rows import make_task

from data_synth.simulator.effects import effect_of
from data_synth.tasks.tool_augmented.consistency import names, said
from data_synth.tasks.tool_augmented.distractors import Distractors, can_serve, open_tools_embedder
from data_synth.tools.catalogue import load_catalogue
from data_synth.tools.tool import Tool
from recipes.command import InputError

TOOLS = load_catalogue()
LEXICAL = Distractors(TOOLS, "lexical")


def test_no_distractor_can_serve_a_golden_step():
    rng = Random(1)
    for _ in range(100):
        golden = rng.sample(sorted(TOOLS), 3)
        chosen = LEXICAL.choose(golden, 5, rng)
        assert len({tool.name for tool in chosen}) == 5
        for tool in chosen:
            assert tool.name not in golden
            assert not any(can_serve(TOOLS[name], tool) for name in golden)


def test_they_are_nearer_than_tools_at_random():
    rng = Random(2)
    near, at_random = 0, 0
    for name in rng.sample(sorted(TOOLS), 60):
        domain = TOOLS[name].domain
        near += sum(tool.domain == domain for tool in LEXICAL.choose([name], 4, rng))
        at_random += sum(TOOLS[other].domain == domain for other in rng.sample(sorted(TOOLS), 4))
    assert near > 5 * at_random and near > 100


def test_a_tool_can_serve_itself_and_its_copies():
    for name, tool in TOOLS.items():
        copy = Tool(f"{name}_v2", tool.description, tool.parameters, tool.output, hints=tool.hints)
        if effect_of(tool).entity:
            assert can_serve(tool, copy), name


def test_twins_of_another_function_qualify():
    assert not can_serve(TOOLS["get_flight_booking"], TOOLS["cancel_flight_booking"])
    assert not can_serve(TOOLS["select_flight_seat"], TOOLS["order_flight_meal"])
    assert not can_serve(TOOLS["get_hotel_details"], TOOLS["search_hotels"])
    assert can_serve(TOOLS["delete_event"], TOOLS["delete_event"])


def test_the_same_stream_gives_the_same_distractors():
    golden = ["create_event", "search_flights"]
    assert LEXICAL.choose(golden, 6, Random(5)) == Distractors(TOOLS, "lexical").choose(golden, 6, Random(5))
    assert LEXICAL.choose(golden, 0, Random(5)) == []
    few = {name: TOOLS[name] for name in ("create_event", "search_flights", "cancel_flight_booking")}
    assert [t.name for t in Distractors(few, "lexical").choose(golden, 9, Random(5))] == [
        "cancel_flight_booking"
    ]


def test_embeddings_rank_by_the_cosine():
    def embed(texts):
        """Letter counts, of length one."""
        counts = np.array(
            [[text.lower().count(letter) for letter in string.ascii_lowercase] for text in texts]
        )
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)

    some = {name: TOOLS[name] for name in sorted(TOOLS)[:40]}
    vectors = dict(
        zip(some, embed([f"{n.replace('_', ' ')}: {t.description}" for n, t in some.items()]), strict=True)
    )
    for name in list(some)[:10]:
        nearest = Distractors(some, "embedding", lambda: embed).nearest(name)
        cosines = [float(vectors[name] @ vectors[other]) for other in nearest]
        assert set(nearest) == some.keys() - {name}
        assert all(a >= b - 1e-5 for a, b in pairwise(cosines))


def test_embeddings_are_of_the_tools_model_and_kept(tmp_path):
    """Vectors come from the cache that the settings name; a second run finds them there."""
    kept = f"tools.embedding_cache={tmp_path / 'kept.npz'}"
    task = make_task("tool_augmented.distractors=embedding", kept, "test_share=0.9")
    (file,) = tmp_path.glob("kept.*.npz")
    with np.load(file) as stored:
        assert len(stored["keys"]) == len(task.toolbox.tools)
        np.savez(file, keys=stored["keys"], vectors=np.ones_like(stored["vectors"]))
    again = make_task("tool_augmented.distractors=embedding", kept, "test_share=0.9")
    assert (again.distractors._embeddings[1] == 1).all()
    pickle.dumps(again)
    with pytest.raises(InputError, match=r"tools\.embedding=/nowhere"):
        open_tools_embedder(replace(task.settings.tools, embedding="/nowhere"))


def test_names_are_whole_words():
    assert names("I call get_order now", "get_order")
    assert not names("I call get_order_status now", "get_order")
    assert not names("forget_order", "get_order")


@pytest.mark.parametrize(
    ("text", "value", "words", "language", "result"),
    [
        ("extra towels, please", "extra_towels", {"extra_towels": "extra towels"}, "en", True),
        ("按摩", "massage", {"massage": "按摩"}, "zh", True),
        ("on 5 March 2026", "2026-03-05", {}, "en", True),
        ("on 6 March 2026", "2026-03-05", {}, "en", False),
        ("Ada and Bob", ["Ada", "Bob"], {}, "en", True),
        ("Ada", ["Ada", "Bob"], {}, "en", False),
    ],
)
def test_values_are_found_as_people_say_them(text, value, words, language, result):
    assert said(text, value, language, words) == result
