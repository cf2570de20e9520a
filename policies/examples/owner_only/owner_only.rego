# Owner only: `/users/{id}` and what is below it belong to the user whose subject is that id. Support may read them.
#
#     policy: {path: policies/examples/owner_only, decision: examples/owner_only/decision}
package examples.owner_only

import rego.v1

decision := {"allow": true, "reasons": ["owner"]} if {
	is_owner
} else := {"allow": true, "reasons": ["support"]} if {
	is_support
	input.request.method in {"GET", "HEAD"}
} else := {
	"allow": false,
	"reasons": ["not-the-owner"],
	"public_reason": "Only its owner may open this page.",
}

# Segments are decoded once, as the upstream decodes them: `/users/%61na` would have been refused before it came here.
is_owner if {
	input.principal.kind == "user"
	input.principal.issuer == "corp"
	input.request.path_segments[0] == "users"
	input.request.path_segments[1] == input.principal.id
}

is_support if {
	input.principal.kind == "user"
	input.principal.issuer == "corp"
	"support" in input.principal.groups
	input.request.path_segments[0] == "users"
}
