# The Rego SDK for Knockgate policies: settings with faults that name them, server names,
# verdicts in words. A policy is a package knock with the rule verdict, and errors if it has
# settings; sdk/README.md says what they may be.
package knockgate

# setting is the value of a key of the settings, or what stands in for it.
setting(key, otherwise) := object.get(data.settings, key, otherwise)

# unknown is a fault for each key of the settings that is not among the known ones.
unknown(known) := {fault(key, sprintf("unknown setting; known here: %s", [concat(", ", sort(known))])) |
	some key, _ in data.settings
	not key in known
}

# number is a fault if the key is set to what is no whole number from least to most.
number(key, least, most) := {fault(key, message) |
	value := data.settings[key]
	message := number_fault(value, least, most)
}

number_fault(value, least, most) := sprintf("must be a whole number, not %s", [kind(value)]) if {
	not is_whole(value)
} else := sprintf("must be from %d to %d, not %d", [least, most, value]) if {
	not between(value, least, most)
}

is_whole(value) if {
	is_number(value)
	floor(value) == value
}

between(value, least, most) if {
	value >= least
	value <= most
}

# text, truth, list_of_texts and object are a fault for each value of another kind.
text(key) := {fault(key, sprintf("must be a text, not %s", [kind(value)])) |
	value := data.settings[key]
	not is_string(value)
}

truth(key) := {fault(key, sprintf("must be true or false, not %s", [kind(value)])) |
	value := data.settings[key]
	not is_boolean(value)
}

list_of_texts(key) := {fault(key, sprintf("must be a list of texts, not %s", [kind(value)])) |
	value := data.settings[key]
	not is_array(value)
} | {fault(sprintf("%s[%d]", [key, i]), sprintf("must be a text, not %s", [kind(value)])) |
	is_array(data.settings[key])
	some i, value in data.settings[key]
	not is_string(value)
}

# fault is one entry of the rule errors.
fault(path, message) := {"path": path, "message": message}

kind(value) := {
	"null": "null", "boolean": "a truth value", "number": "a number",
	"string": "a text", "array": "a list", "object": "an object",
}[type_name(value)]

# deny and incompatible refuse the knock with a message for the knocker and the name of the rule
# that fired. pass, allow and the rest are texts.
deny(message, code) := {"verdict": "deny", "message": message, "code": code}

incompatible(message, code) := {"verdict": "incompatible", "message": message, "code": code}

# error says that the policy could not decide, and why, for the record.
error(message) := {"verdict": "error", "error": message}

# strip_port is a server name without its port: "[::1]" for "[::1]:8448".
strip_port(name) := trim_suffix(host, ":") if {
	host := trim_right(name, "0123456789")
	endswith(host, ":")
} else := name

# origin_server is the server that sent the request, without its port: what lists of servers are
# matched with.
origin_server := strip_port(input.origin)

# reason is what the knocker wrote, "" if nothing.
reason := object.get(input, "reason", "")
