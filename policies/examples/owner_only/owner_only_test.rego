package examples.owner_only_test

import data.examples.owner_only
import rego.v1

user(id, groups) := {"kind": "user", "issuer": "corp", "id": id, "groups": groups}

ask(method, path_segments, principal) := answer if {
	answer := owner_only.decision with input as {
		"principal": principal,
		"request": {"method": method, "path_segments": path_segments},
	}
}

test_an_owner_opens_her_page if ask("GET", ["users", "ana"], user("ana", [])).allow

test_an_owner_changes_what_is_below_it if ask("PUT", ["users", "ana", "photo"], user("ana", [])).reasons == ["owner"]

test_another_user_does_not if {
	ask("GET", ["users", "ana"], user("bob", [])) == {
		"allow": false,
		"reasons": ["not-the-owner"],
		"public_reason": "Only its owner may open this page.",
	}
}

test_the_list_of_all_users_has_no_owner if ask("GET", ["users"], user("ana", [])).allow == false

test_an_empty_subject_owns_no_empty_segment if {
	ask("GET", ["users", ""], {"kind": "anonymous", "issuer": "", "id": "", "groups": []}).allow == false
}

test_another_place_with_her_name_is_not_hers if ask("GET", ["admins", "ana"], user("ana", [])).allow == false

test_support_reads if ask("GET", ["users", "ana"], user("cleo", ["support"])).reasons == ["support"]

test_support_does_not_write if ask("DELETE", ["users", "ana"], user("cleo", ["support"])).allow == false

test_the_same_subject_of_another_issuer_is_somebody_else if {
	stranger := object.union(user("ana", []), {"issuer": "partner"})
	ask("GET", ["users", "ana"], stranger).allow == false
}
