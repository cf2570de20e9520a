"""The built-ins that answer equal questions equally, whenever and wherever they are asked.

It is a list of what is known, for both engines: a decision that calls anything else is not remembered. Left out are,
of OPA's, whatever looks at a clock, a network, chance or the server (`io.jwt.decode_verify` compares `exp` with now,
and so does the verification of certificates), and what is called for its side effect (`print`, `trace`).
"""

from __future__ import annotations

from typing import Final

_NAMES: Final = """
    abs ceil floor round format_int numbers.range numbers.range_step to_number rem
    plus minus mul div eq neq equal lt lte gt gte assign and or set_diff internal.member_2 internal.member_3
    internal.template_string
    bits.and bits.lsh bits.negate bits.or bits.rsh bits.xor
    all any count max min product sort sum
    array.concat array.flatten array.reverse array.slice intersection union
    object.filter object.get object.keys object.remove object.subset object.union object.union_n
    json.filter json.patch json.remove
    graph.reachable graph.reachable_paths walk
    is_array is_boolean is_null is_number is_object is_set is_string type_name
    cast_array cast_boolean cast_null cast_object cast_set cast_string
    concat contains endswith indexof indexof_n lower replace split sprintf startswith substring upper
    strings.any_prefix_match strings.any_suffix_match strings.count strings.render_template strings.replace_n
    strings.reverse strings.split_n
    trim trim_left trim_prefix trim_right trim_space trim_suffix
    glob.match glob.quote_meta regex.find_all_string_submatch_n regex.find_n regex.globs_match regex.is_valid
    regex.match regex.replace regex.split regex.template_match re_match
    base64.decode base64.encode base64.is_valid base64url.decode base64url.encode base64url.encode_no_pad
    hex.decode hex.encode json.is_valid json.marshal json.marshal_with_options json.unmarshal
    urlquery.decode urlquery.decode_object urlquery.encode urlquery.encode_object
    yaml.is_valid yaml.marshal yaml.unmarshal
    crypto.hmac.equal crypto.hmac.md5 crypto.hmac.sha1 crypto.hmac.sha256 crypto.hmac.sha512
    crypto.md5 crypto.sha1 crypto.sha256 crypto.x509.parse_certificate_request crypto.x509.parse_certificates
    io.jwt.decode io.jwt.verify_eddsa io.jwt.verify_es256 io.jwt.verify_es384 io.jwt.verify_es512
    io.jwt.verify_hs256 io.jwt.verify_hs384 io.jwt.verify_hs512 io.jwt.verify_ps256 io.jwt.verify_ps384
    io.jwt.verify_ps512 io.jwt.verify_rs256 io.jwt.verify_rs384 io.jwt.verify_rs512
    net.cidr_contains net.cidr_contains_matches net.cidr_expand net.cidr_intersects net.cidr_is_valid net.cidr_merge
    net.cidr_overlap
    semver.compare semver.is_valid units.parse units.parse_bytes uri.is_valid uri.parse uuid.parse
    time.add_date time.clock time.date time.diff time.format time.parse_duration_ns time.parse_ns
    time.parse_rfc3339_ns time.weekday
"""

DETERMINISTIC: Final = frozenset(_NAMES.split())
