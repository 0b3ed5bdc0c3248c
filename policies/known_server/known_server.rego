# known_server knows the servers that have members in the room already. README.md is the
# documentation.
package knock

import data.knockgate

most := 1000000

min := knockgate.setting("min", 1)

known := knockgate.setting("known", "allow")

otherwise := knockgate.setting("otherwise", "pass")

message := knockgate.setting("message", "Only servers that have members in this room may knock on it.")

choices := {"known": ["allow", "pass"], "otherwise": ["pass", "deny"]}

errors contains fault if some fault in knockgate.unknown({"min", "known", "otherwise", "message"})

errors contains fault if some fault in knockgate.number("min", 1, most)

errors contains fault if {
	some key in ["known", "otherwise", "message"]
	some fault in knockgate.text(key)
}

errors contains knockgate.fault(key, sprintf("must be one of %s, not %q", [concat(", ", list), value])) if {
	some key, list in choices
	value := data.settings[key]
	is_string(value)
	not value in list
}

errors contains knockgate.fault("", "known and otherwise must not both be pass, as there is nothing else to answer") if {
	known == "pass"
	otherwise == "pass"
}

errors contains knockgate.fault("message", "must not be empty: leave it out for the usual sentence") if {
	trim_space(data.settings.message) == ""
}

errors contains knockgate.fault("message", "must be at most 512 characters") if {
	count(data.settings.message) > 512
}

members := object.get(input.room, "members_server", -1)

default verdict := "pass"

# A phase of a later edition passes.
verdict := answer(known, "known_server") if {
	input.phase in {"make_knock", "send_knock"}
	members >= min
} else := answer(otherwise, "unknown_server") if {
	input.phase in {"make_knock", "send_knock"}
	members >= 0
} else := answer(otherwise, "members_unknown") if {
	input.phase in {"make_knock", "send_knock"}
}

answer(word, code) := {"verdict": word, "message": message, "code": code, "note": note} if {
	word == "deny"
} else := {"verdict": word, "code": code, "note": note}

note := sprintf("%d joined of the server, known from %d", [members, min]) if {
	members >= 0
} else := "the host does not tell how many of the server have joined"
