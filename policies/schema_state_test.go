package policies_test

import "maps"

// The faults of the policies that remember and count which only they see.
func init() {
	maps.Copy(onlyConfigure, map[string][]string{
		"rate_limit/refused": {
			"message",                             // a space
			"exempt_servers[0]",                   // a port
			"limits[2]", "limits[3]", "limits[5]", // not one of the two kinds
		},
		"rate_limit/refused_kinds":     {"limits"},                    // none of the list is one
		"reknock/refused_backoff":      {"max_backoff"},               // less than cooldown
		"raid_breaker/refused":         {"message", "exempt_servers"}, // a space, a port
		"raid_breaker/refused_kinds":   {"room.count", "room.window"}, // not asked for, as the room is no object
		"raid_breaker/refused_none":    {""},                          // neither room nor host
		"greylist/refused":             {"exempt_servers[1]"},         // no server name
		"greylist/refused_ttl":         {"ttl"},                       // not more than delay
		"pending_cap/refused_none":     {"", "message"},               // no cap, white space
		"known_server/refused":         {"message"},                   // a space
		"known_server/refused_nothing": {""},                          // twice pass
	})
}
