# Break glass: in an emergency whoever is on call may do what nobody may otherwise, having signed in a moment ago, with a
# strong factor, and having said why. The log shows it; a dashboard that counts the reason `break-glass` rings a bell.
#
#     policy: {path: policies/examples/break_glass, decision: examples/break_glass/decision}
package examples.break_glass

import rego.v1

decision := {"allow": true, "reasons": ["administrator"]} if {
	is_member("administrators")
} else := {
	"allow": true,
	"reasons": ["break-glass"],
	# Not satisfied, this is a challenge (401) and not a permit: sign in again, with a phishing-resistant factor.
	"require": {"max_age": 900, "acr": ["phr", "phrh"]},
	"headers": {"x-break-glass": ticket},
	"dynamic_metadata": {"break_glass": {"who": input.principal.id, "ticket": ticket}},
} if {
	is_member("on-call")
	ticket
} else := {
	"allow": false,
	"reasons": ["break-glass-needs-ticket"],
	"public_reason": "In an emergency, say why: send X-Break-Glass-Ticket with the incident's number.",
} if {
	is_member("on-call")
} else := {"allow": false, "reasons": ["not-an-administrator"]}

is_member(group) if {
	input.principal.kind == "user"
	input.principal.issuer == "corp"
	group in input.principal.groups
}

# The incident's number, in the form that it has; anything else is no reason and goes into no header.
ticket := value if {
	value := input.request.headers["x-break-glass-ticket"]
	regex.match(`^INC-[0-9]{4,8}$`, value)
}
