"""The simulator: deterministic, stateful, true to the tools' schemas, steerable to either branch."""

import json
import os
from pathlib import Path
from random import Random

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_synth.llm.scripted import ScriptedModel
from data_synth.operators.plan import Condition
from data_synth.simulator.effects import effect_of
from data_synth.simulator.formulas import NotDefinedError, compute
from data_synth.simulator.simulator import Simulator
from data_synth.simulator.steering import UnsteerableError, Wish, found
from data_synth.simulator.values import sample_arguments
from data_synth.tools.catalogue import load_catalogue
from data_synth.tools.curation import Collection, Curation
from data_synth.tools.normalise import Limits
from data_synth.tools.tool import Tool

SHARED = Path(os.environ.get("MAGIC_SHARED", Path(__file__).parents[3] / "shared"))
TOOLS = load_catalogue()
VALIDATORS = {name: jsonschema.Draft202012Validator(tool.output) for name, tool in TOOLS.items()}
ACTIONS = {name: effect_of(tool) for name, tool in TOOLS.items()}


def arguments_of(name: str, seed: int, optional: bool = False, language: str = "en") -> dict:
    tool = TOOLS[name]
    wanted = [p for p in tool.properties if optional or p in tool.required]
    return sample_arguments(tool, wanted, Random(f"{name}/{seed}"), language)


def by_entity() -> dict[str, dict[str, str]]:
    """Entity to action to the tool that needs nothing but what its action must have."""
    found: dict[str, dict[str, str]] = {}
    for name, effect in ACTIONS.items():
        if effect.entity and (effect.action != "get" or TOOLS[name].required == (effect.parameter,)):
            found.setdefault(effect.entity, {}).setdefault(effect.action, name)
    return found


ENTITIES = by_entity()


def is_formula(name: str, field: str) -> bool:
    """Whether the field's value follows from the arguments."""
    try:
        return ACTIONS[name].action == "compute" and compute(arguments_of(name, 1), field) is not None
    except NotDefinedError:
        return True


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_tool_answers_as_its_schema_says(language):
    for name in TOOLS:
        for optional in (False, True):
            simulator = Simulator(TOOLS, name, None, language)
            answer = simulator.call(name, arguments_of(name, 1, optional, language))
            if answer.is_error:
                assert any(is_formula(name, field) for field in TOOLS[name].output["properties"]), name
            else:
                VALIDATORS[name].validate(answer.value)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(TOOLS)), st.integers(0, 3)), min_size=1, max_size=25),
    st.integers(),
)
def test_the_same_calls_have_the_same_answers_and_conform(calls, seed):
    first, second = Simulator(TOOLS, seed), Simulator(TOOLS, seed)
    for name, number in calls:
        arguments = arguments_of(name, number)
        twin = first.copy()
        answer = first.call(name, arguments)
        assert answer == second.call(name, dict(reversed(arguments.items())))
        assert answer == twin.call(name, arguments)
        if not answer.is_error:
            VALIDATORS[name].validate(answer.value)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(TOOLS)), st.integers(0, 3)), max_size=12), st.data())
def test_reading_twice_gives_the_same_twice(before, data):
    simulator = Simulator(TOOLS, 5)
    for name, number in before:
        simulator.call(name, arguments_of(name, number))
    reading = [
        name for name, effect in ACTIONS.items() if effect.action in ("get", "list", "search", "compute")
    ]
    name = data.draw(st.sampled_from(reading))
    arguments = arguments_of(name, data.draw(st.integers(0, 3)))
    assert simulator.call(name, arguments) == simulator.call(name, arguments)


def test_another_seed_is_another_world():
    answers = {
        json.dumps(Simulator(TOOLS, seed).call("list_events", {"date": "2026-03-01"}).value)
        for seed in range(20)
    }
    assert len(answers) == 20


def test_what_is_created_is_read_back():
    checked = 0
    for entity, tools in ENTITIES.items():
        if "create" not in tools or "get" not in tools:
            continue
        create, get = tools["create"], tools["get"]
        simulator = Simulator(TOOLS, 1)
        arguments = arguments_of(create, 2, optional=True)
        made = simulator.call(create, arguments).value
        field = ACTIONS[create].field
        again = simulator.call(get, {ACTIONS[get].parameter: made[field]}).value
        shared = made.keys() & again.keys()
        assert {name: again[name] for name in shared} == {name: made[name] for name in shared}, entity
        for name in arguments.keys() & made.keys():
            assert made[name] == arguments[name], (entity, name)
        checked += 1
    assert checked >= 15


