package access_test

import data.access
import rego.v1

ask(method, now, groups) := answer if {
	answer := access.decision with input as {
		"principal": {"groups": groups},
		"request": {"method": method},
		"time": {"minute_ns": time.parse_rfc3339_ns(now)},
	}
}

test_a_change_as_the_day_begins if ask("POST", "2026-11-23T08:00:00+01:00", ["operators"]).reasons == ["working-hours"]

test_no_change_a_minute_earlier if ask("POST", "2026-11-23T07:59:00+01:00", ["operators"]).allow == false

test_no_change_as_the_day_ends if ask("POST", "2026-11-23T18:00:00+01:00", ["operators"]).allow == false

test_no_change_on_sunday if ask("POST", "2026-11-22T12:00:00+01:00", ["operators"]).allow == false

test_reading_at_night if ask("GET", "2026-11-22T03:00:00Z", ["operators"]).reasons == ["reading"]

test_nobody_else_reads if ask("GET", "2026-11-23T12:00:00+01:00", ["sales"]).allow == false

test_nobody_else_changes_things if ask("POST", "2026-11-23T12:00:00+01:00", ["sales"]).allow == false
