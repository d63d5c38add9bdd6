"""The tool graphs: equal to the loop over all pairs, every edge true to the schemas, generic names no bridges."""

import dataclasses
import random
import sys
from pathlib import Path

import jsonschema
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from _tool_graphs_twin import all_pairs_links, all_pairs_sharing
from _tool_variants import variants

from data_synth.simulator.values import sample_value
from data_synth.tools.catalogue import load_catalogue
from data_synth.tools.curation import Collection
from data_synth.tools.dependency_match import SCORE_UNIT, rarity
from data_synth.tools.dependency_rank import rank, ranks, smallest
from data_synth.tools.dependency_terms import leaves, slots
from data_synth.tools.graphml import read_graph, write_graph
from data_synth.tools.graphs import build_graphs
from data_synth.tools.importers.draft import Draft
from data_synth.tools.normalise import Limits
from data_synth.tools.settings import GraphSettings
from data_synth.tools.tool import KIND, Tool
from data_synth.tools.words import is_generic

RECIPE = GraphSettings.default()
TIGHT = dataclasses.replace(RECIPE, producers_per_parameter=2, links_per_tool=3, shared_per_tool=2)


@pytest.fixture(scope="module")
def catalogue():
    return load_catalogue()


@pytest.fixture(scope="module")
def mixed(catalogue):
    """Catalogue tools, variants of them, and the same without kinds and domains, as an import would bring them."""
    collection = Collection(Limits(8000, 32, 64, False), "MIT")
    rng = random.Random(1)
    some = rng.sample(list(catalogue.values()), 30)
    for record in variants(some, 20, rng):
        collection.add(Draft(**record, place="here"), "test", "MIT")
    bare = [
        dataclasses.replace(
            tool,
            name=f"imported_{tool.name}",
            parameters=without_kinds(tool.parameters),
            output=without_kinds(tool.output),
            domain="",
        )
        for tool in some
    ]
    return {tool.name: tool for tool in (*some, *collection.tools.values(), *bare)}


def without_kinds(schema):
    if isinstance(schema, dict):
        return {key: without_kinds(value) for key, value in schema.items() if key != KIND}
    return [without_kinds(value) for value in schema] if isinstance(schema, list) else schema


def tool(name, parameters=None, output=None, required=None, domain="d"):
    properties = parameters or {}
    wanted = list(properties) if required is None else required
    return Tool(
        name=name,
        description=name,
        parameters={"type": "object", "properties": properties, "required": wanted},
        output={"type": "object", "properties": output or {}},
        domain=domain,
    )


def collection(*tools):
    """With a few tools about other things, so that no value is in all of them."""
    others = (tool(f"other_{n}", {f"thing{n}": {"type": "string"}}) for n in "abcdef")
    return {entry.name: entry for entry in (*tools, *others)}


TEXT, WHOLE = {"type": "string"}, {"type": "integer"}


@pytest.mark.parametrize("values", [RECIPE, TIGHT], ids=["recipe", "tight"])
def test_the_graphs_are_those_of_the_loop_over_all_pairs(mixed, values):
    graphs = build_graphs(mixed, settings=values)
    links = {(a, b): data["links"] for a, b, data in graphs.dependency.edges(data=True)}
    assert links == all_pairs_links(mixed, values)
    shared = {(a, b): data["score"] for a, b, data in graphs.sharing.edges(data=True)}
    assert shared == all_pairs_sharing(mixed, values)
    grounds = {link["reason"].split()[0] for found in links.values() for link in found}
    assert {"kind", "same"} <= grounds and len(shared) > 20


def test_links_by_meaning_are_those_of_the_loop_too(mixed):
    some = dict(list(mixed.items())[-40:])
    values = dataclasses.replace(RECIPE, embedding_similarity=0.3)
    graphs = build_graphs(some, letters, values)
    links = {(a, b): data["links"] for a, b, data in graphs.dependency.edges(data=True)}
    assert links == all_pairs_links(some, values, letters)
    assert any("close descriptions" in link["reason"] for found in links.values() for link in found)
    assert links != all_pairs_links(some, values)


def letters(texts):
    """A crude embedding: counts of character trigrams, hashed without Python's salt."""
    vectors = np.zeros((len(texts), 256), np.float32)
    for row, text in enumerate(texts):
        for at in range(len(text) - 2):
            vectors[row, sum(ord(c) * 31**k for k, c in enumerate(text[at : at + 3])) % 256] += 1
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def at_path(schema, path):
    for part in path:
        schema = schema["items"] if part == 0 else schema["properties"][part]
    return schema


