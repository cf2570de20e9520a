# Staff: employees work with it, contractors in working hours alone; who changes something has signed in within the last
# quarter of an hour, and what is below /admin opens on a computer of the company only, to whoever signed in with a key.
#
#     policy: {path: policies/examples/staff, decision: examples/staff/decision}
package examples.staff

import rego.v1

decision := {
	"allow": false,
	"reasons": [reason | some reason in refusing],
	"public_reason": concat(" ", [sentences[reason] | some reason in refusing]),
} if {
	count(refusing) > 0
} else := {
	"allow": false,
	"reasons": ["weak-sign-in"],
	"public_reason": sentences["weak-sign-in"],
	# Whoever has a key can still come in: the browser is sent to the provider, which is asked for one of these.
	"require": {"acr": ["phr", "phrh"]},
} if {
	is_administration
	not is_strong
} else := {
	"allow": true,
	"reasons": ["writes"],
	# Compared with the clock on each request, so that the decision itself can be remembered.
	"require": {"max_age": 900},
} if {
	not input.request.method in reading
} else := {"allow": true, "reasons": ["reads"]}

sentences := {
	"not-staff": "This is for employees and contractors.",
	"outside-hours": "Contractors come in from Monday to Friday, 8 to 18 o'clock.",
	"not-on-a-managed-device": "Administration takes a computer that the company manages.",
	"weak-sign-in": "Administration takes a sign-in with a security key or a passkey.",
}

reading := {"GET", "HEAD", "OPTIONS"}

refusing contains "not-staff" if {
	not is_member("employees")
	not is_member("contractors")
}

# Whoever is both has the rights of an employee.
refusing contains "outside-hours" if {
	is_member("contractors")
	not is_member("employees")
	not is_working_hours
}

refusing contains "not-on-a-managed-device" if {
	is_administration
	not is_managed
}

is_administration if input.request.path_segments[0] == "admin"

# Some providers tell the class of a sign-in, which can be asked for (OpenID Connect EAP ACR Values), others the methods.
is_strong if input.principal.authentication.acr in {"phr", "phrh"}

is_strong if {
	some method in input.principal.authentication.amr
	method in {"hwk", "swk"}
}

is_member(group) if {
	input.principal.kind == "user"
	input.principal.issuer == "corp"
	group in input.principal.groups
}

# `mdm` is the name in identity.client_certificates.
is_managed if {
	input.peer.kind == "device"
	startswith(input.peer.id, "mdm:")
}

is_working_hours if {
	time.weekday([input.time.minute_ns, "Europe/Berlin"]) in {"Monday", "Tuesday", "Wednesday", "Thursday", "Friday"}
	[hour, _, _] := time.clock([input.time.minute_ns, "Europe/Berlin"])
	hour >= 8
	hour < 18
}
