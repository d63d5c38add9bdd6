"""Values conform to any schema, read well, and are the same in any process."""

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_synth.simulator.guess import guess_kind
from data_synth.simulator.patterns import draw_match
from data_synth.simulator.values import (
    YEAR,
    kind_values,
    prefix_of,
    sample_arguments,
    sample_value,
    spoken,
)
from data_synth.simulator.vocabulary import NUM_VALUES, draw, vocabulary
from data_synth.tools.catalogue import load_catalogue
from data_synth.tools.tool import KIND, Tool

SHARED = Path(os.environ.get("MAGIC_SHARED", Path(__file__).parents[3] / "shared"))
APIS = SHARED / "data" / "stabletoolbench"
TOOLS = load_catalogue()
PATTERNS = [
    "^[A-Z]{3}-[0-9]{4}$",
    r"^\d{2}:\d{2}$",
    "^(red|green)$",
    "[a-f0-9]{6}",
    r"^\w+@\w+\.com$",
    "^a+b?c*$",
]


def is_valid(value, schema):
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(schema, format_checker=checker).validate(value)


def numbers(kind):
    whole = st.integers(-500, 500)
    bounds = st.tuples(whole, whole).map(sorted)
    return st.fixed_dictionaries(
        {"type": st.just(kind)}, optional={"bounds": bounds, "multipleOf": st.sampled_from([1, 2, 5])}
    ).map(_bounded)


def _bounded(drawn):
    low, high = drawn.pop("bounds", (None, None))
    if low is None:
        return drawn
    return drawn | {"minimum": low, "maximum": max(high, low + drawn.get("multipleOf", 1))}


texts = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={
            "minLength": st.integers(0, 30),
            "description": st.sampled_from(["The city", "Date, YYYY-MM-DD"]),
        },
    ),
    st.fixed_dictionaries({"type": st.just("string"), "maxLength": st.integers(0, 30)}),
    st.fixed_dictionaries({"type": st.just("string"), "pattern": st.sampled_from(PATTERNS)}),
    st.fixed_dictionaries(
        {
            "type": st.just("string"),
            "format": st.sampled_from(["date", "time", "email", "uri", "uuid", "ipv4"]),
        }
    ).map(lambda schema: schema | ({"format": "date"} if schema["format"] == "time" else {})),
    st.fixed_dictionaries({"type": st.just("string"), "default": st.text(max_size=5)}),
)
leaves = st.one_of(
    texts,
    numbers("integer"),
    numbers("number"),
    st.just({"type": "boolean"}),
    st.just({"type": ["null", "integer"]}),
    st.just({"const": {"a": [1]}}),
    st.just({}),
    st.lists(st.one_of(st.integers(), st.text(), st.booleans()), min_size=1, max_size=4).map(
        lambda e: {"enum": e}
    ),
)
names = st.sampled_from(["city", "startDate", "user_id", "limit", "q", "tags", "lat", "whatever", "国家"])


def _nested(inner):
    arrays = st.fixed_dictionaries(
        {"type": st.just("array"), "items": inner},
        optional={"minItems": st.integers(0, 2), "maxItems": st.integers(2, 5)},
    )
    objects = st.dictionaries(names, inner, max_size=4).flatmap(
        lambda properties: st.sets(st.sampled_from(sorted(properties)) if properties else st.nothing()).map(
            lambda required: {
                "type": "object",
                "properties": properties,
                "required": sorted(required),
                "additionalProperties": False,
            }
        )
    )
    return st.one_of(
        arrays, objects, st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts})
    )


@settings(max_examples=400, deadline=None)
@given(st.recursive(leaves, _nested, max_leaves=6), names, st.integers(0, 9), st.sampled_from(["en", "zh"]))
def test_any_schemas_value_conforms(schema, name, seed, language):
    value = sample_value(schema, Random(seed), language, name)
    is_valid(value, schema)
    assert json.loads(json.dumps(value)) == value


@pytest.mark.parametrize("language", ["en", "zh"])
def test_values_of_every_catalogue_tool_conform(language):
    for tool in TOOLS.values():
        for seed in range(3):
            rng = Random(f"{tool.name}{seed}")
            is_valid(sample_arguments(tool, tool.properties, rng, language), tool.parameters)
            is_valid(sample_value(tool.output, rng, language), tool.output)


