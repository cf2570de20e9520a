package examples.staff_test

import data.examples.staff
import rego.v1

# Monday, 25 November 2024, at noon and at 18 o'clock in Berlin, and the Sunday before.
monday := 1732532400000000000

evening := 1732554000000000000

sunday := 1732446000000000000

password := {"method": "session", "amr": ["pwd"], "acr": ""}

with_key := {"principal": {"authentication": {"amr": ["hwk", "pin"]}}}

laptop := {"kind": "device", "id": "mdm:C02XL0GTJGH5", "trust_domain": "", "path": ""}

ask(groups, changes) := answer if {
	asked := {
		"principal": {"kind": "user", "issuer": "corp", "id": "ana", "groups": groups, "authentication": password},
		"peer": null,
		"request": {"method": "GET", "path_segments": ["wiki"]},
		"time": {"minute_ns": monday},
	}
	answer := staff.decision with input as object.union(asked, changes)
}

at(moment) := {"time": {"minute_ns": moment}}

to(method, segments) := {"request": {"method": method, "path_segments": segments}}

test_employees_read_at_any_hour if {
	every moment in [monday, evening, sunday] {
		ask(["employees"], at(moment)) == {"allow": true, "reasons": ["reads"]}
	}
}

test_whoever_writes_has_signed_in_a_moment_ago if {
	every method in ["POST", "PUT", "PATCH", "DELETE", "BREW"] {
		decision := ask(["employees"], to(method, ["wiki"]))
		decision.allow
		decision.require == {"max_age": 900}
	}
}

test_who_is_neither_comes_nowhere if {
	every groups in [[], ["customers"], ["employee"]] {
		ask(groups, {}).reasons == ["not-staff"]
	}
	ask(["employees"], {"principal": {"issuer": "partner"}}).reasons == ["not-staff"]
	ask(["employees"], {"principal": {"kind": "workload"}}).reasons == ["not-staff"]
}

test_a_device_alone_is_nobody if {
	nobody := {"kind": "anonymous", "id": "", "issuer": "", "groups": []}
	ask([], {"principal": nobody, "peer": laptop}).reasons == ["not-staff"]
}

test_contractors_come_in_working_hours if {
	ask(["contractors"], {}).allow
	ask(["contractors"], at(evening - 60000000000)).allow
	every moment in [evening, sunday] {
		decision := ask(["contractors"], at(moment))
		decision.reasons == ["outside-hours"]
		contains(decision.public_reason, "Monday to Friday")
	}
}

test_a_contractor_who_is_employed_comes_at_any_hour if ask(["contractors", "employees"], at(sunday)).allow

test_administration_takes_a_managed_device if {
	admin := object.union(to("GET", ["admin", "users"]), with_key)
	ask(["employees"], object.union(admin, {"peer": laptop})).allow
	ask(["employees"], admin).reasons == ["not-on-a-managed-device"]
	every peer in [
		object.union(laptop, {"id": "mdmx:C02XL0GTJGH5"}),
		object.union(laptop, {"kind": "workload"}),
		{"kind": "workload", "id": "spiffe://example.org/device/7", "trust_domain": "example.org", "path": "/device/7"},
	] {
		ask(["employees"], object.union(admin, {"peer": peer})).reasons == ["not-on-a-managed-device"]
	}
}

test_administration_that_changes_takes_both if {
	decision := ask(["employees"], object.union_n([to("POST", ["admin"]), with_key, {"peer": laptop}]))
	decision.allow
	decision.require == {"max_age": 900}
}

test_administration_takes_a_strong_sign_in if {
	admin := object.union(to("GET", ["admin"]), {"peer": laptop})
	every authentication in [{"amr": ["swk"]}, {"acr": "phr"}, {"acr": "phrh", "amr": []}] {
		ask(["employees"], object.union(admin, {"principal": {"authentication": authentication}})).allow
	}
	every authentication in [{}, {"amr": ["otp", "mfa"]}, {"acr": "PHR"}] {
		decision := ask(["employees"], object.union(admin, {"principal": {"authentication": authentication}}))
		not decision.allow
		decision.reasons == ["weak-sign-in"]
		decision.require == {"acr": ["phr", "phrh"]}
	}
}

test_a_strong_sign_in_is_not_asked_for_where_nothing_could_help if {
	at_night := ask(["contractors"], object.union_n([to("GET", ["admin"]), at(sunday), {"peer": laptop}]))
	elsewhere := ask(["employees"], to("GET", ["admin"]))
	every decision in [at_night, elsewhere] {
		not decision.allow
		not decision.require
	}
}

test_every_reason_is_told if {
	ask(["contractors"], object.union(to("GET", ["admin"]), at(sunday))).reasons == [
		"not-on-a-managed-device",
		"outside-hours",
	]
}
