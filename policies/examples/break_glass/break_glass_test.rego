package examples.break_glass_test

import data.examples.break_glass
import rego.v1

ask(groups, headers) := answer if {
	answer := break_glass.decision with input as {
		"principal": {"kind": "user", "issuer": "corp", "id": "ana", "groups": groups},
		"request": {"headers": headers},
	}
}

test_an_administrator_needs_no_emergency if ask(["administrators"], {}) == {"allow": true, "reasons": ["administrator"]}

test_on_call_with_a_ticket_breaks_the_glass if {
	decision := ask(["on-call"], {"x-break-glass-ticket": "INC-20417"})
	decision.allow
	decision.reasons == ["break-glass"]
	decision.dynamic_metadata.break_glass == {"who": "ana", "ticket": "INC-20417"}
	decision.headers["x-break-glass"] == "INC-20417"
}

test_and_only_freshly_and_strongly_signed_in if {
	ask(["on-call"], {"x-break-glass-ticket": "INC-20417"}).require == {"max_age": 900, "acr": ["phr", "phrh"]}
}

test_on_call_without_a_ticket_is_told_how if {
	decision := ask(["on-call"], {})
	decision.allow == false
	decision.reasons == ["break-glass-needs-ticket"]
	contains(decision.public_reason, "X-Break-Glass-Ticket")
}

test_a_ticket_has_its_form if {
	every text in ["", "INC-1", "inc-20417", "INC-20417 ", "xINC-20417", "INC-20417\nINC-20418"] {
		ask(["on-call"], {"x-break-glass-ticket": text}).allow == false
	}
}

test_a_ticket_alone_opens_nothing if {
	ask([], {"x-break-glass-ticket": "INC-20417"}) == {"allow": false, "reasons": ["not-an-administrator"]}
}
