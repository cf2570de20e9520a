package examples.working_hours_test

import data.examples.working_hours
import rego.v1

operator := {"kind": "user", "issuer": "corp", "id": "ana", "groups": ["operators"]}

ask(method, now, principal) := answer if {
	answer := working_hours.decision with input as {
		"principal": principal,
		"request": {"method": method},
		"time": {"minute_ns": time.parse_rfc3339_ns(now)},
	}
}

test_a_change_on_monday_morning if ask("POST", "2024-11-25T08:00:00+01:00", operator).reasons == ["working-hours"]

test_no_change_a_second_earlier if {
	ask("POST", "2024-11-25T07:59:59+01:00", operator).reasons == ["outside-working-hours"]
}

test_no_change_at_the_end_of_the_day if ask("POST", "2024-11-25T18:00:00+01:00", operator).allow == false

test_no_change_on_sunday if ask("POST", "2024-11-24T12:00:00+01:00", operator).allow == false

test_eight_in_berlin_is_six_in_utc_in_summer if ask("POST", "2024-07-01T06:00:00Z", operator).allow

test_and_seven_in_winter if {
	ask("POST", "2024-12-02T06:00:00Z", operator).allow == false
	ask("POST", "2024-12-02T07:00:00Z", operator).allow
}

test_reading_is_always_possible if ask("GET", "2024-11-24T03:00:00Z", operator).reasons == ["reading"]

test_others_are_told_nothing_of_hours if {
	ask("POST", "2024-11-25T09:00:00+01:00", object.union(operator, {"groups": []})) == {
		"allow": false,
		"reasons": ["not-an-operator"],
	}
}
