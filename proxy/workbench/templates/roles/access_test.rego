package access_test

import data.access
import rego.v1

ask(method, path_segments, groups) := answer if {
	answer := access.decision with input as {
		"principal": {"groups": groups},
		"request": {"method": method, "path_segments": path_segments},
	}
}

test_a_reader_reads if ask("GET", ["articles", "7"], ["staff"]) == {"allow": true, "reasons": ["reader"]}

test_a_reader_does_not_write if ask("PUT", ["articles", "7"], ["staff"]).allow == false

test_an_author_writes if ask("PUT", ["articles", "7"], ["editors"]).reasons == ["author"]

test_a_role_ends_where_its_path_does if ask("GET", ["salaries"], ["editors"]).allow == false

test_an_unknown_group_has_no_role if ask("GET", ["articles"], ["strangers"]).allow == false
