"""The built-in tools: schemas, phrases and effects of every one, and what the notation refuses."""

import copy
import re
import time
from collections import Counter
from pathlib import Path
from random import Random

import jsonschema
import pytest
import yaml

from data_synth.package_data import read_yaml
from data_synth.simulator.values import sample_arguments, spoken
from data_synth.simulator.vocabulary import vocabulary
from data_synth.tools import catalogue
from data_synth.tools.catalogue import load_catalogue, loader
from data_synth.tools.catalogue.fields import CatalogueError
from data_synth.tools.tool import KIND

TOOLS = load_catalogue()
FOLDER = Path(catalogue.__file__).parent
SHARED = yaml.safe_load((FOLDER / "_shared.yaml").read_text("utf-8"))
EXAMPLE = yaml.safe_load(
    re.search("```yaml\n(.*?)```", (FOLDER / "README.md").read_text("utf-8"), re.DOTALL)[1]
)
PLACEHOLDER = re.compile(r"\{(\w+)\}")
LANGUAGES = {"en": 3, "zh": 2}

DOMAINS: dict[str, list] = {}
for _tool in TOOLS.values():
    DOMAINS.setdefault(_tool.domain, []).append(_tool)

every_domain = pytest.mark.parametrize("domain", DOMAINS)


def schemas(schema):
    yield schema
    for inner in schema.get("properties", {}).values():
        yield from schemas(inner)
    if "items" in schema:
        yield from schemas(schema["items"])


def kinds(schema):
    return {inner[KIND] for inner in schemas(schema) if KIND in inner}


def phrases(tool, language):
    return [tool.hints["step"][language], *tool.hints["ask"][language]]


def test_there_are_enough_tools_and_domains():
    assert len(TOOLS) >= 330
    sizes = Counter(tool.domain for tool in TOOLS.values())
    assert len(sizes) >= 28
    assert min(sizes.values()) >= 8


def test_loading_is_fast_and_gives_a_copy():
    loader._load.cache_clear()
    start = time.process_time()
    first = load_catalogue()
    assert time.process_time() - start < 0.5
    first.clear()
    assert list(load_catalogue()) == list(TOOLS)


def test_files_read_the_same_without_libyaml():
    for path in sorted(FOLDER.glob("*.yaml")):
        assert yaml.safe_load(path.read_text("utf-8")) == read_yaml("data_synth.tools.catalogue", path.name)


@every_domain
def test_schemas_are_valid(domain):
    for tool in DOMAINS[domain]:
        assert re.fullmatch(r"[a-z][a-z0-9_]{2,63}", tool.name)
        for schema in (tool.parameters, tool.output):
            jsonschema.Draft202012Validator.check_schema(schema)
            assert schema["type"] == "object"
            assert set(schema["required"]) <= set(schema["properties"])
            assert all(inner.get("description") for inner in schema["properties"].values())
        assert len(tool.required) <= 5
        assert len(tool.properties) <= 8
        assert "x-" not in str(tool.to_openai())


@every_domain
def test_descriptions_name_inputs_and_outputs(domain):
    for tool in DOMAINS[domain]:
        for name in (*tool.properties, *tool.output["properties"]):
            assert name in tool.description, tool.name
        labels = [label["zh"] for name, label in tool.hints["label"].items() if name in tool.properties]
        assert all(label in tool.hints["description_zh"] for label in labels), tool.name


@every_domain
@pytest.mark.parametrize("language", LANGUAGES)
def test_phrases_name_exactly_the_required_parameters(domain, language):
    for tool in DOMAINS[domain]:
        assert len(tool.hints["ask"][language]) >= LANGUAGES[language], tool.name
        wordings = {PLACEHOLDER.sub("", phrase).strip().lower() for phrase in phrases(tool, language)}
        assert len(wordings) == len(phrases(tool, language)), tool.name
        for phrase in phrases(tool, language):
            assert sorted(PLACEHOLDER.findall(phrase)) == sorted(tool.required), f"{tool.name}: {phrase}"
            assert "{" not in PLACEHOLDER.sub("", phrase)


@every_domain
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_parameter_has_words(domain, language):
    for tool in DOMAINS[domain]:
        assert list(tool.hints["optional"]) == [name for name in tool.properties if name not in tool.required]
        for name, fragments in tool.hints["optional"].items():
            flag = tool.properties[name]["type"] == "boolean"
            assert PLACEHOLDER.findall(fragments[language]) == ([] if flag else [name]), (
                f"{tool.name}: {name}"
            )
        for name, schema in tool.properties.items():
            noun, question = (tool.hints[key][name][language] for key in ("noun", "ask_for"))
            assert noun and "{" not in noun, f"{tool.name}: {name}"
            assert {"en": "?", "zh": "？"}[language] in question, f"{tool.name}: {name}"
            words = tool.hints["words"].get(name, {}).get(language, {})
            assert not words or list(words) == schema["enum"]


