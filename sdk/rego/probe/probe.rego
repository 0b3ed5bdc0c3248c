# The probe of this SDK: the settings say what it does. plugins/conformance holds it to what every
# SDK's probe answers, as far as OPA's ABI has something for it.
package knock

import data.knockgate

op := knockgate.setting("op", "echo")

text := knockgate.setting("text", "")

noted(note) := {"verdict": "allow", "note": note}

verdict := echo if op == "echo"

verdict := said if op == "verdict"

verdict := noted(input.phase) if op == "phase"

verdict := noted(knockgate.origin_server) if op == "origin_server"

verdict := noted(knockgate.strip_port(text)) if op == "strip_port"

verdict := noted(sprintf("%d", [time.now_ns() / 1000000])) if op == "now"

verdict := noted(sprintf(
	"truth=%v number=%d text=%s choice=%s items=%s inner=%d rules=%s",
	[
		knockgate.setting("truth", false), knockgate.setting("number", 0), text, knockgate.setting("choice", "a"),
		concat(",", knockgate.setting("items", [])), object.get(knockgate.setting("inner", {}), "number", 1),
		concat(";", [sprintf("%s(%s)", [object.get(rule, "name", ""), concat(",", listed(object.get(rule, "allow", [])))]) |
			some rule in knockgate.setting("rules", [])
		]),
	],
)) if {
	op == "settings"
}

listed(value) := value if is_array(value)

listed(value) := [value] if is_string(value)

field := knockgate.setting("field", "")

fields := {
	"room_id", "room_version", "user_id", "user_localpart", "user_server", "origin", "reason", "displayname",
	"avatar_url", "request_id", "now_ms", "content_hash_ok", "room_known", "room_join_rule", "room_name", "room_alias",
	"room_topic", "room_encrypted", "room_members", "user_membership", "room_age_ms", "room_pending",
	"room_pending_server", "room_members_server", "room_banned", "room_banned_server",
	"user_membership_since_ms", "user_membership_by",
}

echo := knockgate.error("no such field") if not field in fields

echo := echoed(object.get(input, field, null)) if {
	field in fields
	not in_room
}

echo := echoed(object.get(input.room, trim_prefix(field, "room_"), null)) if {
	field in fields
	in_room
}

in_room if {
	startswith(field, "room_")
	not field in {"room_id", "room_version"}
}

in_room if startswith(field, "user_membership")

echoed(value) := {"verdict": "allow", "code": "absent"} if value == null

echoed(value) := {"verdict": "allow", "code": "present", "note": value} if is_string(value)

echoed(value) := {"verdict": "allow", "code": "present", "note": sprintf("%v", [value])} if is_boolean(value)

echoed(value) := {"verdict": "allow", "code": "present", "note": sprintf("%d", [value])} if is_number(value)

said := object.union_n([{"verdict": kind}, words, note, code, detail])

kind := knockgate.setting("kind", "pass")

words := {"error": knockgate.setting("message", "")} if {
	kind == "error"
	knockgate.setting("message", "") != ""
} else := {"message": data.settings.message} if {
	kind != "error"
} else := {}

note := {"note": data.settings.note} if data.settings.note

else := {}

code := {"code": data.settings.code} if data.settings.code

else := {}

detail := {"detail": {d.key: value | some d in data.settings.detail; some key, value in d; key != "key"}} if data.settings.detail

else := {}
