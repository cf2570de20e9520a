"""JSON schemas: what fits, and in which words it does not."""

from __future__ import annotations

from tests.opa import OPAServer
from tests.policy.builtins.judged import Cases, agrees, is_stricter
from tests.policy.reference import FAILS

CASES: Cases = [
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"type": "string"}}',
        [
            False,
            [
                {
                    "desc": "Invalid type. Expected: string, given: object",
                    "error": "(Root): Invalid type. Expected: string, given: object",
                    "field": "(Root)",
                    "type": "invalid_type",
                }
            ],
        ],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"type": "string"}}', [True, None]),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"type": ["string", "array"]}}',
        [
            False,
            [
                {
                    "desc": "Invalid type. Expected: [string,array], given: object",
                    "error": "(Root): Invalid type. Expected: [string,array], given: object",
                    "field": "(Root)",
                    "type": "invalid_type",
                }
            ],
        ],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"type": ["string", "array"]}}', [True, None]),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"required": ["b", "c"]}}',
        [
            False,
            [
                {"desc": "b is required", "error": "(Root): b is required", "field": "(Root)", "type": "required"},
                {"desc": "c is required", "error": "(Root): c is required", "field": "(Root)", "type": "required"},
            ],
        ],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"required": ["b", "c"]}}', [True, None]),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": 1, "z": 2}, "s": {"properties": {"a": '
        '{"type": "string"}}, "additionalProperties": false}}',
        [
            False,
            [
                {
                    "desc": "Additional property z is not allowed",
                    "error": "(Root): Additional property z is not allowed",
                    "field": "(Root)",
                    "type": "additional_property_not_allowed",
                },
                {
                    "desc": "Invalid type. Expected: string, given: integer",
                    "error": "a: Invalid type. Expected: string, given: integer",
                    "field": "a",
                    "type": "invalid_type",
                },
            ],
        ],
    ),
    (
        'json.verify_schema(input.s) ;; {"s": {"properties": {"a": {"type": "string"}}, '
        '"additionalProperties": false}}',
        [True, None],
    ),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": {"b": [1, "x"]}}, "s": {"properties": '
        '{"a": {"properties": {"b": {"items": {"type": "integer"}}}}}}}',
        [
            False,
            [
                {
                    "desc": "Invalid type. Expected: integer, given: string",
                    "error": "a.b.1: Invalid type. Expected: integer, given: string",
                    "field": "a.b.1",
                    "type": "invalid_type",
                }
            ],
        ],
    ),
    (
        'json.verify_schema(input.s) ;; {"s": {"properties": {"a": {"properties": {"b": {"items": '
        '{"type": "integer"}}}}}}}',
        [True, None],
    ),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": "x"}, "s": {"properties": {"a": {"enum": ["y", 1]}}}}',
        [
            False,
            [
                {
                    "desc": 'a must be one of the following: "y", 1',
                    "error": 'a: a must be one of the following: "y", 1',
                    "field": "a",
                    "type": "enum",
                }
            ],
        ],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"properties": {"a": {"enum": ["y", 1]}}}}', [True, None]),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": "x"}, "s": {"properties": {"a": {"const": "y"}}}}',
        [
            False,
            [{"desc": 'a does not match: "y"', "error": 'a: a does not match: "y"', "field": "a", "type": "const"}],
        ],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"properties": {"a": {"const": "y"}}}}', [True, None]),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": "x"}, "s": {"enum": [{"a": "y"}]}}',
        [
            False,
            [
                {
                    "desc": '(Root) must be one of the following: {"a":"y"}',
                    "error": '(Root): (Root) must be one of the following: {"a":"y"}',
                    "field": "(Root)",
                    "type": "enum",
                }
            ],
        ],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"enum": [{"a": "y"}]}}', [True, None]),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": "x"}, "s": {"properties": {"a": '
        '{"minLength": 2, "maxLength": 0}}}}',
        FAILS,
    ),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": 5}, "s": {"properties": {"a": '
        '{"minimum": 6, "maximum": 3}}}}',
        [
            False,
            [
                {
                    "desc": "Must be less than or equal to 3",
                    "error": "a: Must be less than or equal to 3",
                    "field": "a",
                    "type": "number_lte",
                },
                {
                    "desc": "Must be greater than or equal to 6",
                    "error": "a: Must be greater than or equal to 6",
                    "field": "a",
                    "type": "number_gte",
                },
            ],
        ],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"properties": {"a": {"minimum": 6, "maximum": 3}}}}', [True, None]),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": 5.5}, "s": {"properties": {"a": '
        '{"minimum": 6, "type": "integer"}}}}',
        [
            False,
            [
                {
                    "desc": "Invalid type. Expected: integer, given: number",
                    "error": "a: Invalid type. Expected: integer, given: number",
                    "field": "a",
                    "type": "invalid_type",
                }
            ],
        ],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"properties": {"a": {"minimum": 6, "type": "integer"}}}}', [True, None]),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": [1, 2]}, "s": {"properties": {"a": '
        '{"minItems": 3, "maxItems": 1}}}}',
        [
            False,
            [
                {
                    "desc": "Array must have at least 3 items",
                    "error": "a: Array must have at least 3 items",
                    "field": "a",
                    "type": "array_min_items",
                },
                {
                    "desc": "Array must have at most 1 items",
                    "error": "a: Array must have at most 1 items",
                    "field": "a",
                    "type": "array_max_items",
                },
            ],
        ],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"properties": {"a": {"minItems": 3, "maxItems": 1}}}}', [True, None]),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": 1.0}, "s": {"properties": {"a": {"type": "integer"}}}}',
        [True, []],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"properties": {"a": {"type": "integer"}}}}', [True, None]),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": true}, "s": {"properties": {"a": {"type": "number"}}}}',
        [
            False,
            [
                {
                    "desc": "Invalid type. Expected: number, given: boolean",
                    "error": "a: Invalid type. Expected: number, given: boolean",
                    "field": "a",
                    "type": "invalid_type",
                }
            ],
        ],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"properties": {"a": {"type": "number"}}}}', [True, None]),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": null}, "s": {"properties": {"a": {"type": "object"}}}}',
        [
            False,
            [
                {
                    "desc": "Invalid type. Expected: object, given: null",
                    "error": "a: Invalid type. Expected: object, given: null",
                    "field": "a",
                    "type": "invalid_type",
                }
            ],
        ],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"properties": {"a": {"type": "object"}}}}', [True, None]),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": [1]}, "s": {"properties": {"a": {"type": "boolean"}}}}',
        [
            False,
            [
                {
                    "desc": "Invalid type. Expected: boolean, given: array",
                    "error": "a: Invalid type. Expected: boolean, given: array",
                    "field": "a",
                    "type": "invalid_type",
                }
            ],
        ],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"properties": {"a": {"type": "boolean"}}}}', [True, None]),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 5}, "s": {"minimum": 6}}', [True, []]),
    ('json.verify_schema(input.s) ;; {"s": {"minimum": 6}}', [True, None]),
    (
        'json.match_schema(input.d, input.s) ;; {"d": [5], "s": {"items": {"type": "string"}}}',
        [
            False,
            [
                {
                    "desc": "Invalid type. Expected: string, given: integer",
                    "error": "0: Invalid type. Expected: string, given: integer",
                    "field": "0",
                    "type": "invalid_type",
                }
            ],
        ],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"items": {"type": "string"}}}', [True, None]),
    (
        'json.match_schema(input.d, input.s) ;; {"d": [5], "s": {"type": "object"}}',
        [
            False,
            [
                {
                    "desc": "Invalid type. Expected: object, given: array",
                    "error": "(Root): Invalid type. Expected: object, given: array",
                    "field": "(Root)",
                    "type": "invalid_type",
                }
            ],
        ],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"type": "object"}}', [True, None]),
    (r'json.match_schema(input.d, input.s) ;; {"d": "{\"a\":1}", "s": {"type": "object"}}', [True, []]),
    (
        'json.match_schema(input.d, input.s) ;; {"d": "5", "s": {"type": "object"}}',
        [
            False,
            [
                {
                    "desc": "Invalid type. Expected: object, given: integer",
                    "error": "(Root): Invalid type. Expected: object, given: integer",
                    "field": "(Root)",
                    "type": "invalid_type",
                }
            ],
        ],
    ),
    ('json.match_schema(input.d, input.s) ;; {"d": "x", "s": {"type": "object"}}', FAILS),
    (r'json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": "{\"type\":\"object\"}"}', [True, []]),
    (r'json.verify_schema(input.s) ;; {"s": "{\"type\":\"object\"}"}', [True, None]),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": "x"}', FAILS),
    ('json.match_schema(input.d, input.s) ;; {"d": 5, "s": {"type": "object"}}', FAILS),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"type": 5}}', FAILS),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"type": "what"}}', FAILS),
    (
        'json.verify_schema(input.s) ;; {"s": {"type": "what"}}',
        [
            False,
            "jsonschema: has a primitive type that is NOT VALID -- given: /what/ Expected valid values "
            "are:[array boolean integer number null object string]",
        ],
    ),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"properties": 5}}', FAILS),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"required": "a"}}', FAILS),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"minimum": "a"}}', FAILS),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"required": ["a", "a"]}}', FAILS),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"enum": []}}',
        [
            False,
            [
                {
                    "desc": "(Root) must be one of the following: ",
                    "error": "(Root): (Root) must be one of the following: ",
                    "field": "(Root)",
                    "type": "enum",
                }
            ],
        ],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"enum": []}}', [True, None]),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"enum": [1, 1]}}', FAILS),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"minLength": -1}}', FAILS),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"minLength": 3, "maxLength": 2}}', FAILS),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"type": []}}', [True, []]),
    ('json.verify_schema(input.s) ;; {"s": {"type": []}}', [True, None]),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"type": ["string", "string"]}}', FAILS),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"title": 5}}', FAILS),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": []}', FAILS),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"minimum": 5, "maximum": 3}}', [True, []]),
    ('json.verify_schema(input.s) ;; {"s": {"minimum": 5, "maximum": 3}}', [True, None]),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"minItems": 5, "maxItems": 3}}', [True, []]),
    ('json.verify_schema(input.s) ;; {"s": {"minItems": 5, "maxItems": 3}}', [True, None]),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"additionalProperties": 5}}', FAILS),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"items": 5}}', FAILS),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": "x"}, "s": {"properties": {"a": {"const": null}}}}',
        [
            False,
            [{"desc": "a does not match: null", "error": "a: a does not match: null", "field": "a", "type": "const"}],
        ],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"properties": {"a": {"const": null}}}}', [True, None]),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": 1.5}, "s": {"properties": {"a": {"minimum": 1.75}}}}',
        [
            False,
            [
                {
                    "desc": "Must be greater than or equal to 1.75",
                    "error": "a: Must be greater than or equal to 1.75",
                    "field": "a",
                    "type": "number_gte",
                }
            ],
        ],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"properties": {"a": {"minimum": 1.75}}}}', [True, None]),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a": "é"}, "s": {"properties": {"a": {"maxLength": 1}}}}',
        [True, []],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"properties": {"a": {"maxLength": 1}}}}', [True, None]),
    (
        'json.match_schema(input.d, input.s) ;; {"d": {"a b": {"": 1}}, "s": {"properties": {"a '
        'b": {"properties": {"": {"type": "string"}}}}}}',
        [
            False,
            [
                {
                    "desc": "Invalid type. Expected: string, given: integer",
                    "error": "a b.: Invalid type. Expected: string, given: integer",
                    "field": "a b.",
                    "type": "invalid_type",
                }
            ],
        ],
    ),
    (
        'json.verify_schema(input.s) ;; {"s": {"properties": {"a b": {"properties": {"": {"type": "string"}}}}}}',
        [True, None],
    ),
]

