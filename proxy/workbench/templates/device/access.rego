# Device: users of certain groups, and from a managed device alone. data.json says which groups, and what is managed.
package access

import rego.v1

decision := {"allow": true, "reasons": ["member-on-managed-device"]} if {
	is_member
	is_managed
} else := {
	"allow": false,
	"reasons": sort(missing),
	"public_reason": "This opens on a managed computer.",
}

is_member if {
	some group in data.members
	group in input.principal.groups
}

is_managed if {
	input.peer.kind == "device"
	some prefix in data.managed
	startswith(input.peer.id, prefix)
}

missing contains "not-a-member" if not is_member

missing contains "not-on-a-managed-device" if not is_managed