def api_schemas():
    """Each parameter of the real APIs once, as a name and a schema."""
    types = {"NUMBER": "number", "BOOLEAN": "boolean", "ARRAY": "array", "OBJECT": "object"}
    found = {}
    for path in sorted(APIS.glob("G*.json")):
        for row in json.loads(path.read_text("utf-8")):
            for api in row["api_list"]:
                for parameter in (*api["required_parameters"], *api["optional_parameters"]):
                    schema = {"type": types.get(parameter["type"].upper(), "string")}
                    schema |= {"description": parameter["description"], "default": parameter["default"]}
                    found[api["tool_name"], api["api_name"], parameter["name"]] = schema
    return found


def test_parameters_of_real_apis_get_values():
    if not APIS.is_dir():
        pytest.skip("no data/stabletoolbench in ../shared or $MAGIC_SHARED")
    schemas = api_schemas()
    assert len(schemas) > 4000
    for (_, api, name), schema in schemas.items():
        value = sample_value(schema, Random(f"{api}{name}"), "en", name)
        is_valid(value, schema)
        if isinstance(value, str):
            assert (value.strip() and len(value) < 400) or value == schema["default"], (api, name, value)


@pytest.mark.parametrize(
    ("name", "description", "pattern"),
    [
        ("user_email", "", r"[\w.]+@example\.(com|org|net)"),
        ("recipientPhone", "", r"\+\d[\d-]+"),
        ("startDate", "", rf"{YEAR}-\d\d-\d\d"),
        ("end_date", "in the format MM/DD/YYYY", rf"\d\d/\d\d/{YEAR}"),
        ("departure_time", "", r"\d\d:\d\d"),
        ("callback_url", "", r"https://\S*example\.\w+/\S*"),
        ("ip", "", r"203\.0\.113\.\d+"),
        ("country_code", "", "[A-Z]{2}"),
        ("to_currency", "", "[A-Z]{3}"),
        ("stockSymbol", "", "[A-Z]+"),
        ("movieId", "", r"\d+"),
        ("zipcode", "", r"\d{5}"),
        ("uuid", "", r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
        ("lat", "", r"-?\d+\.\d+"),
        ("x", "The email address of the user", r"\S+@\S+"),
    ],
)
def test_names_and_descriptions_are_heard(name, description, pattern):
    for seed in range(20):
        schema = {"type": "string", "description": description}
        assert re.fullmatch(pattern, value := sample_value(schema, Random(seed), "en", name)), value


def test_what_is_guessed_has_values():
    for word in (
        "city",
        "artist",
        "genre",
        "author",
        "team",
        "breed",
        "topic",
        "sort_by",
        "search query",
        "file_name",
    ):
        kind = guess_kind(word, "")
        assert kind in vocabulary("en"), word
    assert guess_kind("zzz", "") == ""


@pytest.mark.parametrize(
    ("name", "low", "high"), [("page", 1, 5), ("month", 1, 12), ("latitude", -90, 90), ("limit", 1, 100)]
)
def test_numbers_are_plausible_for_their_names(name, low, high):
    values = [sample_value({"type": "integer"}, Random(seed), "en", name) for seed in range(50)]
    assert all(low <= value <= high for value in values)
    assert len(set(values)) > 3


def test_counted_things_are_more_than_one():
    schema = {"type": "integer", "minimum": 1, "maximum": 8, KIND: "nights"}
    values = {sample_value(schema, Random(seed)) for seed in range(200)}
    assert values == set(range(2, 9))
    only = {"type": "integer", "minimum": 1, "maximum": 1, KIND: "nights"}
    assert sample_value(only, Random(0)) == 1


@pytest.mark.parametrize("language", ["en", "zh"])
def test_entities_are_plentiful(language):
    least = {"city": 90, "person_name": 1000, "address": 100, "email": 1000, "hotel_name": 500, "dish": 25}
    for kind, number in least.items():
        drawn = {sample_value({"type": "string", KIND: kind}, Random(seed), language) for seed in range(5000)}
        assert len(drawn) >= number, kind


def num_patterns(kind, language):
    if kind[0] == "#":
        return 1
    entries = vocabulary(language)[kind]
    return sum(
        math.prod(num_patterns(part, language) for part in re.findall(r"\{([^{}]+)\}", entry))
        for entry in entries
    )


@pytest.mark.parametrize("language", ["en", "zh"])
def test_lists_hold_what_is_drawn(language):
    for kind in vocabulary(language):
        listed = kind_values(kind, language)
        drawn = {draw(kind, Random(seed), language) for seed in range(30)}
        assert all(value.strip() == value and value and "{" not in value for value in drawn), kind
        if num_patterns(kind, language) <= NUM_VALUES:  # else they are a sample
            assert {value for value in drawn if not re.search(r"\d", value)} <= set(listed), kind
        assert len(listed) == len(set(listed))


def test_chinese_entities_are_chinese():
    for kind in (
        "city",
        "person_name",
        "product_name",
        "address",
        "dish",
        "event_title",
        "sentence",
        "company",
    ):
        values = [draw(kind, Random(seed), "zh") for seed in range(100)]
        assert all(re.search("[一-鿿]", value) for value in values), kind
    assert kind_values("currency", "zh") == kind_values("currency", "en")


def test_ids_have_the_shape_of_their_kind():
    kinds = ["hotel_id", "flight_booking_id", "a_id", "_id"]
    assert [prefix_of(kind) for kind in kinds[:2]] == ["HTL", "FLB"]
    for kind in kinds:
        values = {sample_value({"type": "string", KIND: kind}, Random(seed), "en") for seed in range(50)}
        assert all(re.fullmatch(rf"{prefix_of(kind)}-\d{{5}}", value) for value in values)
        assert len(values) > 45


def test_arguments_make_sense_together():
    schema = {
        "type": "object",
        "properties": {
            "origin": {"type": "string", KIND: "seat_row"},
            "destination": {"type": "string", KIND: "city"},
            "via": {"type": "string", KIND: "city"},
            "leave": {"type": "string", "format": "date", KIND: "date"},
            "back": {"type": "string", "format": "date", KIND: "date"},
        },
    }
    tool = Tool("trip", "", schema, {})
    for seed in range(300):
        arguments = sample_arguments(tool, ["back", "leave", "via", "destination"], Random(seed))
        assert list(arguments) == ["back", "leave", "via", "destination"]
        assert arguments["destination"] != arguments["via"]
        assert arguments["leave"] <= arguments["back"]


@pytest.mark.parametrize("pattern", [*PATTERNS, r"^(\w)x\1$", "^[^a-z]{5}$", "^.{3,7}$"])
def test_drawn_texts_match_their_pattern(pattern):
    drawn = {
        draw_match(pattern, Random(seed), lambda text: bool(re.search(pattern, text))) for seed in range(50)
    }
    assert all(re.search(pattern, text) for text in drawn)
    assert len(drawn) > 1


@pytest.mark.parametrize(("shortest", "longest"), [(1, 2), (8, 8), (32, 32), (40, 60)])
def test_a_pattern_and_a_length_hold_together(shortest, longest):
    schema = {"type": "string", "pattern": "^[a-zA-Z0-9]+$", "minLength": shortest, "maxLength": longest}
    for text in (sample_value(schema, Random(seed)) for seed in range(30)):
        assert re.fullmatch(schema["pattern"], text) and shortest <= len(text) <= longest


@pytest.mark.parametrize("pattern", ["(", "^a(?=b)c$"])
def test_patterns_without_a_match_are_refused(pattern):
    with pytest.raises(ValueError, match="pattern"):
        sample_value({"type": "string", "pattern": pattern}, Random(0))


def test_values_are_said_as_people_do():
    assert spoken(["a", "b", "c"]) == "a, b and c"
    assert spoken(["甲", "乙", "丙"], "zh") == "甲、乙和丙"
    dishes = [{"dish": "ramen", "quantity": 2}, {"dish": "gyoza", "quantity": 1}]
    assert spoken(dishes, say="{quantity} × {dish}") == "2 × ramen and 1 × gyoza"
    assert spoken({"street": "12 Elm Lane", "city": "York"}) == "12 Elm Lane, York"
    assert spoken("first", "zh", {"first": "头等舱"}) == "头等舱"
    assert spoken(True) == "yes"
    assert spoken(2.5) == "2.5"


def test_another_process_draws_the_same():
    code = (
        "import json, sys; from random import Random;"
        "from data_synth.tools.catalogue import load_catalogue as load;"
        "from data_synth.simulator.values import sample_value;"
        "json.dump([sample_value(t.output, Random(t.name), 'zh') for t in load().values()], sys.stdout)"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    here = [sample_value(tool.output, Random(tool.name), "zh") for tool in TOOLS.values()]
    assert json.loads(outputs[0]) == here
