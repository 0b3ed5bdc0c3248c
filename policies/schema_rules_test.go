package policies_test

import "maps"

// The faults of the policies that go by rules which only they see.
func init() {
	maps.Copy(onlyConfigure, map[string][]string{
		"challenge/refused": {
			"answers[1]",             // found in every reason
			"answers[2]", "question", // bytes, where the schema counts characters
			"message", // a space
		},
		"policy_lists/refused": {
			"lists[1].name", "lists[2]", // twice the same, asked for nothing
			"protect[0]", "protect[1]", "protect[2]", // everybody, a port, no server name
			"room_message",
		},
		"profile_rules/refused": {
			"deny[1]", "deny[2]", "lookalike_of[0]", "lookalike_of[2]", // found in every name
			"except", "message", // a port, a space
		},
		"quiet_hours/refused": {
			"offsets[1].since",                                         // not in order
			"offsets[2].since", "offsets[3].since", "offsets[4].since", // not a date, not an hour, before the epoch
			"message", // too long with the time in it
		},
		"room_gate/refused": {
			"rooms[0].servers[1]", "rooms[0].servers[2]", "rooms[0].servers[3]", // no server names
			"rooms[1].servers", "rooms[1].require_reason", // in a closed room
			"reason_message",
		},
		"room_version/refused_message": {"message", "required_message"}, // white space
		"user_rules/refused": {
			"message", "rules[4].message", // a space, too many bytes
			"rules[0]", "rules[1].deny", "rules[2].message", // not one of the three
			"rules[3].deny[1]", "rules[3].except", // ports
		},
	})
}
