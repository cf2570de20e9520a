# Roles: the identity provider says which groups a person is in, this policy says what a group may do.
#
#     policy: {path: policies/examples/roles, decision: examples/roles/decision}
package examples.roles

import rego.v1

decision := {"allow": true, "reasons": granted} if {
	granted := [role | some role in held; permits(role)]
	granted != []
} else := {
	"allow": false,
	"reasons": ["no-role-permits"],
	"public_reason": "Your role does not permit this. Ask your team lead for access.",
}

# Roles by group. A group that is not here gives none.
roles_of := {
	"engineering": {"reader", "author"},
	"editors": {"author", "publisher"},
	"everybody": {"reader"},
}

# What a role may do: methods below a path, given as decoded segments.
permissions := {
	"reader": [{"methods": {"GET", "HEAD"}, "below": ["articles"]}],
	"author": [
		{"methods": {"GET", "HEAD"}, "below": ["drafts"]},
		{"methods": {"POST", "PUT"}, "below": ["drafts"]},
	],
	"publisher": [{"methods": {"POST", "DELETE"}, "below": ["articles"]}],
}

# Groups are claims of one issuer; another issuer's "editors" are other people.
held contains role if {
	input.principal.kind == "user"
	input.principal.issuer == "corp"
	some group in input.principal.groups
	some role in roles_of[group]
}

permits(role) if {
	some permission in permissions[role]
	input.request.method in permission.methods
	every index, segment in permission.below {
		input.request.path_segments[index] == segment
	}
}
