# Hours: operators read at any time, and change things in working hours alone. data.json says which hours those are.
package access

import rego.v1

default decision := {
	"allow": false,
	"reasons": ["not-now"],
	"public_reason": "Changes wait for working hours.",
}

decision := {"allow": true, "reasons": ["reading"]} if {
	is_operator
	input.request.method in {"GET", "HEAD"}
} else := {"allow": true, "reasons": ["working-hours"]} if {
	is_operator
	is_open
}

is_operator if "operators" in input.principal.groups

# To the minute is enough, and lets the decision be remembered for as long.
is_open if {
	time.weekday([input.time.minute_ns, data.hours.zone]) in data.hours.days
	[hour, _, _] := time.clock([input.time.minute_ns, data.hours.zone])
	hour >= data.hours.from
	hour < data.hours.to
}
