package ztproxy.authz_test

import data.ztproxy.authz
import rego.v1

# An entry as `ztproxy policy export` writes it, asking for nothing.
anyone := {"name": "allow[0]", "issuers": [], "methods": [], "groups": [], "paths": [], "further": {}}

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

laptop := {"kind": "device", "id": "mdm:C02XL0GTJGH5", "trust_domain": "", "path": ""}

request := {
	"principal": nobody,
	"peer": null,
	"request": {"method": "GET", "path_segments": ["api", "v1"]},
	"route": {"name": "wiki"},
	"source": {"address": "203.0.113.7"},
	"time": {"minute_ns": 1732447140000000000},
}

corp := {"issuers": [{"corp": true}]}

# What the policy says of a request, changed so, on a route with one entry, changed so, that is always looked at.
ask(changes, entry) := answer if {
	whole := object.union(anyone, entry)
	asked := {
		"issuers": whole.issuers,
		"methods": whole.methods,
		"groups": whole.groups,
		"paths": whole.paths,
		"further": {kind: [wanted] | some kind, wanted in whole.further},
		"many": [],
	}
	answer := answer_of({"allow": [whole], "always": [0], "asked": asked}, changes)
}

answer_of(route, changes) := answer if {
	routes := {"wiki": route}
	answer := authz.decision with input as object.union(request, changes) with data.ztproxy.routes as routes
}

# The entries that a request, changed so, finds on a route with this index, and one that is always looked at.
found(changes, index) := answer_of({"allow": four, "always": [3], "index": index}, changes).reasons

four := [object.union(anyone, {"name": name}) | some name in ["0", "1", "2", "3"]]

permitted := {"allow": true, "reasons": ["allow[0]"]}

test_an_entry_that_asks_for_nothing_permits if ask({}, {}) == permitted

test_a_route_without_data_is_closed if {
	ask({"route": {"name": "other"}}, {}) == {"allow": false, "reasons": ["route-not-open"]}
}

test_a_method_that_is_listed if ask({}, {"methods": [{"GET": true, "HEAD": true}]}) == permitted

test_a_method_that_is_not if ask({}, {"methods": [{"POST": true}]}).reasons == ["method-not-allowed"]

test_a_path_and_what_is_below_it if {
	ask({}, {"paths": [{"api": [{"segments": ["api"], "last": 0}]}]}) == permitted
	ask({}, {"paths": [{"api": [{"segments": ["api", "v1"], "last": 1}]}]}) == permitted
}

test_only_what_is_below_a_path if {
	ask({}, {"paths": [{"api": [{"segments": ["api", "v1"], "last": 2}]}]}).reasons == ["path-not-allowed"]
}

test_a_path_beside_another if {
	ask({}, {"paths": [{"ap": [{"segments": ["ap"], "last": 0}]}]}).reasons == ["path-not-allowed"]
}

test_a_user_by_email if {
	users := {"emails": {"ana@example.org": true}, "subjects": {}}
	ask({"principal": user}, object.union(corp, {"further": {"users": users}})) == permitted
}

test_a_user_by_subject if {
	users := {"emails": {}, "subjects": {"user-1": true}}
	ask({"principal": user}, object.union(corp, {"further": {"users": users}})) == permitted
}

test_a_user_of_another_issuer if {
	users := {"emails": {}, "subjects": {"user-1": true}}
	stranger := object.union(user, {"issuer": "partner"})
	entry := object.union(corp, {"further": {"users": users}})
	ask({"principal": stranger}, entry).reasons == ["issuer-not-listed"]
}

test_nobody_is_no_user if ask({}, corp).reasons == ["not-a-user"]

test_a_group if {
	ask({"principal": user}, object.union(corp, {"groups": [{"engineering": true}]})) == permitted
}

