package ztproxy.authz_test

import data.ztproxy.authz
import rego.v1

# An entry as `ztproxy policy export` writes it, asking for nothing.
anyone := {"name": "allow[0]", "methods": [], "paths": [], "issuers": [], "users": [], "groups": [], "further": {}}

user := {
	"kind": "user",
	"id": "user-1",
	"issuer": "corp",
	"email": "ana@example.org",
	"groups": ["staff", "engineering"],
	"claims": {"department": "finance", "amr": ["pwd", "hwk"]},
}

nobody := {"kind": "anonymous", "id": "", "issuer": "", "email": "", "groups": [], "claims": {}}

runner := {"kind": "workload", "id": "spiffe://example.org/ns/ci/sa/runner", "trust_domain": "example.org"}

request := {
	"principal": nobody,
	"peer": null,
	"request": {"method": "GET", "path_segments": ["api", "v1"]},
	"route": {"name": "wiki"},
	"source": {"address": "203.0.113.7"},
	"time": {"unix_ns": 1732447140250000000},
}

corp := {"issuers": [{"corp": true}]}

# What the policy says of a request, changed so, on a route with one entry, changed so.
ask(changes, entry) := answer if {
	routes := {"wiki": {"allow": [object.union(anyone, entry)]}}
	answer := authz.decision with input as object.union(request, changes) with data.ztproxy.routes as routes
}

permitted := {"allow": true, "reasons": ["allow[0]"]}

test_an_entry_that_asks_for_nothing_permits if ask({}, {}) == permitted

test_a_route_without_data_is_closed if {
	ask({"route": {"name": "other"}}, {}) == {"allow": false, "reasons": ["route-not-open"]}
}

test_a_method_that_is_listed if ask({}, {"methods": [{"GET": true, "HEAD": true}]}) == permitted

test_a_method_that_is_not if ask({}, {"methods": [{"POST": true}]}).reasons == ["method-not-allowed"]

test_a_path_and_what_is_below_it if {
	ask({}, {"paths": [[{"segments": ["api"], "least": 1}]]}) == permitted
	ask({}, {"paths": [[{"segments": ["api", "v1"], "least": 2}]]}) == permitted
}

test_only_what_is_below_a_path if {
	ask({}, {"paths": [[{"segments": ["api", "v1"], "least": 3}]]}).reasons == ["path-not-allowed"]
}

test_a_path_beside_another if {
	ask({}, {"paths": [[{"segments": ["ap"], "least": 1}]]}).reasons == ["path-not-allowed"]
}

test_a_user_by_email if {
	users := [[{"field": "email", "values": {"ana@example.org": true}}, {"field": "id", "values": {}}]]
	ask({"principal": user}, object.union(corp, {"users": users})) == permitted
}

test_a_user_by_subject if {
	users := [[{"field": "email", "values": {}}, {"field": "id", "values": {"user-1": true}}]]
	ask({"principal": user}, object.union(corp, {"users": users})) == permitted
}

test_a_user_of_another_issuer if {
	users := [[{"field": "id", "values": {"user-1": true}}]]
	stranger := object.union(user, {"issuer": "partner"})
	ask({"principal": stranger}, object.union(corp, {"users": users})).reasons == ["issuer-not-listed"]
}

test_nobody_is_no_user if ask({}, corp).reasons == ["not-a-user"]

test_a_group if ask({"principal": user}, object.union(corp, {"groups": [{"engineering": true}]})) == permitted

test_no_group_of_these if {
	ask({"principal": user}, object.union(corp, {"groups": [{"hr": true}]})).reasons == ["group-not-listed"]
}

test_every_claim_that_is_named if {
	ask({"principal": user}, {"further": {"claims": {"department": ["hr", "finance"], "amr": ["hwk"]}}}) == permitted
	ask({"principal": user}, {"further": {"claims": {"department": ["finance"], "amr": ["otp"]}}}).reasons == [
		"claim-not-listed",
	]
}

test_a_claim_that_is_missing if {
	ask({"principal": user}, {"further": {"claims": {"level": [3]}}}).reasons == ["claim-not-listed"]
}

test_a_workload if {
	ask({"peer": runner}, {"further": {"workloads": {"exact": {runner.id: true}, "below": []}}}) == permitted
	ask({"peer": runner}, {"further": {"workloads": {"exact": {}, "below": ["spiffe://example.org/ns/ci/"]}}}) == permitted
}

test_a_subject_spelled_like_a_workload_is_none if {
	wanted := {"further": {"workloads": {"exact": {runner.id: true}, "below": []}}}
	ask({"principal": object.union(user, {"id": runner.id})}, wanted).reasons == ["workload-not-listed"]
}

test_whoever_is_authenticated if {
	wanted := {"further": {"authenticated": {"issuers": {"corp": true}, "trust_domain": "example.org"}}}
	ask({"principal": user}, wanted) == permitted
	ask({"peer": runner}, wanted) == permitted
	ask({}, wanted).reasons == ["not-authenticated"]
	ask({"peer": object.union(runner, {"trust_domain": "partner.example"})}, wanted).reasons == ["not-authenticated"]
}

test_a_network if {
	ask({}, {"further": {"networks": ["10.0.0.0/8", "203.0.113.0/24"]}}) == permitted
	ask({}, {"further": {"networks": ["10.0.0.0/8"]}}).reasons == ["network-not-allowed"]
}

test_a_caller_without_an_address_is_in_no_network if {
	ask({"source": {"address": ""}}, {"further": {"networks": ["0.0.0.0/0"]}}).reasons == ["network-not-allowed"]
}

test_hours_of_a_zone if {
	window := {"days": {"Sunday": true}, "from": 720, "to": 780, "zone": "Europe/Berlin"}
	ask({}, {"further": {"hours": window}}) == permitted
	ask({}, {"further": {"hours": object.union(window, {"zone": "UTC"})}}).reasons == ["outside-hours"]
	ask({}, {"further": {"hours": object.union(window, {"days": {"Sunday": false}})}}).reasons == ["outside-hours"]
}
