# Owner: what is below /users/NAME is NAME's own. Those whom data.json names may read it, too.
package access

import rego.v1

default decision := {
	"allow": false,
	"reasons": ["not-the-owner"],
	"public_reason": "Only its owner may open this.",
}

decision := {"allow": true, "reasons": ["owner"]} if {
	is_owner
} else := {"allow": true, "reasons": ["reader"]} if {
	is_reader
	input.request.method in {"GET", "HEAD"}
}

is_owner if {
	input.principal.kind == "user"
	input.request.path_segments[0] == "users"
	input.request.path_segments[1] == input.principal.id
}

is_reader if {
	some group in data.readers
	group in input.principal.groups
	input.request.path_segments[0] == "users"
}
