# User on device: payroll opens to finance staff, and only from a computer that the company manages.
#
# Two proofs of two kinds: the token says who asks, the client certificate on the connection says from where. A stolen
# token opens nothing elsewhere, and a stolen laptop opens nothing without its user.
#
#     policy: {path: policies/examples/user_on_device, decision: examples/user_on_device/decision}
package examples.user_on_device

import rego.v1

managed := "spiffe://example.org/device/"

decision := {
	"allow": true,
	"reasons": ["finance-on-managed-device"],
	"dynamic_metadata": {"device": input.peer.id},
} if {
	is_finance
	on_managed_device
} else := {
	"allow": false,
	"reasons": [reason | some reason in missing],
	"public_reason": "Payroll opens to finance staff on a company computer.",
}

is_finance if {
	input.principal.kind == "user"
	input.principal.issuer == "corp"
	"finance" in input.principal.groups
}

# `input.peer` is the connection's certificate. A token whose subject is spelled like a device is no device.
on_managed_device if startswith(input.peer.id, managed)

missing contains "not-finance" if not is_finance

missing contains "not-on-managed-device" if not on_managed_device