def test_every_link_leads_from_an_output_to_a_required_parameter_that_takes_it(catalogue):
    graph = build_graphs(catalogue).dependency
    assert list(graph) == list(catalogue)
    rng, checked = random.Random(0), 0
    for source, target, data in graph.edges(data=True):
        assert source != target
        assert data["score"] == data["links"][0]["score"] >= RECIPE.min_score
        for link in data["links"]:
            given_schema = at_path(catalogue[source].output, link["path"])
            asked = catalogue[target].properties[link["parameter"]]
            assert link["parameter"] in catalogue[target].required and link["reason"]
            assert given_schema[KIND] == asked[KIND]
            jsonschema.validate(sample_value(given_schema, rng, "en"), {"type": asked["type"]})
            checked += 1
    assert checked > 500


def test_no_parameter_has_more_producers_and_no_tool_more_links_than_the_settings_allow(catalogue):
    graphs = build_graphs(catalogue, settings=TIGHT)
    producers, leaving = {}, {}
    for source, target, data in graphs.dependency.edges(data=True):
        for link in data["links"]:
            producers.setdefault((target, link["parameter"]), set()).add(source)
            leaving[source] = leaving.get(source, 0) + 1
    assert max(map(len, producers.values())) == TIGHT.producers_per_parameter
    assert max(leaving.values()) == TIGHT.links_per_tool
    assert max(degree for _, degree in graphs.sharing.degree()) == TIGHT.shared_per_tool


def test_the_same_tools_give_the_same_graphs_whatever_stands_beside_the_link(catalogue):
    one, other = build_graphs(catalogue), build_graphs(dict(catalogue))
    assert list(one.dependency.edges(data=True)) == list(other.dependency.edges(data=True))
    assert list(one.sharing.edges(data=True)) == list(other.sharing.edges(data=True))


@pytest.mark.parametrize(
    "name", ["id", "name", "status", "query", "date", "url", "value", "q", "x1", "voucher"]
)
def test_a_generic_name_alone_links_nothing(name):
    schema = {name: TEXT}
    graphs = build_graphs(
        collection(tool("get_river", output=schema), tool("paint_house", schema), tool("feed_dog", schema))
    )
    tells = name == "voucher"
    assert graphs.dependency.has_edge("get_river", "paint_house") == tells
    assert graphs.sharing.has_edge("feed_dog", "paint_house") == tells
    assert is_generic(name) != tells or name == "x1"


def test_a_generic_name_counts_with_what_it_belongs_to():
    hotels = {"hotels": {"type": "array", "items": {"type": "object", "properties": {"id": TEXT}}}}
    search = tool("search_hotels", {"place": TEXT}, hotels)
    graph = build_graphs(
        collection(search, tool("get_hotel", {"id": TEXT}), tool("get_flight", {"id": TEXT}))
    ).dependency
    link = graph.edges["search_hotels", "get_hotel"]["links"][0]
    assert link["path"] == ("hotels", 0, "id") and "hotel id" in link["reason"]
    assert not graph.has_edge("search_hotels", "get_flight")


@pytest.mark.parametrize(
    ("given_schema", "asked", "linked"),
    [
        (TEXT, TEXT, True),
        (WHOLE, {"type": "number"}, True),
        ({"type": "number"}, WHOLE, False),
        (WHOLE, TEXT, False),
        (TEXT, {"type": "array", "items": TEXT}, False),
        ({"type": "array", "items": TEXT}, {"type": "array", "items": TEXT}, True),
        (TEXT, {"type": "string", "enum": ["a"]}, False),
        ({"type": "string", "enum": ["a"]}, {"type": "string", "enum": ["a", "b"]}, True),
        (TEXT, {"type": "string", "format": "email"}, False),
        (TEXT, {"type": "string", "pattern": "^[A-Z]+$"}, False),
        (
            {"type": "integer", "minimum": 1, "maximum": 5},
            {"type": "integer", "minimum": 0, "maximum": 9},
            True,
        ),
        ({"type": "integer", "minimum": 1}, {"type": "integer", "minimum": 0, "maximum": 9}, False),
        ({**TEXT, KIND: "voucher"}, {**TEXT, KIND: "coupon"}, False),
        ({**TEXT, KIND: "voucher"}, TEXT, True),
    ],
)
def test_only_what_fits_the_parameters_schema_is_linked(given_schema, asked, linked):
    graph = build_graphs(
        collection(tool("make", output={"voucher": given_schema}), tool("use", {"voucher": asked}))
    ).dependency
    assert graph.has_edge("make", "use") == linked


