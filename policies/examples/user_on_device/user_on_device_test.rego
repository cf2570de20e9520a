package examples.user_on_device_test

import data.examples.user_on_device
import rego.v1

ana := {"kind": "user", "issuer": "corp", "id": "ana", "groups": ["finance"]}

laptop := {"kind": "workload", "id": "spiffe://example.org/device/4711", "trust_domain": "example.org"}

ask(principal, peer) := answer if {
	answer := user_on_device.decision with input as {"principal": principal, "peer": peer}
}

test_finance_on_a_managed_device if {
	ask(ana, laptop) == {
		"allow": true,
		"reasons": ["finance-on-managed-device"],
		"dynamic_metadata": {"device": "spiffe://example.org/device/4711"},
	}
}

test_finance_from_anywhere_else if ask(ana, null).reasons == ["not-on-managed-device"]

test_a_device_without_its_user if {
	alone := {"kind": "workload", "issuer": "example.org", "id": laptop.id, "groups": []}
	ask(alone, laptop).reasons == ["not-finance"]
}

test_another_department_on_a_managed_device if {
	ask(object.union(ana, {"groups": ["sales"]}), laptop).reasons == ["not-finance"]
}

test_a_workload_that_is_no_device if {
	ask(ana, object.union(laptop, {"id": "spiffe://example.org/ns/ci/sa/runner"})).allow == false
}

test_a_device_of_another_trust_domain if {
	ask(ana, object.union(laptop, {"id": "spiffe://example.org.evil/device/4711"})).allow == false
}

test_a_subject_spelled_like_a_device_is_none if {
	ask(object.union(ana, {"id": laptop.id}), null).allow == false
}

test_everything_that_is_missing_is_named if {
	ask({"kind": "anonymous", "issuer": "", "id": "", "groups": []}, null).reasons == [
		"not-finance",
		"not-on-managed-device",
	]
}
