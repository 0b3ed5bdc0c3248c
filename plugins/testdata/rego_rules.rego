# Origins by glob and a rule about the reason, with settings such as
# {"origins":["*.bad.example"],"min":10,"newest":11}.
package knock

setting(key) := object.get(data.settings, key, null)

errors contains {"path": "origins", "message": "must be a list of globs"} if not is_array(setting("origins"))

errors contains {"path": key, "message": "must be a number"} if {
	some key in ["min", "newest"]
	not is_number(setting(key))
}

errors contains {"path": key, "message": "is no setting"} if {
	some key, _ in data.settings
	not key in ["origins", "min", "newest"]
}

default verdict := "pass"

origin := split(input.origin, ":")[0]

refused if {
	some pattern in data.settings.origins
	glob.match(pattern, [], origin)
}

short if {
	input.phase == "send_knock"
	count(trim_space(object.get(input, "reason", ""))) < data.settings.min
}

verdict := {
	"verdict": "deny",
	"code": "origin",
	"message": sprintf("Knocks from %s are not taken.", [origin]),
} if refused

verdict := {
	"verdict": "deny",
	"code": "reason",
	"message": sprintf("Say why, in at least %d characters.", [data.settings.min]),
	"detail": {"min": data.settings.min},
} if {
	not refused
	short
}

verdict := "incompatible" if {
	not refused
	not short
	to_number(input.room_version) > data.settings.newest
}

verdict := "allow" if {
	not refused
	not short
	not to_number(input.room_version) > data.settings.newest
	startswith(input.user_id, "@friend-")
}