def test_two_calls_that_create_make_two_records():
    simulator = Simulator(TOOLS, 1)
    arguments = {"event_title": "standup", "date": "2026-03-01", "start_time": "09:00"}
    ids = [simulator.call("create_event", arguments).value["event_id"] for _ in range(5)]
    listed = simulator.call("list_events", {"date": "2026-03-01"}).value["events"]
    assert len(set(ids)) == 5
    assert [event["event_id"] for event in listed][:5] == ids


def test_what_is_deleted_is_gone_everywhere():
    checked = 0
    for entity, tools in ENTITIES.items():
        if "delete" not in tools or "get" not in tools:
            continue
        delete, get = tools["delete"], tools["get"]
        simulator = Simulator(TOOLS, 1)
        arguments = arguments_of(delete, 1)
        identity = arguments[ACTIONS[delete].parameter]
        before = simulator.copy()
        assert not simulator.call(delete, arguments).is_error
        answer = simulator.call(get, {ACTIONS[get].parameter: identity})
        assert answer.is_error and str(identity) in answer.value["error"], entity
        assert simulator.call(delete, arguments).is_error
        assert not before.call(get, {ACTIONS[get].parameter: identity}).is_error
        checked += 1
    assert checked >= 10


def test_a_deleted_record_leaves_the_list_and_nothing_takes_its_place():
    checked = 0
    for tools in ENTITIES.values():
        if "delete" not in tools or "list" not in tools or TOOLS[tools["list"]].required:
            continue
        simulator = Simulator(TOOLS, 3)
        listing, delete = tools["list"], tools["delete"]
        (key,) = [k for k, v in simulator.call(listing, {}).value.items() if isinstance(v, list)]
        before = simulator.call(listing, {}).value[key]
        parameter = ACTIONS[delete].parameter
        doomed = before[0][ACTIONS[listing].field]
        assert not simulator.call(delete, {**arguments_of(delete, 1), parameter: doomed}).is_error
        assert simulator.call(listing, {}).value[key] == before[1:]
        checked += 1
    assert checked >= 5


def test_searches_return_records_that_later_gets_agree_with():
    checked = 0
    for tools in ENTITIES.values():
        for action in ("search", "list"):
            if action not in tools or "get" not in tools:
                continue
            search, get = tools[action], tools["get"]
            simulator = Simulator(TOOLS, 7)
            records = next(
                v
                for v in simulator.call(search, arguments_of(search, 1)).value.values()
                if isinstance(v, list)
            )
            assert records
            for record in records:
                answer = simulator.call(get, {ACTIONS[get].parameter: record[ACTIONS[search].field]}).value
                shared = answer.keys() & record.keys()
                assert {name: answer[name] for name in shared} == {name: record[name] for name in shared}
            checked += 1
    assert checked >= 20


def test_updates_are_visible():
    simulator = Simulator(TOOLS, 1)
    event = {"event_title": "standup", "date": "2026-03-01", "start_time": "09:00"}
    identity = simulator.call("create_event", event).value["event_id"]
    simulator.call("move_event", {"event_id": identity, "new_date": "2026-04-04", "new_time": "10:15"})
    simulator.call("invite_to_event", {"event_id": identity, "attendee": "ada@example.org"})
    read = simulator.call("get_event", {"event_id": identity}).value
    assert (read["date"], read["start_time"]) == ("2026-04-04", "10:15")
    assert read["attendees"][-1] == "ada@example.org"
    assert identity in str(simulator.call("list_events", {"date": "2026-04-04"}).value)
    assert identity not in str(simulator.call("list_events", {"date": "2026-03-01"}).value)


def test_a_state_follows_from_what_was_done():
    simulator = Simulator(TOOLS, 1)
    for _ in range(3):
        for identity in ("BNC-1", "BNC-2", "BNC-3"):
            assert (
                simulator.call("freeze_bank_card", {"bank_card_id": identity}).value["card_status"]
                == "frozen"
            )


