package knock

import data.knockgate

min := knockgate.setting("min", 10)

errors contains fault if some fault in knockgate.unknown({"min"})

errors contains fault if some fault in knockgate.number("min", 0, 500)

default verdict := "pass"

verdict := knockgate.deny(message, "reason_too_short") if {
	input.phase == "send_knock"
	count(knockgate.reason) < min
	message := sprintf("Please say in %d characters why you would like to join.", [min])
}