STRICTER: Cases = [
    (
        'json.verify_schema(input.s) ;; {"s": {"properties": {"a": {"minLength": 2, "maxLength": 0}}}}',
        [False, "jsonschema: minLength cannot be greater than maxLength"],
    ),
    ('json.verify_schema(input.s) ;; {"s": "x"}', [False, "jsonschema: invalid JSON string"]),
    (
        'json.verify_schema(input.s) ;; {"s": {"type": 5}}',
        [False, "jsonschema: Invalid type. Expected: type, given: string/Array Of Strings"],
    ),
    (
        'json.verify_schema(input.s) ;; {"s": {"properties": 5}}',
        [False, "jsonschema: Properties must be of type object"],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"required": "a"}}', [False, "jsonschema: required must be of an array"]),
    ('json.verify_schema(input.s) ;; {"s": {"minimum": "a"}}', [False, "jsonschema: minimum must be of a Number"]),
    (
        'json.verify_schema(input.s) ;; {"s": {"required": ["a", "a"]}}',
        [False, "jsonschema: required items must be unique"],
    ),
    ('json.verify_schema(input.s) ;; {"s": {"enum": [1, 1]}}', [False, "jsonschema: enum items must be unique"]),
    (
        'json.verify_schema(input.s) ;; {"s": {"minLength": -1}}',
        [False, "jsonschema: minLength must be greater than or equal to 0"],
    ),
    (
        'json.verify_schema(input.s) ;; {"s": {"minLength": 3, "maxLength": 2}}',
        [False, "jsonschema: minLength cannot be greater than maxLength"],
    ),
    (
        'json.verify_schema(input.s) ;; {"s": {"type": ["string", "string"]}}',
        [False, "jsonschema: string type is duplicated"],
    ),
    ('json.match_schema(input.d, input.s) ;; {"d": {"a": 1}, "s": {"unknown": 1}}', [True, []]),
    ('json.verify_schema(input.s) ;; {"s": {"unknown": 1}}', [True, None]),
    (
        'json.verify_schema(input.s) ;; {"s": {"title": 5}}',
        [False, "jsonschema: Invalid type. Expected: string, given: title"],
    ),
    ('json.verify_schema(input.s) ;; {"s": []}', [False, "jsonschema: schema is invalid"]),
    (
        'json.verify_schema(input.s) ;; {"s": {"additionalProperties": 5}}',
        [False, "jsonschema: Invalid type. Expected: boolean/Valid Schema, given: additionalProperties"],
    ),
    (
        'json.verify_schema(input.s) ;; {"s": {"items": 5}}',
        [False, "jsonschema: Invalid type. Expected: Valid Schema/Array Of Schemas, given: items"],
    ),
]


def test_these_calls_have_the_values_that_opa_gives_them(opa: OPAServer) -> None:
    agrees(opa, CASES)


def test_where_ours_is_stricter_it_fails(opa: OPAServer) -> None:
    is_stricter(opa, STRICTER)