@every_domain
def test_chinese_phrases_never_run_two_values_together(domain):
    for tool in DOMAINS[domain]:
        arguments = sample_arguments(tool, tool.properties, Random(tool.name), "zh")
        said = {
            name: spoken(value, "zh", tool.hints["words"].get(name, {}).get("zh"))
            for name, value in arguments.items()
        }
        for phrase in phrases(tool, "zh"):
            for left, right in re.findall(r"\{(\w+)\}(?=\{(\w+)\})", phrase):
                assert not (said[left][-1].isascii() and said[right][0].isascii()), f"{tool.name}: {phrase}"


def test_every_kind_has_values():
    known = set(vocabulary("en"))
    for tool in TOOLS.values():
        for schema in (*schemas(tool.parameters), *schemas(tool.output)):
            kind = schema.get(KIND)
            if schema.get("type") != "string" or "enum" in schema or "format" in schema:
                continue
            assert kind, f"{tool.name}: a text without a kind"
            assert kind in known or kind.endswith("_id") or kind == "time", (
                f"{tool.name}: {kind} has no values"
            )


def test_every_id_that_is_asked_for_is_given_by_another_tool():
    given: dict[str, set[str]] = {}
    for tool in TOOLS.values():
        for kind in kinds(tool.output):
            given.setdefault(kind, set()).add(tool.name)
    for tool in TOOLS.values():
        for kind in kinds(tool.parameters):
            if kind.endswith("_id"):
                assert given.get(kind, set()) - {tool.name}, f"{tool.name}: nothing gives {kind}"


def test_effects_are_about_something_that_can_be_found_or_made():
    effects = {tool.name: tool.hints["effect"] for tool in TOOLS.values()}
    sources = {e["entity"] for e in effects.values() if e["action"] in ("create", "list", "search")}
    for name, effect in effects.items():
        tool = TOOLS[name]
        if effect["action"] == "compute":
            assert effect == {"entity": "", "action": "compute", "id": ""}
            continue
        assert effect["entity"] in sources, name
        if effect["action"] in ("get", "update", "delete"):
            assert effect["id"] in tool.required, name
        else:
            assert any(effect["id"] in s.get("properties", {}) for s in schemas(tool.output)), name


def test_domains_share_kinds():
    domains: dict[str, set[str]] = {}
    for tool in TOOLS.values():
        for kind in kinds(tool.parameters):
            domains.setdefault(kind, set()).add(tool.domain)
    for kind in ("city", "date", "time", "person_name", "email", "address", "phone"):
        assert len(domains[kind]) >= 5, kind


def test_the_readmes_example_is_a_tool():
    (tool,) = loader.expand({"hotels": EXAMPLE}, SHARED).values()
    assert tool.required == ("city", "check_in")
    assert (
        tool.output["properties"]["hotels"]["items"]["required"]
        == EXAMPLE["entities"]["hotel"]["fields"].split()
    )
    assert tool.hints["effect"] == {"entity": "hotel", "action": "search", "id": "hotel_id"}
    assert tool.hints["optional"] == {
        "max_price": {"en": "under {max_price} a night", "zh": "不超过{max_price}"}
    }
    assert tool.properties["check_in"][KIND] == "date"
    assert tool.description.endswith(
        "Returns hotels (each with hotel_id, hotel_name, city and price_per_night)."
    )
    assert tool.hints["description_zh"].endswith("返回：酒店列表（酒店编号、酒店名称、城市、每晚价格）。")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["tools"]["search_hotels"].update(takes="town"), "field town: not defined"),
        (lambda d: d["tools"]["search_hotels"].pop("zh"), "key zh is missing"),
        (lambda d: d["tools"]["search_hotels"].update(colour="red"), "key colour is missing or unknown"),
        (lambda d: d["tools"]["search_hotels"].update(effect="buy hotel"), "effect buy"),
        (lambda d: d["tools"]["search_hotels"].update(effect="search inn"), "no entity inn"),
        (lambda d: d["fields"]["check_in"].pop("zh"), "field check_in: no zh"),
        (lambda d: d["fields"]["check_in"].update(minimum=3), "unknown key minimum"),
    ],
)
def test_mistakes_are_named(change, message):
    domain = copy.deepcopy(EXAMPLE)
    change(domain)
    with pytest.raises(CatalogueError, match=re.escape(message)) as caught:
        loader.expand({"hotels": domain}, SHARED)
    assert "hotels.yaml: search_hotels" in str(caught.value)


@pytest.mark.parametrize("part", ["tools", "entities"])
def test_two_domains_cannot_have_one_name(part):
    other = {"entities": {}, "tools": {}} | {part: EXAMPLE[part]}
    with pytest.raises(CatalogueError, match="rename one"):
        loader.expand({"hotels": EXAMPLE, "inns": other | {"fields": EXAMPLE["fields"]}}, SHARED)
