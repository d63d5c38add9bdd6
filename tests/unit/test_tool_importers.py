"""Every format's peculiarities: what a tool is called there, its types, where parameters and answers stand."""

import json
import os
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from data_synth.tools.catalogue import load_catalogue
from data_synth.tools.curation import Collection, Curation
from data_synth.tools.importers.docstrings import parse_docstring
from data_synth.tools.importers.draft import UnusableError
from data_synth.tools.importers.items import read_items
from data_synth.tools.importers.references import dereferenced
from data_synth.tools.importers.templates import schema_of_template
from data_synth.tools.normalise import Limits

LIMITS = Limits(8000, 32, 64, False)
SHARED = Path(os.environ.get("MAGIC_SHARED", Path(__file__).parents[3] / "shared"))


def curate(tmp_path, content, name="given.json", limits=LIMITS, form="auto", licence=None):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    curation = Curation(Collection(limits, licence), form)
    rejections = list(curation.read([str(path)]))
    return curation.collection.tools, rejections


API = {
    "category_name": "Video_Images",
    "tool_name": "Simple YouTube Search",
    "api_name": "getVideo/{id}",
    "api_description": "A video <b>by</b> its\n id",
    "required_parameters": [{"name": "id", "type": "NUMBER", "description": "Of it", "default": "7"}],
    "optional_parameters": [
        {"name": "date\t", "type": "DATE (YYYY-MM-DD)", "description": "", "default": ""},
        {"name": "safe", "type": "BOOLEAN", "description": "", "default": "false"},
    ],
    "method": "GET",
    "template_response": {
        "title": "str",
        "views": "int",
        "nothing": "NoneType",
        "tags": ["list of str with length 4"],
        "parts": [{"name": "str", "length": "float", "_list_length": 3}],
        "more": "empty list",
    },
}


def test_toolbench_queries(tmp_path):
    tools, rejections = curate(
        tmp_path, [{"query": "…", "api_list": [API]}, {"query": "…", "api_list": [API]}]
    )
    (tool,) = tools.values()
    assert tool.name == "get_video_id_for_simple_you_tube_search"
    assert tool.description == "A video by its id" and tool.domain == "video_images"
    assert tool.licence == "Apache-2.0" and tool.source == "toolbench/given.json"
    assert tool.required == ("id",)
    assert tool.properties["id"] == {"type": "number", "description": "Of it", "default": 7}
    assert tool.properties["date"] == {"type": "string", "format": "date"}
    assert tool.properties["safe"] == {"type": "boolean", "default": False}
    fields = tool.output["properties"]
    assert fields["tags"] == {"type": "array", "items": {"type": "string"}}
    assert fields["parts"]["items"]["properties"]["length"] == {"type": "number"}
    assert "_list_length" not in json.dumps(tool.output) and fields["views"] == {"type": "integer"}
    assert [rejection.reason for rejection in rejections] == ["duplicate"]


def test_toolbench_tool_documents(tmp_path):
    (tmp_path / "Music").mkdir()
    api = {"name": "charts", "description": "Top songs", "required_parameters": [], "optional_parameters": []}
    tools, _ = curate(tmp_path / "Music", {"tool_name": "Shazam", "api_list": [api]})
    assert list(tools) == ["charts_for_shazam"] and tools["charts_for_shazam"].domain == "music"


@pytest.mark.parametrize("cut", range(2, 150, 7))
def test_a_template_that_was_cut_off_gives_what_stood_before(cut):
    whole = {"a": {"b": ["list of str with length 2"], "c": "x, {y"}, "d": [{"e": "int", "_list_length": 2}]}
    whole |= {f"k{n}": "str" for n in range(9)}
    text = json.dumps(whole)
    schema = schema_of_template(text[:cut])
    full = schema_of_template(whole)
    names = list(schema["properties"]) if schema else []
    assert names == list(full["properties"])[: len(names)]
    assert len(names) >= text[:cut].count('"str",')


@pytest.mark.parametrize(
    "template", [None, "", {}, "oops", {"message": "str", "statusCode": "int"}, {"detail": "str"}]
)
def test_the_template_of_an_error_tells_no_output(template):
    assert schema_of_template(template) is None


