# One case for each first word of the reason.
package knock

word := split(input.reason, " ")[0]

rest := substring(input.reason, count(word) + 1, -1)

verdict := word if word in {"allow", "deny", "incompatible", "pass", "error", "maybe"}

verdict := {"verdict": "deny", "message": "words"} if word == "object"

verdict := {"verdict": "deny", "massage": "misspelt"} if word == "misspelt"

verdict := 7 if word == "number"

verdict := ["deny"] if word == "array"

verdict := {"verdict": "error", "error": "cannot tell"} if word == "gives-up"

# Two values of one rule are a conflict.
verdict := "allow" if word == "conflict"

verdict := "deny" if word == "conflict"

# A comprehension that is larger than any fuel.
verdict := "allow" if {
	word == "loop"
	count([1 | some x in numbers.range(1, 1000000); some y in numbers.range(1, 1000000); x == y]) > 0
}

# Memory that is more than any limit.
verdict := "allow" if {
	word == "memory"
	count(numbers.range(1, 100000000)) > 0
}

# Builtins: what each gives is in the message, as JSON.
verdict := {"verdict": "deny", "message": json.marshal(answer)} if word == "builtin"

parts := split(rest, "|")

answer := sprintf(parts[1], json.unmarshal(parts[2])) if parts[0] == "sprintf"

answer := sprintf("%v %s", [{"b"}, [set(), {1: null}, 1.5, true]]) if parts[0] == "values"

answer := [time.now_ns(), time.clock(time.now_ns()), time.date([time.now_ns(), "UTC"]), time.weekday(time.now_ns())] if parts[0] == "time"

answer := time.clock([0, parts[1]]) if parts[0] == "zone"

answer := trace("seen") if parts[0] == "trace"

answer := crypto.sha256(parts[1]) if parts[0] == "sha256"

answer := strings.count(parts[1], parts[2]) if parts[0] == "count"

answer := strings.any_prefix_match(parts[1], json.unmarshal(parts[2])) if parts[0] == "prefix"

answer := strings.any_suffix_match(parts[1], {s | some s in json.unmarshal(parts[2])}) if parts[0] == "suffix"

answer := data.settings if parts[0] == "settings"

answer := input[parts[1]] if parts[0] == "input"