@pytest.mark.parametrize(
    ("given_name", "asked_name", "linked"),
    [
        ("hotelId", "hotel_id", True),
        ("booked_partner_hotel_id", "partner_hotel_id", True),
        ("hotel_name", "hotel_id", False),
        ("product_name", "product_category_name", False),
        ("lat", "latitude", True),
        ("min_price", "max_price", False),
        ("vouchers", "voucher", True),
        ("天气站", "天气站", True),
    ],
)
def test_names_are_compared_by_their_words(given_name, asked_name, linked):
    graph = build_graphs(
        collection(tool("make", output={given_name: TEXT}), tool("use", {asked_name: TEXT}))
    ).dependency
    assert graph.has_edge("make", "use") == linked


def test_what_a_call_was_given_is_no_output_of_it_but_an_identifier_in_a_list_is():
    related = {
        "voucher_id": TEXT,
        "related": {"type": "array", "items": {"type": "object", "properties": {}}},
    }
    echo = tool("check", {"voucher_id": TEXT}, {"voucher_id": TEXT})
    related["related"]["items"]["properties"]["voucher_id"] = TEXT
    more = tool("similar", {"voucher_id": TEXT}, related)
    graph = build_graphs(collection(echo, more, tool("use", {"voucher_id": TEXT}))).dependency
    assert not graph.has_edge("check", "use")
    assert graph.edges["similar", "use"]["links"][0]["path"] == ("related", 0, "voucher_id")


def test_optional_parameters_and_errors_link_nothing():
    failing = tool("make", output={"errors": {"type": "object", "properties": {"voucher": TEXT}}})
    using = tool("use", {"voucher": TEXT})
    assert not build_graphs(collection(failing, using)).dependency.edges
    choosing = tool("use", {"voucher": TEXT}, required=[])
    assert not build_graphs(collection(tool("make", output={"voucher": TEXT}), choosing)).dependency.edges


def test_tools_that_need_the_same_values_share_most():
    same = [tool(name, {"city": TEXT, "cuisine": TEXT}) for name in ("eat", "cook")]
    half = tool("sleep", {"city": TEXT, "stars_wanted": WHOLE}, required=["city"])
    graph = build_graphs(collection(*same, half)).sharing
    assert graph.edges["eat", "cook"]["score"] == 1.0
    assert 0.3 < graph.edges["eat", "sleep"]["score"] < 0.7
    assert [(pair["a"], pair["b"]) for pair in graph.edges["eat", "sleep"]["pairs"]] == [("city", "city")]


def test_a_link_within_a_domain_is_surer_and_a_common_value_less_so():
    makers = [tool("make", output={"voucher": TEXT}), tool("far", output={"voucher": TEXT}, domain="e")]
    graph = build_graphs(collection(*makers, tool("use", {"voucher": TEXT}))).dependency
    scores = [graph.edges[name, "use"]["score"] for name in ("make", "far")]
    assert scores[0] > scores[1]
    assert rarity(1, 100) > rarity(50, 100) > rarity(100, 100) == 0.5 < rarity(3, 3)


def test_graphml_gives_the_graphs_back(catalogue, tmp_path):
    graphs = build_graphs(catalogue)
    for name, graph in (("dependency", graphs.dependency), ("sharing", graphs.sharing)):
        path = tmp_path / f"{name}.graphml"
        write_graph(path, graph, catalogue)
        back = read_graph(path)
        assert back.is_directed() == graph.is_directed() and list(back) == list(graph)
        assert list(back.edges(data=True)) == list(graph.edges(data=True))
        described = nx.get_node_attributes(back, "description")
        assert described == {key: entry.description for key, entry in catalogue.items()}


@given(
    st.lists(st.tuples(st.integers(0, SCORE_UNIT), st.integers(0, 2**64 - 1)), min_size=1), st.integers(1, 9)
)
@settings(max_examples=60, deadline=None)
def test_ranks_of_arrays_are_those_of_numbers_and_the_smallest_are_found(entries, number):
    scores = np.array([score for score, _ in entries])
    firsts = np.array([first for _, first in entries], np.uint64)
    keys = ranks(scores, firsts, np.array(7, np.uint64))
    assert keys.tolist() == [rank(score, first, 7) for score, first in entries]
    found = smallest(keys[None, :], number)[0]
    assert keys[found].tolist() == sorted(keys.tolist())[:number]
    assert (np.diff(scores[np.argsort(keys)]) <= 0).all()


def test_terms_are_of_fields_that_stand_where_they_say(catalogue):
    for entry in catalogue.values():
        for leaf in leaves(entry):
            assert at_path(entry.output, leaf.path)["type"] == leaf.term.type.split(":")[0]
        assert {slot.parameter for slot in slots(entry)} <= set(entry.properties)
