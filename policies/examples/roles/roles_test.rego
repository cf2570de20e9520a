package examples.roles_test

import data.examples.roles
import rego.v1

person(groups) := {"kind": "user", "issuer": "corp", "id": "ana", "groups": groups}

ask(method, path_segments, principal) := answer if {
	answer := roles.decision with input as {
		"principal": principal,
		"request": {"method": method, "path_segments": path_segments},
	}
}

test_a_reader_reads if {
	ask("GET", ["articles", "7"], person(["everybody"])) == {"allow": true, "reasons": ["reader"]}
}

test_a_reader_does_not_publish if ask("POST", ["articles"], person(["everybody"])).allow == false

test_an_editor_publishes if ask("DELETE", ["articles", "7"], person(["editors"])).allow

test_roles_of_several_groups_add_up if {
	ask("PUT", ["drafts", "7"], person(["everybody", "engineering", "editors"])).reasons == ["author"]
}

test_a_path_that_only_begins_alike_is_another if ask("GET", ["articles2"], person(["everybody"])).allow == false

test_an_unknown_group_gives_no_role if ask("GET", ["articles"], person(["directors"])).allow == false

test_the_same_group_of_another_issuer_gives_no_role if {
	stranger := object.union(person(["editors"]), {"issuer": "partner"})
	ask("GET", ["drafts"], stranger).allow == false
}

test_a_workload_has_no_role if {
	ask("GET", ["articles"], {"kind": "workload", "issuer": "example.org", "id": "spiffe://example.org/a", "groups": []}).allow == false
}

test_a_refusal_says_whom_to_ask if {
	ask("POST", ["articles"], person([])).public_reason == "Your role does not permit this. Ask your team lead for access."
}
