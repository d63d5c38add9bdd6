"""The compiled check says what jsonschema says."""

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from data_synth.simulator.conforms import canonical, compile_schema, same

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.0, 1.0, 1.5, -2.0])
    | st.sampled_from(["", "a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=6,
)
TYPES = st.sampled_from(["string", "number", "integer", "boolean", "array", "object", "null"])
LEAF_SCHEMAS = st.fixed_dictionaries(
    {},
    optional={
        "type": TYPES | st.lists(TYPES, min_size=1, max_size=2, unique=True),
        "enum": st.lists(VALUES, min_size=1, max_size=3),
        "const": VALUES,
        "minimum": st.integers(-2, 2),
        "maximum": st.integers(-2, 2),
        "minLength": st.integers(0, 1),
        "description": st.just("text"),
        "x-kind": st.just("kind"),
    },
)
SCHEMAS = st.recursive(
    LEAF_SCHEMAS,
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES,
            "properties": st.dictionaries(st.sampled_from("xyz"), inner, max_size=2),
            "required": st.lists(st.sampled_from("xyz"), max_size=2, unique=True),
            "additionalProperties": st.booleans() | inner,
            "items": inner,
            "minItems": st.integers(0, 2),
            "maxItems": st.integers(0, 2),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
        },
    ),
    max_leaves=5,
)


@settings(max_examples=600, deadline=None)
@given(SCHEMAS, VALUES)
def test_the_same_verdict_as_jsonschema(schema, value):
    assert compile_schema(schema)(value) == jsonschema.Draft202012Validator(schema).is_valid(value)


@settings(max_examples=300, deadline=None)
@given(VALUES, VALUES)
def test_sameness_is_that_of_jsonschemas_const(a, b):
    assert same(a, b) == jsonschema.Draft202012Validator({"const": b}).is_valid(a)
    if canonical(a) == canonical(b):
        assert same(a, b)
