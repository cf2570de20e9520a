# The default policy: a request is permitted when one entry of its route's `allow` matches it.
#
# Its data is compiled from the config (`ztproxy policy export` writes both). Every entry has every key of the first
# group, so that one look-up decides each; a key that the config leaves out holds the value "", which no list in the
# config can hold. `further` holds what the entry also asks for and is empty for most.
package ztproxy.authz

import rego.v1

decision := {"allow": true, "reasons": [name | some name in permitted]} if {
	count(permitted) > 0
} else := {"allow": false, "reasons": [reason | some reason in refused]}

# The entries that match, by name: `allow[2]` is the third of the route.
permitted contains entry.name if {
	some entry in data.ztproxy.routes[input.route.name].allow

	some method in [input.request.method, ""]
	entry.methods[method]

	some path in entry.paths
	array.slice(input.request.path_segments, 0, path.length) == path.segments
	count(input.request.path_segments) >= path.least

	# An identity is an issuer and a subject, so whatever is said of a user is said of one issuer's.
	some kind, issuer in {input.principal.kind: input.principal.issuer, "": ""}
	entry.issuers[kind][issuer]

	some field, value in {"email": input.principal.email, "id": input.principal.id, "": ""}
	entry.users[field][value]

	some group in array.concat(input.principal.groups, [""])
	entry.groups[group]

	every key, wanted in entry.further {
		holds(key, wanted)
	}
}

# The certificate on the connection, never a token's subject.
holds("workloads", wanted) if wanted.exact[input.peer.id]

holds("workloads", wanted) if {
	some prefix in wanted.below
	startswith(input.peer.id, prefix)
}

# Every claim that is named; of its values one is enough.
holds("claims", wanted) if {
	every name, values in wanted {
		claimed(input.principal.claims[name], values)
	}
}

holds("authenticated", wanted) if {
	input.principal.kind == "user"
	wanted.issuers[input.principal.issuer]
}

holds("authenticated", wanted) if input.peer.trust_domain == wanted.trust_domain

holds("networks", wanted) if {
	input.source.address != ""
	some network in wanted
	net.cidr_contains(network, input.source.address)
}

holds("hours", wanted) if {
	wanted.days[time.weekday([input.time.unix_ns, wanted.zone])]
	[hour, minute, _] := time.clock([input.time.unix_ns, wanted.zone])
	now := (hour * 60) + minute
	now >= wanted.from
	now < wanted.to
}

claimed(claim, values) if {
	not is_array(claim)
	some value in values
	value == claim
}

claimed(claim, values) if {
	is_array(claim)
	some value in values
	value in claim
}

# Why nothing matched: the conditions and subjects that some entry asks for and this request lacks.
refused contains "route-not-open" if not data.ztproxy.routes[input.route.name]

refused contains "method-not-allowed" if {
	some entry in data.ztproxy.routes[input.route.name].allow
	not entry.methods[""]
	not entry.methods[input.request.method]
}

refused contains "path-not-allowed" if {
	some entry in data.ztproxy.routes[input.route.name].allow
	not under(entry.paths)
}

refused contains "issuer-not-listed" if {
	some entry in data.ztproxy.routes[input.route.name].allow
	not entry.issuers[""]
	not entry.issuers[input.principal.kind][input.principal.issuer]
}

refused contains "user-not-listed" if {
	some entry in data.ztproxy.routes[input.route.name].allow
	not entry.users[""]
	not entry.users.email[input.principal.email]
	not entry.users.id[input.principal.id]
}

refused contains "group-not-listed" if {
	some entry in data.ztproxy.routes[input.route.name].allow
	not entry.groups[""]
	not member(entry.groups)
}

refused contains reason_of[key] if {
	some entry in data.ztproxy.routes[input.route.name].allow
	some key, wanted in entry.further
	not holds(key, wanted)
}

reason_of := {
	"workloads": "workload-not-listed",
	"claims": "claim-not-listed",
	"authenticated": "not-authenticated",
	"networks": "network-not-allowed",
	"hours": "outside-hours",
}

under(paths) if {
	some path in paths
	array.slice(input.request.path_segments, 0, path.length) == path.segments
	count(input.request.path_segments) >= path.least
}

member(groups) if {
	some group in input.principal.groups
	groups[group]
}