def test_what_was_not_said_is_not_made_up():
    review = Simulator(TOOLS, 1).call("review_product", {"product_id": "PRD-1", "stars": 5}).value
    assert review["stars"] == 5 and review["comment"] == ""


def test_search_arguments_are_met_by_what_is_found():
    simulator = Simulator(TOOLS, 2)
    hotels = simulator.call(
        "search_hotels", {"city": "Oslo", "check_in": "2026-03-01", "max_price": 90}
    ).value["hotels"]
    assert hotels and all(hotel["city"] == "Oslo" for hotel in hotels)
    prices = [value for hotel in hotels for name, value in hotel.items() if "price" in name]
    assert prices and max(prices) <= 90
    assert len(set(prices)) > 1
    schema = TOOLS["list_hotel_reviews"].properties["num_results"]
    fewest = {"hotel_id": "HTL-1", "num_results": schema["minimum"]}
    few = simulator.call("list_hotel_reviews", fewest).value["hotel_reviews"]
    assert 0 < len(few) <= schema["minimum"]


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("no_such_tool", {}, "unknown tool"),
        ("create_event", {"date": "2026-03-01"}, "event_title"),
        ("create_event", {"event_title": 3, "date": "2026-03-01", "start_time": "09:00"}, "event_title"),
        ("list_events", {"date": "2026-03-01", "colour": "red"}, "colour"),
    ],
)
def test_bad_calls_are_answered_as_an_api_does_and_change_nothing(name, arguments, words):
    simulator = Simulator(TOOLS, 1)
    before = simulator.store.copy()
    answer = simulator.call(name, arguments)
    assert answer.is_error and list(answer.value) == ["error"] and words in answer.value["error"]
    assert simulator.store == before


def test_a_search_around_a_place_finds_other_places_and_the_same_again():
    near = [name for name, effect in ACTIONS.items() if effect.many and "address" in TOOLS[name].required]
    assert near
    for name in near:
        simulator = Simulator(TOOLS, 1)
        arguments = arguments_of(name, 1)
        (found_here,) = (v for v in simulator.call(name, arguments).value.values() if isinstance(v, list))
        assert all(record.get("address") != arguments["address"] for record in found_here)
        (again,) = (v for v in simulator.call(name, arguments).value.values() if isinstance(v, list))
        assert again == found_here


@pytest.mark.parametrize(
    ("name", "arguments", "field", "value"),
    [
        ("count_days", {"from_date": "2026-05-22", "to_date": "2026-06-15"}, "num_days", 24),
        (
            "convert_length",
            {"length": 3, "from_length_unit": "miles", "to_length_unit": "kilometres"},
            "result",
            4.83,
        ),
        (
            "convert_weight",
            {"weight": 2, "from_weight_unit": "pounds", "to_weight_unit": "grams"},
            "result",
            907.18,
        ),
        ("convert_temperature", {"degrees": 21, "temperature_unit": "fahrenheit"}, "result", 69.8),
        ("calculate_tax", {"amount": 200, "tax_percent": 19}, "result", 38.0),
        ("split_bill", {"bill_amount": 90, "guests": 4, "tip_percent": 10}, "share", 24.75),
        ("calculate_bmi", {"weight_kg": 70, "height_cm": 175}, "bmi", 22.9),
    ],
)
def test_what_can_be_worked_out_is_right(name, arguments, field, value):
    assert Simulator(TOOLS, 1).call(name, arguments).value[field] == pytest.approx(value)


def test_money_is_converted_at_the_rate_that_is_told():
    rates = {"from_currency": "EUR", "to_currency": "SEK"}
    simulator = Simulator(TOOLS, 1)
    answer = simulator.call("convert_currency", {"amount": 40, **rates}).value
    assert answer["exchange_rate"] == simulator.call("get_exchange_rate", rates).value["exchange_rate"]
    assert answer["converted_amount"] == pytest.approx(40 * answer["exchange_rate"], abs=0.01)


def test_null_arguments_count_as_left_out():
    with_null, without = Simulator(TOOLS, 1), Simulator(TOOLS, 1)
    assert with_null.call("list_hotel_bookings", {"city": None}) == without.call("list_hotel_bookings", {})
    assert with_null.call("list_events", {"date": None}).is_error