test_no_group_of_these if {
	entry := object.union(corp, {"groups": [{"hr": true}]})
	ask({"principal": user}, entry).reasons == ["group-not-listed"]
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

test_an_entry_is_found_by_who_asks if {
	index := {
		"emails": {"ana@example.org": [0], "bob@example.org": [1]},
		"subjects": {"user-2": [1], "user-1": [2]},
		"groups": {"engineering": [0, 2], "hr": [1]},
	}
	found({"principal": user}, index) == ["0", "2", "3"]
	found({}, index) == ["3"]
}

test_an_address_is_no_subject_and_a_subject_no_address if {
	odd := object.union(user, {"id": "bob@example.org", "email": "user-2"})
	found({"principal": odd}, {"emails": {"bob@example.org": [0]}, "subjects": {"user-2": [1]}}) == ["3"]
}

test_an_entry_is_found_by_the_certificate if {
	index := {
		"peers": {runner.id: [0]},
		"prefixes": {
			"example.org": {"spiffe://example.org/ns/ci/": [1], "spiffe://example.org/ns/circus/": [2]},
			"partner.example": {"spiffe://example.org/": [2]},
		},
	}
	found({"peer": runner}, index) == ["0", "1", "3"]
	found({"peer": runner, "principal": user}, index) == ["0", "1", "3"]
	found({"principal": object.union(user, {"id": runner.id})}, index) == ["3"]
}

test_an_entry_is_found_by_the_device if {
	index := {
		"peers": {laptop.id: [0], "mdm:C02": [1]},
		"prefixes": {"": {"mdm:": [1], "lab:": [2]}, "example.org": {"mdm:": [2]}},
	}
	found({"peer": laptop}, index) == ["0", "1", "3"]
	found({"peer": laptop, "principal": user}, index) == ["0", "1", "3"]
	found({"principal": object.union(user, {"id": laptop.id})}, index) == ["3"]
	found({"peer": runner}, index) == ["3"]
}

test_an_entry_is_found_by_the_depth_of_a_certificates_id if {
	below := {"spiffe://example.org/ns/ci": [1], runner.id: [2], "spiffe://example.org/ns": [0]}
	found({"peer": runner}, {"far": {"below_depths": [5, 7], "below": below}}) == ["1", "3"]
}

test_an_entry_is_found_by_a_claim if {
	claims := {"department": {"finance": [0], "hr": [1]}, "amr": {"hwk": [2], "otp": [1]}}
	found({"principal": user}, {"far": {"claims": claims}}) == ["0", "2", "3"]
}

test_devices if {
	exact := {"further": {"devices": {"exact": {laptop.id: true}, "below": []}}}
	all_of_mdm := {"further": {"devices": {"exact": {}, "below": ["mdm:"]}}}
	ask({"peer": laptop}, exact) == permitted
	ask({"peer": laptop}, all_of_mdm) == permitted
	ask({"peer": laptop, "principal": user}, all_of_mdm) == permitted
	every peer in [runner, null, object.union(laptop, {"id": "lab:C02XL0GTJGH5"})] {
		ask({"peer": peer, "principal": user}, all_of_mdm) == {"allow": false, "reasons": ["device-not-listed"]}
		ask({"peer": peer, "principal": user}, exact) == {"allow": false, "reasons": ["device-not-listed"]}
	}
}

test_a_device_is_nobody_by_itself if {
	wanted := {"further": {"authenticated": {"issuers": {"corp": true}, "trust_domain": "example.org"}}}
	ask({"peer": laptop}, wanted) == {"allow": false, "reasons": ["not-authenticated"]}
	ask({"peer": laptop, "principal": user}, wanted) == permitted
}

test_an_entry_is_found_by_the_first_segment_of_a_path if {
	found({}, {"first_segments": {"api": [0, 2], "v1": [1]}}) == ["0", "2", "3"]
}

test_an_entry_is_found_by_a_path if {
	paths := {"api": [0], "api/v1": [1], "v1": [2], "api/v1/x": [2]}
	found({}, {"far": {"path_steps": [[0], [0, 1], [0, 1, 2]], "paths": paths}}) == ["0", "1", "3"]
}

test_of_too_many_requirements_the_kind_is_told if {
	asked := {"issuers": [], "methods": [], "groups": [], "paths": [], "further": {}, "many": ["users", "paths"]}
	answer_of({"allow": [], "asked": asked}, {}) == {
		"allow": false,
		"reasons": ["path-not-allowed", "user-not-listed"],
	}
}
