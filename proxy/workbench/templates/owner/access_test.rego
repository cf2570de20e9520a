package access_test

import data.access
import rego.v1

ask(method, path_segments, id, groups) := answer if {
	answer := access.decision with input as {
		"principal": {"kind": "user", "id": id, "groups": groups},
		"request": {"method": method, "path_segments": path_segments},
	}
}

test_an_owner_writes if ask("PUT", ["users", "ana", "photo"], "ana", []) == {"allow": true, "reasons": ["owner"]}

test_nobody_else_does if ask("GET", ["users", "ana"], "bob", []).allow == false

test_a_name_elsewhere_owns_nothing if ask("GET", ["admins", "ana"], "ana", []).allow == false

test_a_workload_of_that_name_is_no_owner if {
	answer := access.decision with input as {
		"principal": {"kind": "workload", "id": "ana", "groups": []},
		"request": {"method": "GET", "path_segments": ["users", "ana"]},
	}
	answer.allow == false
}

test_support_reads if ask("GET", ["users", "ana"], "cleo", ["support"]).reasons == ["reader"]

test_support_does_not_write if ask("PUT", ["users", "ana"], "cleo", ["support"]).allow == false

test_support_reads_users_alone if ask("GET", ["admins"], "cleo", ["support"]).allow == false
