package access_test

import data.access
import rego.v1

laptop := {"kind": "device", "id": "mdm:laptop-7"}

ask(groups, peer) := answer if {
	answer := access.decision with input as {"principal": {"groups": groups}, "peer": peer}
}

test_a_member_on_a_managed_device if ask(["finance"], laptop) == {
	"allow": true,
	"reasons": ["member-on-managed-device"],
}

test_a_member_from_anywhere_else if ask(["finance"], null).reasons == ["not-on-a-managed-device"]

test_somebody_else_on_a_managed_device if ask(["sales"], laptop).reasons == ["not-a-member"]

test_a_device_that_nobody_manages if ask(["finance"], {"kind": "device", "id": "guest:mdm:1"}).allow == false

test_a_workload_that_is_called_so_is_no_device if ask(["finance"], {"kind": "workload", "id": "mdm:1"}).allow == false
