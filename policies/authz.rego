# The default policy: a request is permitted when one entry of its route's `allow` matches it.
#
# Its data is compiled from the config; `ztproxy policy export` writes both for an OPA server. In an entry each key that
# the config leaves out is an empty list, and one that it names is a list of one requirement: `every` asks for it or for
# nothing. Requirements are objects wherever a look-up can decide, because a look-up costs a tenth of a call.
package ztproxy.authz

import rego.v1

decision := {"allow": true, "reasons": permitting} if {
	permitting := [entry.name |
		some entry in data.ztproxy.routes[input.route.name].allow

		every methods in entry.methods {
			methods[input.request.method]
		}
		every paths in entry.paths {
			some path in paths
			below(path)
		}

		# An identity is an issuer and a subject: whatever an entry says of a user it says of these issuers' users.
		every issuers in entry.issuers {
			input.principal.kind == "user"
			issuers[input.principal.issuer]
		}
		every users in entry.users {
			some user in users
			user.values[input.principal[user.field]]
		}
		every groups in entry.groups {
			some group in input.principal.groups
			groups[group]
		}
		every key, wanted in entry.further {
			holds(key, wanted)
		}
	]
	permitting != []
} else := {"allow": false, "reasons": [reason | some reason in refusing]}

# Whole decoded segments; `least` is one more than the prefix where the pattern means what is below it alone.
below(path) if {
	count(input.request.path_segments) >= path.least
	every index, segment in path.segments {
		input.request.path_segments[index] == segment
	}
}

# The certificate on the connection, never a token's subject.
holds("workloads", wanted) if wanted.exact[input.peer.id]

holds("workloads", wanted) if {
	some prefix in wanted.below
	startswith(input.peer.id, prefix)
}

# Each claim that is named; of its values one is enough.
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

# `in` looks into objects too, so what is no array does not come here.
claimed(claim, values) if {
	is_array(claim)
	some value in values
	value in claim
}

# Why no entry matched: every requirement of any entry that this request does not meet.
refusing contains "route-not-open" if not data.ztproxy.routes[input.route.name]

refusing contains "method-not-allowed" if {
	some entry in data.ztproxy.routes[input.route.name].allow
	some methods in entry.methods
	not methods[input.request.method]
}

refusing contains "path-not-allowed" if {
	some entry in data.ztproxy.routes[input.route.name].allow
	some paths in entry.paths
	count([path | some path in paths; below(path)]) == 0
}

refusing contains "not-a-user" if {
	some entry in data.ztproxy.routes[input.route.name].allow
	count(entry.issuers) > 0
	input.principal.kind != "user"
}

refusing contains "issuer-not-listed" if {
	some entry in data.ztproxy.routes[input.route.name].allow
	some issuers in entry.issuers
	input.principal.kind == "user"
	not issuers[input.principal.issuer]
}

refusing contains "user-not-listed" if {
	some entry in data.ztproxy.routes[input.route.name].allow
	some users in entry.users
	count([user | some user in users; user.values[input.principal[user.field]]]) == 0
}

refusing contains "group-not-listed" if {
	some entry in data.ztproxy.routes[input.route.name].allow
	some groups in entry.groups
	count([group | some group in input.principal.groups; groups[group]]) == 0
}

refusing contains unmet[key] if {
	some entry in data.ztproxy.routes[input.route.name].allow
	some key, wanted in entry.further
	not holds(key, wanted)
}

unmet := {
	"workloads": "workload-not-listed",
	"claims": "claim-not-listed",
	"authenticated": "not-authenticated",
	"networks": "network-not-allowed",
	"hours": "outside-hours",
}
