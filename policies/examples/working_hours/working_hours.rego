# Working hours: operators change things while colleagues are there to notice. Reading is always possible.
#
#     policy: {path: policies/examples/working_hours, decision: examples/working_hours/decision}
package examples.working_hours

import rego.v1

zone := "Europe/Berlin"

decision := {"allow": true, "reasons": ["reading"]} if {
	is_operator
	input.request.method in {"GET", "HEAD"}
} else := {"allow": true, "reasons": ["working-hours"]} if {
	is_operator
	is_open
} else := {
	"allow": false,
	"reasons": ["outside-working-hours"],
	"public_reason": "Changes are possible Monday to Friday from 8:00 to 18:00 (Berlin).",
} if {
	is_operator
} else := {"allow": false, "reasons": ["not-an-operator"]}

is_operator if {
	input.principal.kind == "user"
	input.principal.issuer == "corp"
	"operators" in input.principal.groups
}

# The time comes from the input, so that a test and a replay decide as the request did; `time.now_ns` would not. To the
# minute is enough, and lets the decision be remembered for as long.
is_open if {
	time.weekday([input.time.minute_ns, zone]) in {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday"}
	[hour, _, _] := time.clock([input.time.minute_ns, zone])
	hour >= 8
	hour < 18
}
