# Roles: groups give roles, and roles permit methods below a path. Both are data, in data.json.
package access

import rego.v1

default decision := {
	"allow": false,
	"reasons": ["no-role-permits"],
	"public_reason": "Your role does not permit this.",
}

decision := {"allow": true, "reasons": sort(permitting)} if count(permitting) > 0

held contains role if {
	some group in input.principal.groups
	some role in data.groups[group]
}

permitting contains role if {
	some role in held
	some permission in data.roles[role]
	input.request.method in permission.methods
	input.request.path_segments[0] == permission.below
}