OPENAPI = {
    "openapi": "3.0.3",
    "info": {"title": "Pet shop", "license": {"name": "MIT"}},
    "paths": {
        "/pets/{petId}": {
            "parameters": [{"$ref": "#/components/parameters/Id"}],
            "get": {
                "operationId": "getPet",
                "summary": "One pet",
                "tags": ["Pets"],
                "parameters": [
                    {"name": "X-Key", "in": "header", "schema": {"type": "string"}},
                    {"name": "depth", "in": "query", "schema": {"type": "integer", "nullable": True}},
                ],
                "responses": {
                    "404": {"description": "none"},
                    "200": {
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}
                    },
                },
            },
            "put": {
                "summary": "Change a pet",
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}},
                },
                "responses": {"204": {"description": "done"}},
            },
            "delete": {"summary": "Elsewhere", "requestBody": {"$ref": "other.yaml#/body"}},
        },
        "/pets": {
            "post": {
                "operationId": "listed",
                "description": "Many.",
                "requestBody": {"content": {"application/json": {"schema": {"type": "array", "items": {}}}}},
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {
                                "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}}
                            }
                        }
                    }
                },
            }
        },
    },
    "components": {
        "parameters": {"Id": {"name": "petId", "in": "path", "required": True, "schema": {"type": "string"}}},
        "schemas": {
            "Base": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
            "Pet": {
                "allOf": [
                    {"$ref": "#/components/schemas/Base"},
                    {
                        "type": "object",
                        "properties": {
                            "petId": {"type": "string", "readOnly": True},
                            "parent": {"$ref": "#/components/schemas/Pet"},
                        },
                    },
                ]
            },
        },
    },
}


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_openapi(tmp_path, form):
    text = json.dumps(OPENAPI) if form == "json" else yaml.safe_dump(OPENAPI)
    tools, rejections = curate(tmp_path, text, f"given.{form}")
    get = tools["getPet"]
    assert (get.description, get.domain, get.licence) == ("One pet.", "pets", "MIT")
    assert get.required == ("petId",) and set(get.properties) == {"petId", "depth"}
    assert get.output["properties"]["name"] == {"type": "string"}
    assert get.output["properties"]["parent"]["type"] == "object"
    put = tools["put_pets_petId"]
    assert set(put.properties) == {"petId", "name", "parent"} and set(put.required) == {"petId", "name"}
    listed = tools["listed"]
    assert listed.properties["body"]["type"] == "array"
    assert listed.output["properties"]["result"]["items"]["properties"]["name"] == {"type": "string"}
    assert [rejection.reason for rejection in rejections] == ["bad_reference"]


def test_openapi_2_is_refused_with_a_reason(tmp_path):
    _, rejections = curate(tmp_path, {"swagger": "2.0", "paths": {}})
    assert [rejection.reason for rejection in rejections] == ["not_openapi_3"]


