"""JSON, YAML, Base64 and queries are read and written as OPA does."""

from __future__ import annotations

from tests.opa import OPAServer
from tests.policy.builtins.judged import Cases, agrees, is_stricter
from tests.policy.reference import FAILS

CASES: Cases = [
    ('json.is_valid("{}")', True),
    ('json.is_valid("nope")', False),
    ('json.is_valid("NaN")', False),
    ('json.is_valid("1e999")', True),
    ('json.is_valid(" [1,2] ")', True),
    ('json.is_valid("[1,]")', False),
    (r'json.is_valid("\"\t\"")', False),
    ('json.is_valid("")', False),
    ('json.is_valid("01")', False),
    (r'json.is_valid("\"\\ud800\"")', True),
    (
        r'json.marshal({"b": [1, 2.5, null, true], "a": "<é&>\u2028\"\\\n\t\u0001\u007f\b\f"})',
        '{"a":"\\u003cé\\u0026\\u003e\\u2028\\"\\\\\\n\\t\\u0001\x7f\\b\\f","b":[1,2.5,null,true]}',
    ),
    ("json.marshal({1, 2, 3})", "[1,2,3]"),
    ('json.marshal({"a": {"x"}})', '{"a":["x"]}'),
    ("json.marshal({})", "{}"),
    ("json.marshal([])", "[]"),
    ('json.marshal("x/y")', '"x/y"'),
    (
        'json.marshal_with_options({"a": [1, {}], "b": []}, {"pretty": true})',
        '{\n\t"a": [\n\t\t1,\n\t\t{}\n\t],\n\t"b": []\n}',
    ),
    (
        'json.marshal_with_options({"a": [1, {"x": 1}], "b": []}, {"indent": "  ", "prefix": "> "})',
        '> {\n>   "a": [\n>     1,\n>     {\n>       "x": 1\n>     }\n>   ],\n>   "b": []\n> }',
    ),
    ('json.marshal_with_options({"a": [1]}, {"pretty": false, "indent": "  "})', '{"a":[1]}'),
    ('json.marshal_with_options({"a": [1]}, {})', '{"a":[1]}'),
    ('json.marshal_with_options({"a": [1]}, {"x": 1})', FAILS),
    ('json.marshal_with_options({"a": [1]}, {"indent": 1})', FAILS),
    ('json.marshal_with_options("a", {"prefix": "> "})', '> "a"'),
    ('yaml.is_valid("a: 1")', True),
    ('yaml.unmarshal("a: [1, x, true, null, 1.5]")', {"a": [1, "x", True, None, 1.5]}),
    ('yaml.unmarshal("{}")', {}),
    ('yaml.unmarshal("")', None),
    ('yaml.unmarshal("a: .5")', {"a": 0.5}),
    ('yaml.unmarshal("a: ~")', {"a": None}),
    (r'yaml.unmarshal("a: |\n  x\n  y\n")', {"a": "x\ny\n"}),
    (r'yaml.unmarshal("a: 1.\n")', {"a": 1}),
    ('yaml.unmarshal("a: !!str 5")', {"a": "5"}),
    (r'yaml.unmarshal("<<: {a: 1}\nb: 2")', {"a": 1, "b": 2}),
    ('yaml.unmarshal("a: +5")', {"a": 5}),
    ('yaml.unmarshal("a: 0.1.2")', {"a": "0.1.2"}),
    ('yaml.unmarshal("a: True")', {"a": True}),
    ('yaml.unmarshal("a: TRUE")', {"a": True}),
    ('yaml.unmarshal("a: NULL")', {"a": None}),
    ('urlquery.encode("a b&c/é~*")', "a+b%26c%2F%C3%A9~%2A"),
    ('urlquery.decode("a+b%26%C3%A9")', "a b&é"),
    ('urlquery.decode("%zz")', FAILS),
    ('urlquery.decode("%")', FAILS),
    ('urlquery.encode_object({"b": "1", "a": ["x", "y z"], "c": {"q", "p"}})', "a=x&a=y+z&b=1&c=p&c=q"),
    ('urlquery.encode_object({"a": 1})', FAILS),
    ('urlquery.encode_object({"a": [1]})', FAILS),
    ("urlquery.encode_object({})", ""),
    ('urlquery.decode_object("a=1&b=2&a=3&c&=x&&d=")', {"": ["x"], "a": ["1", "3"], "b": ["2"], "c": [""], "d": [""]}),
    ('urlquery.decode_object("a=1;b=2")', FAILS),
    ('urlquery.decode_object("a=%zz")', FAILS),
    ('urlquery.decode_object("a=b=c")', {"a": ["b=c"]}),
    ('urlquery.decode_object("")', {}),
    ('base64.is_valid("YQ==")', True),
    ('base64.is_valid("YQ")', False),
    (r'base64.is_valid("YQ==\n")', True),
    ('base64.is_valid("YQ==YQ==")', False),
    ('base64.is_valid("Y===")', False),
]

STRICTER: Cases = [
    ("json.marshal({1: 2})", '{"1":2}'),
    ('yaml.is_valid("a: [")', False),
    ('yaml.unmarshal("a: on")', {"a": "on"}),
    ('yaml.unmarshal("a: 0777")', {"a": 511}),
    ('yaml.unmarshal("a: 1e3")', {"a": 1000}),
    ('yaml.unmarshal("1: x")', {"1": "x"}),
    (r'yaml.unmarshal("--- a\n--- b")', "a"),
    (r'yaml.unmarshal("a: 1e400\n")', {"a": "1e400"}),
    ('yaml.unmarshal("a: !!binary aGVsbG8=")', {"a": "hello"}),
    ('yaml.unmarshal("a: <<")', {"a": "<<"}),
    ('yaml.unmarshal("a: =")', {"a": "="}),
    ('yaml.unmarshal("a: 1.5e3")', {"a": 1500}),
    ('yaml.unmarshal("a: 12e03")', {"a": 12000}),
    ('urlquery.decode("%ff")', "�"),
]


def test_these_calls_have_the_values_that_opa_gives_them(opa: OPAServer) -> None:
    agrees(opa, CASES)


def test_where_ours_is_stricter_it_fails(opa: OPAServer) -> None:
    is_stricter(opa, STRICTER)
