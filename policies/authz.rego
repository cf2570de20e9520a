# The default policy: a request is permitted when one entry of its route's `allow` matches it.
#
# Its data is compiled from the config; `ztproxy policy export` writes both for an OPA server. A route has its entries,
# and beside them an index of the values under which they are found, so that a request meets the few that may concern it
# and never walks the list. In an entry each key that the config leaves out is an empty list, and one that it names is a
# list of one requirement: `every` asks for it or for nothing. What the index has settled is no requirement any more.
package ztproxy.authz

import rego.v1

decision := {"allow": true, "reasons": permitting} if {
	route := data.ztproxy.routes[input.route.name]

	# The address that the issuer vouches for, the token's subject, the certificate on the connection: one is never
	# taken for another.
	found := {place | some place in route.always} | {nth |
		index := route.index
		some nth in union({
			{place | some place in index.emails[input.principal.email]},
			{place | some place in index.subjects[input.principal.id]},
			{place |
				groups := index.groups
				some group in input.principal.groups
				some place in groups[group]
			},
			{place | some place in index.peers[input.peer.id]},
			{place |
				some prefix, places in index.prefixes[input.peer.trust_domain]
				startswith(input.peer.id, prefix)
				some place in places
			},
			{place | some place in index.first_segments[input.request.path_segments[0]]},
			{place | some place in far(index.far)},
		})
	}

	permitting := [entry.name |
		some nth in found
		entry := route.allow[nth]

		# An identity is an issuer and a subject: whatever an entry says of a user it says of these issuers' users.
		every issuers in entry.issuers {
			input.principal.kind == "user"
			issuers[input.principal.issuer]
		}
		every methods in entry.methods {
			methods[input.request.method]
		}
		every groups in entry.groups {
			some group in input.principal.groups
			groups[group]
		}

		# Whole decoded segments; the last that must be there is one more where a pattern means what is below it alone.
		every paths in entry.paths {
			some path in paths[input.request.path_segments[0]]
			input.request.path_segments[path.last]
			every index, segment in path.segments {
				input.request.path_segments[index] == segment
			}
		}
		every key, wanted in entry.further {
			holds(key, wanted)
		}
	]
	permitting != []
} else := {"allow": false, "reasons": ["route-not-open"]} if {
	not data.ztproxy.routes[input.route.name]
} else := {"allow": false, "reasons": [reason | some reason in refusing]}

# Where entries are found at a higher price, and only on the routes that have such ones.
far(places) := union({
	{place |
		some name, values in places.claims
		some value in listed(input.principal.claims[name])
		some place in values[value]
	},
	{place |
		parts := split(input.peer.id, "/")
		some depth in places.below_depths
		parts[depth]
		some place in places.below[concat("/", [part | some index, part in parts; index < depth])]
	},
	{place |
		segments := input.request.path_segments
		some steps in places.path_steps
		some place in places.paths[concat("/", [segments[step] | some step in steps])]
	},
})

# Two requirements once more, so that they can stand under `not`; a permit does not pay for the call.
reaches(paths) if {
	some path in paths[input.request.path_segments[0]]
	input.request.path_segments[path.last]
	every index, segment in path.segments {
		input.request.path_segments[index] == segment
	}
}

belongs(groups) if {
	some group in input.principal.groups
	groups[group]
}

# `in` looks into objects too, so a claim that is no array becomes one.
listed(claim) := claim if is_array(claim)

listed(claim) := [claim] if not is_array(claim)

holds("workloads", wanted) if wanted.exact[input.peer.id]

holds("workloads", wanted) if strings.any_prefix_match(input.peer.id, wanted.below)

holds("devices", wanted) if wanted.exact[input.peer.id]

holds("devices", wanted) if strings.any_prefix_match(input.peer.id, wanted.below)

holds("users", wanted) if wanted.emails[input.principal.email]

holds("users", wanted) if wanted.subjects[input.principal.id]

holds("authenticated", wanted) if {
	input.principal.kind == "user"
	wanted.issuers[input.principal.issuer]
}

holds("authenticated", wanted) if input.peer.trust_domain == wanted.trust_domain

# Each claim that is named; of its values one is enough.
holds("claims", wanted) if {
	every name, values in wanted {
		some value in listed(input.principal.claims[name])
		some other in values
		value == other
	}
}

holds("networks", wanted) if {
	input.source.address != ""
	some network in wanted
	net.cidr_contains(network, input.source.address)
}

holds("hours", wanted) if {
	wanted.days[time.weekday([input.time.minute_ns, wanted.zone])]
	[hour, minute, _] := time.clock([input.time.minute_ns, wanted.zone])
	now := (hour * 60) + minute
	now >= wanted.from
	now < wanted.to
}

# Why no entry matched: every requirement of any entry that this request does not meet. `asked` has the different ones
# of a kind, and in `many` the kinds of which there are too many to look at.
refusing := union({
	{unmet[kind] | some kind in asked.many},
	{"method-not-allowed" | some methods in asked.methods; not methods[input.request.method]},
	{"path-not-allowed" | some paths in asked.paths; not reaches(paths)},
	{"not-a-user" | asked.issuers != []; input.principal.kind != "user"},
	{"issuer-not-listed" |
		input.principal.kind == "user"
		some issuers in asked.issuers
		not issuers[input.principal.issuer]
	},
	{"group-not-listed" | some groups in asked.groups; not belongs(groups)},
	{unmet[kind] |
		some kind, requirements in asked.further
		some wanted in requirements
		not holds(kind, wanted)
	},
}) if {
	asked := data.ztproxy.routes[input.route.name].asked
}

unmet := {
	"paths": "path-not-allowed",
	"users": "user-not-listed",
	"groups": "group-not-listed",
	"workloads": "workload-not-listed",
	"devices": "device-not-listed",
	"claims": "claim-not-listed",
	"authenticated": "not-authenticated",
	"networks": "network-not-allowed",
	"hours": "outside-hours",
}