def test_references_end():
    document = {"$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}}
    found = dereferenced({"$ref": "#/$defs/node"}, document)
    assert found == {"type": "object", "properties": {"next": {"type": "object"}}}
    wide = {
        "$defs": {
            f"d{n}": {"properties": {f"p{k}": {"$ref": f"#/$defs/d{n + 1}"} for k in range(30)}}
            for n in range(9)
        }
    }
    wide["$defs"]["d9"] = {"type": "string"}
    assert len(json.dumps(dereferenced({"$ref": "#/$defs/d0"}, wide))) < 1_000_000
    for broken in ("#/$defs/none", "other.json#/x"):
        with pytest.raises(UnusableError, match="bad_reference"):
            dereferenced({"$ref": broken}, document)


def test_mcp(tmp_path):
    schema = {
        "type": "object",
        "properties": {"city": {"$ref": "#/$defs/City"}},
        "$defs": {"City": {"type": "string"}},
    }
    output = {"type": "object", "properties": {"t": {"type": "number"}}}
    listed = [
        {"name": "weather", "title": "Weather", "inputSchema": schema, "outputSchema": output},
        {"name": "ping", "description": "Says pong", "inputSchema": {"type": "object"}},
        {"name": "broken", "description": "no schema"},
    ]
    for content in ({"tools": listed}, {"jsonrpc": "2.0", "id": 1, "result": {"tools": listed}}):
        tools, rejections = curate(tmp_path, content)
        assert tools["weather"].properties == {"city": {"type": "string"}}
        assert tools["weather"].description == "Weather"
        assert tools["weather"].output["properties"] == {"t": {"type": "number"}}
        assert tools["ping"].properties == {}
        assert [(r.reason, r.name) for r in rejections] == [("not_a_tool", "broken")]


def test_bfcl_rows_and_function_documents(tmp_path):
    parameters = {
        "type": "dict",
        "properties": {
            "at": {"type": "tuple", "items": {"type": "float"}},
            "map": {"type": "HashMap"},
            "long": {"type": "long"},
            "any": {"type": "any"},
            "unit": {"type": "string", "enum": ["m", "km"], "default": "m"},
        },
        "required": ["at"],
    }
    function = {"name": "geo.distance", "description": "How far", "parameters": parameters}
    row = {"id": "simple_0", "question": [[{"role": "user", "content": "…"}]], "function": [function]}
    (tool,) = curate(tmp_path, json.dumps(row) + "\n" + json.dumps(row), "rows.json")[0].values()
    assert (tool.name, tool.domain) == ("geo_distance", "geo")
    kinds = {name: schema["type"] for name, schema in tool.properties.items()}
    assert kinds == {"at": "array", "map": "object", "long": "integer", "any": "string", "unit": "string"}
    assert tool.properties["at"]["items"] == {"type": "number"}
    document = function | {"response": {"type": "dict", "properties": {"metres": {"type": "float"}}}}
    (tool,) = curate(tmp_path, json.dumps(document), "docs.jsonl")[0].values()
    assert tool.output["properties"] == {"metres": {"type": "number"}}
    (tool,) = curate(tmp_path, [{"type": "function", "function": function}])[0].values()
    assert tool.name == "geo_distance"


def test_acebench(tmp_path):
    function = {
        "name": "Trip.plan",
        "description": "Plans a trip",
        "arguments": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        "results": {"type": "object", "properties": {"trip_id": {"type": "string"}}},
        "tags": ["旅游-规划-Planner"],
    }
    (tool,) = curate(tmp_path, {"id": "n_0", "question": "user: …", "function": [function]})[0].values()
    assert tool.required == ("city",) and tool.domain == "旅游" and tool.licence == "MIT"
    assert tool.output["properties"] == {"trip_id": {"type": "string"}}


SOURCE = '''
import os
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Literal, Optional
raise SystemExit("this file must never be run")

class Level(Enum):
    LOW = "low"
    HIGH = "high"

@dataclass
class Order:
    order_id: str
    total: float = 0.0

def find_orders(customer: str, limit: int = 10, *, level: Level = None, tags: list[str] | None = None,
                unit: Literal["g", "kg"] = "g", **more) -> list[Order]:
    """Find orders
    of a customer.

    Args:
        customer (str): Who ordered,
            by name.
        limit: At most so many.

    Returns:
        The orders.
    """

async def get_total(order: Order, rate: "Optional[float]" = None) -> float:
    """The total.

    :param order: which one
    :param rate: of exchange
    """

def numpy_style(x, y="a"):
    """Adds.

    Parameters
    ----------
    x : int
        The one.
    y
        The other.
    """

def unknown(thing: Elsewhere):
    """Takes what nobody knows."""

def silent(x: int): ...
def _private(x: int):
    """Not for others."""

class Shop:
    @property
    def size(self):
        """No call."""
    @staticmethod
    def now() -> str:
        """The time."""
    def close(self, hard: bool = False) -> None:
        """Close it."""
'''


def test_python_files_are_read_and_never_run(tmp_path):
    tools, rejections = curate(tmp_path, SOURCE, "shop.py")
    find = tools["find_orders"]
    assert find.description == "Find orders of a customer." and find.required == ("customer",)
    assert find.properties["customer"] == {"type": "string", "description": "Who ordered, by name."}
    assert find.properties["limit"] == {"type": "integer", "description": "At most so many.", "default": 10}
    assert find.properties["level"]["enum"] == ["low", "high"]
    assert find.properties["tags"]["type"] == "array" and find.properties["unit"]["default"] == "g"
    orders = find.output["properties"]["orders"]
    assert (
        orders["items"]["properties"]["order_id"] == {"type": "string"}
        and orders["description"] == "The orders."
    )
    total = tools["get_total"]
    assert (
        total.properties["order"]["required"] == ["order_id"] and total.properties["rate"]["type"] == "number"
    )
    assert total.output["properties"]["total"] == {"type": "number"}
    assert tools["numpy_style"].properties["x"] == {"type": "integer", "description": "The one."}
    assert tools["numpy_style"].properties["y"]["default"] == "a"
    assert set(tools) == {"find_orders", "get_total", "numpy_style", "Shop_now", "Shop_close"}
    assert set(tools["Shop_close"].properties) == {"hard"} and find.domain == "shop"
    assert [(r.name, r.reason) for r in rejections] == [
        ("unknown", "bad_schema"),
        ("silent", "no_description"),
    ]


def test_a_broken_python_file_is_a_rejection(tmp_path):
    _, rejections = curate(tmp_path, "def broken(:\n", "broken.py")
    assert [rejection.reason for rejection in rejections] == ["not_python"]


def test_docstrings_without_sections():
    assert parse_docstring(None).description == ""
    assert parse_docstring("One.\n\nTwo: three.").description == "One. Two: three."


def test_curated_tools_come_back_as_they_are(tmp_path):
    catalogue = load_catalogue()
    lines = "".join(json.dumps(tool.to_record(), ensure_ascii=False) + "\n" for tool in catalogue.values())
    tools, rejections = curate(tmp_path, lines, "tools.jsonl", Limits(10, 1, 1, True))
    assert tools == catalogue and not rejections


@pytest.mark.parametrize("chunk", [1, 2, 7, 64])
def test_json_is_read_as_a_stream_whatever_the_chunks(tmp_path, chunk, monkeypatch):
    monkeypatch.setattr("data_synth.tools.importers.items._CHUNK", chunk)
    path = tmp_path / "x.json"
    values = [{"a": [1, "],"]}, {}, {"b": 'é"\\'}, 12, 345, "x"]
    path.write_text(
        "\ufeff " + json.dumps(values) + "\n" + json.dumps({"c": 1}) + " [ ] 67 ", encoding="utf-8"
    )
    assert [item.value for item in read_items(path)] == [*values, {"c": 1}, 67]


@pytest.mark.parametrize("text", ["[1, 2", "[1 2]", "{", '{"a": tru}', "[1,, 2]", "nonsense"])
def test_broken_json_says_so(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UnusableError, match="not_json"):
        list(read_items(path))


def test_a_file_that_breaks_off_gives_the_tools_before(tmp_path):
    function = json.dumps({"name": "f", "description": "Does", "parameters": {}})
    tools, rejections = curate(tmp_path, f"[{function}, {{")
    assert list(tools) == ["f"] and [rejection.reason for rejection in rejections] == ["not_json"]


@pytest.mark.parametrize(("folder", "least"), [("stabletoolbench", 2_000), ("acebench", 4_000)])
def test_the_published_files(folder, least):
    path = SHARED / "data" / folder
    if not path.is_dir():
        pytest.skip(f"no {folder} in ../shared/data or $MAGIC_SHARED/data")
    curation = Curation(Collection(LIMITS, None), "auto")
    reasons = {rejection.reason for rejection in curation.read([str(path)])}
    tools = curation.collection.tools
    assert len(tools) > least and reasons <= {"duplicate", "no_description", "too_long"}
    for tool in list(tools.values())[::20]:
        Draft202012Validator.check_schema(tool.parameters)
        Draft202012Validator.check_schema(tool.output)
    assert {tool.licence for tool in tools.values()} == {
        "Apache-2.0" if folder == "stabletoolbench" else "MIT"
    }