def condition_sites():
    """(tool, condition): one per comparison that a field of an answer admits."""
    for name, tool in TOOLS.items():
        for field, schema in tool.output["properties"].items():
            if ACTIONS[name].parameter == field:
                continue
            if schema["type"] == "array":
                yield name, Condition(1, (field,), "not_empty" if schema.get("minItems") else "is_empty")
            elif schema["type"] == "boolean" and field != "success":
                yield name, Condition(1, (field,), "==", True)
            elif "enum" in schema and len(schema["enum"]) > 1 and field not in tool.properties:
                yield name, Condition(1, (field,), "==", schema["enum"][-1])
            elif schema["type"] in ("integer", "number") and field not in tool.properties:
                low, high = schema.get("minimum", 0), schema.get("maximum", 1000)
                if high - low > 2:
                    yield name, Condition(1, (field,), "<", (low + high) // 2)


SITES = list(condition_sites())


def test_both_branches_of_a_condition_can_be_reached():
    steered = 0
    for name, condition in SITES:
        tool = TOOLS[name]
        arguments = arguments_of(name, 1)
        if any(
            schema.get("x-kind") == tool.output["properties"][condition.path[0]].get("x-kind")
            for schema in tool.properties.values()
        ):
            continue  # an argument says it
        if any(is_formula(name, field) for field in tool.output["properties"]):
            continue
        for wanted in (condition, condition.negated()):
            if condition.comparison == "not_empty" and wanted is not condition:
                continue
            simulator = Simulator(TOOLS, 4)
            answer = simulator.call(name, arguments, expect=[wanted])
            assert wanted.holds(found(answer.value, wanted.path)), (name, wanted)
            VALIDATORS[name].validate(answer.value)
            replay = Simulator(TOOLS, 4, wishes=simulator.wishes)
            assert replay.call(name, arguments) == answer
            steered += 1
    assert steered >= 150


def test_lists_are_as_long_as_a_plan_needs():
    for name, effect in ACTIONS.items():
        if effect.many:
            path = (*effect.place[: effect.place.index("*")], 4, effect.field)
            answer = Simulator(TOOLS, 1).call(name, arguments_of(name, 1), need=[path])
            ids = [record[effect.field] for record in answer.value[path[0]]]
            assert len(ids) >= 5 and len(set(map(str, ids))) == len(ids), name


def test_what_was_seen_cannot_be_steered_away_and_a_failed_wish_leaves_no_trace():
    simulator = Simulator(TOOLS, 1)
    arguments = {"flight_id": "BA117"}
    seen = simulator.call("get_flight_status", arguments).value["flight_status"]
    before = simulator.store.copy()
    with pytest.raises(UnsteerableError):
        simulator.call("get_flight_status", arguments, expect=[Condition(1, ("flight_status",), "!=", seen)])
    assert simulator.store == before and simulator.wishes == []
    assert simulator.call("get_flight_status", arguments).value["flight_status"] == seen


def test_wishes_survive_json():
    wish = Wish("a", {"x": 1}, (Condition(0, ("l", 0, "p"), "<", 3),), (("l", 0, "id"),))
    assert Wish.from_record(json.loads(json.dumps(wish.to_record()))) == wish


def imported(name: str, output: dict, parameters: dict, required: list[str]) -> Tool:
    return Tool(name, name, {"type": "object", "properties": parameters, "required": required}, output)


def test_imported_tools_give_one_record_for_one_id():
    team = {"id": {"type": "integer"}, "name": {"type": "string"}, "coach": {"type": "string"}}
    output = {"type": "object", "properties": {"team": {"type": "object", "properties": team}}}
    listing = {
        "type": "object",
        "properties": {"teams": {"type": "array", "items": output["properties"]["team"]}},
    }
    tools = {
        "TeamDetails": imported("TeamDetails", output, {"id": {"type": "number"}}, ["id"]),
        "TeamSearch": imported("TeamSearch", listing, {"query": {"type": "string"}}, ["query"]),
    }
    simulator = Simulator(tools, 1)
    for number in (1, 2, 3):
        first = simulator.call("TeamDetails", {"id": number}).value
        assert first["team"]["id"] == number
        assert simulator.call("TeamDetails", {"id": number}).value == first
    for team_found in simulator.call("TeamSearch", {"query": "reds"}).value["teams"]:
        assert simulator.call("TeamDetails", {"id": team_found["id"]}).value["team"] == team_found


@pytest.mark.parametrize("collection", ["stabletoolbench", "acebench"])
def test_imported_collections_are_answered_as_their_schemas_say(collection):
    folder = SHARED / "data" / collection
    if not folder.exists():
        pytest.skip(f"no {collection} in ../shared/data or $MAGIC_SHARED/data")
    taken = Collection(Limits(8000, 32, 64, describe_outputs=False), None)
    list(Curation(taken, "auto").read([str(folder)]))
    assert len(taken.tools) > 500
    without_arguments = 0
    for name, tool in taken.tools.items():
        simulator = Simulator(taken.tools, 1)
        try:
            arguments = sample_arguments(tool, tool.required, Random(name))
        except ValueError:  # a pattern that nothing was found for
            without_arguments += 1
            continue
        first = simulator.call(name, arguments)
        assert not first.is_error, (name, first.value)
        assert jsonschema.Draft202012Validator(tool.output).is_valid(first.value), name
        second = simulator.call(name, arguments)
        if effect_of(tool).action not in ("create", "delete"):
            assert second == first, name
    assert without_arguments < 0.01 * len(taken.tools)


LEAVES = st.sampled_from(
    [
        {},
        {"type": "string"},
        {"type": "integer"},
        {"type": "boolean"},
        {"type": "number", "minimum": 3, "maximum": 9},
        {"type": "string", "enum": ["a", "b"]},
        {"type": "string", "format": "date"},
        {"type": ["string", "null"]},
    ]
)
NAMES = st.sampled_from(
    ["id", "user_id", "name", "total", "status", "items", "date", "ok", "success", "price", "url"]
)
OBJECTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.dictionaries(NAMES, inner, max_size=4).map(
            lambda p: {"type": "object", "properties": p, "required": list(p)}
        )
        | inner.map(lambda items: {"type": "array", "items": items, "minItems": 1})
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(NAMES, OBJECTS, max_size=4),
    st.dictionaries(NAMES, st.sampled_from([{"type": "string"}, {"type": "integer"}]), max_size=3),
    st.sampled_from(
        ["getThing", "search_things", "create_thing", "deleteThing", "updateThing", "list-things"]
    ),
)
def test_any_schema_is_answered_as_it_says(output, parameters, name):
    schema = {"type": "object", "properties": output, "required": list(output)}
    tool = imported(name, schema, parameters, list(parameters))
    arguments = {p: "x1" if s["type"] == "string" else 7 for p, s in parameters.items()}
    simulator = Simulator({name: tool}, 1)
    for _ in range(2):
        answer = simulator.call(name, arguments)
        if not answer.is_error:
            jsonschema.Draft202012Validator(schema).validate(answer.value)


class CountingModel(ScriptedModel):
    """The scripted model, with a count of what it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def complete(self, request):
        self.asked += 1
        return super().complete(request)


def test_a_models_first_answer_is_set_right_and_replayed():
    model = CountingModel()
    simulator = Simulator(TOOLS, 1, model)
    flights = simulator.call(
        "search_flights", {"origin": "Oslo", "destination": "Rome", "date": "2026-03-01"}
    )
    assert {flight["origin"] for flight in flights.value["flights"]} == {"Oslo"}
    VALIDATORS["search_flights"].validate(flights.value)
    identity = flights.value["flights"][0]["flight_id"]
    status = simulator.call("get_flight_status", {"flight_id": identity})
    assert status.value["departure_time"] == flights.value["flights"][0]["departure_time"]
    asked = model.asked
    assert asked == 2
    assert simulator.call("get_flight_status", {"flight_id": identity}) == status
    assert model.asked == asked
    replay = Simulator(TOOLS, 1)
    arguments = {"origin": "Oslo", "destination": "Rome", "date": "2026-03-01"}
    assert replay.call("search_flights", arguments, draft=flights.value) == flights
    assert replay.call("get_flight_status", {"flight_id": identity}, draft=status.value) == status
