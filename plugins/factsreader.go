package plugins

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/knockgate/knockgate/sdk/abi"
)

// readFacts reads facts that abi.AppendJSON wrote, in the order in which it writes them,
// and returns nil for any other text that it notices. What it does not notice the caller
// does, who compares what AppendJSON makes of the facts with the text.
func readFacts(text string, event []byte) *abi.Facts {
	r := factsReader{rest: text, failed: !utf8.ValidString(text)}
	r.skip("{")
	f := &abi.Facts{Event: event}
	f.Phase, _ = ParsePhase(r.str("phase"))
	f.RequestID = r.str("request_id")
	f.NowMS = r.num("now_ms").Value
	f.RoomID = r.str("room_id")
	f.RoomVersion = r.str("room_version")
	f.UserID = r.str("user_id")
	f.UserLocalpart = r.str("user_localpart")
	f.UserServer = r.str("user_server")
	f.Origin = r.str("origin")
	switch f.Phase {
	case abi.MakeKnock:
		f.SupportedVersions = r.list("supported_versions")
	case abi.SendKnock:
		f.Reason = r.text("reason")
		f.Displayname = r.text("displayname")
		f.AvatarURL = r.text("avatar_url")
		f.ContentHashOK = r.truth("content_hash_ok")
	default:
		return nil
	}
	if !r.has("room") {
		return nil
	}
	r.skip("{")
	if f.Room.Known = r.truth("known"); f.Room.Known {
		f.Room.JoinRule = r.text("join_rule")
		f.Room.Name = r.text("name")
		f.Room.Alias = r.text("alias")
		f.Room.Topic = r.text("topic")
		f.Room.Encrypted = r.truth("encrypted")
		f.Room.Members = r.num("members").Value
		f.Room.UserMembership = r.text("user_membership")
		f.Room.AgeMS = r.num("age_ms").Value
		f.Room.ACL = r.raw("acl")
		f.Room.Pending = r.num("pending")
		f.Room.PendingServer = r.num("pending_server")
		f.Room.MembersServer = r.num("members_server")
		f.Room.Banned = r.num("banned")
		f.Room.BannedServer = r.num("banned_server")
		f.Room.UserMembershipSinceMS = r.num("user_membership_since_ms")
		f.Room.UserMembershipBy = r.text("user_membership_by")
	}
	if r.failed || r.rest != "}}" {
		return nil
	}
	return f
}

// factsReader reads members one after the other. The values share the memory of the text.
type factsReader struct {
	rest   string
	failed bool
}

// skip passes over what must stand here.
func (r *factsReader) skip(token string) {
	rest, ok := strings.CutPrefix(r.rest, token)
	r.rest, r.failed = rest, r.failed || !ok
}

// has reports whether the next member has this key, and passes over the key.
func (r *factsReader) has(key string) bool {
	rest := strings.TrimPrefix(r.rest, ",")
	rest, quote := strings.CutPrefix(rest, `"`)
	rest, same := strings.CutPrefix(rest, key)
	rest, colon := strings.CutPrefix(rest, `":`)
	if !quote || !same || !colon {
		return false
	}
	r.rest = rest
	return true
}

// str returns a text that must be there.
func (r *factsReader) str(key string) string {
	t := r.text(key)
	r.failed = r.failed || !t.Present
	return t.Value
}

func (r *factsReader) text(key string) abi.Text {
	if !r.has(key) {
		return abi.Text{}
	}
	return abi.Some(r.quoted())
}

// quoted returns the JSON string that stands here.
func (r *factsReader) quoted() string {
	r.skip(`"`)
	end := strings.IndexAny(r.rest, `"\`)
	if end >= 0 && r.rest[end] == '"' {
		text := r.rest[:end]
		r.rest = r.rest[end+1:]
		return text
	}
	for end >= 0 && end < len(r.rest) && r.rest[end] != '"' {
		if r.rest[end] == '\\' {
			end++
		}
		end++
	}
	var text string
	if end < 0 || end >= len(r.rest) || json.Unmarshal([]byte(`"`+r.rest[:end+1]), &text) != nil {
		r.failed = true
		return ""
	}
	r.rest = r.rest[end+1:]
	return text
}

func (r *factsReader) list(key string) []string {
	if !r.has(key) {
		r.failed = true
		return nil
	}
	r.skip("[")
	list := []string{}
	for !r.failed && !strings.HasPrefix(r.rest, "]") {
		r.rest = strings.TrimPrefix(r.rest, ",")
		list = append(list, r.quoted())
	}
	r.skip("]")
	return list
}

func (r *factsReader) num(key string) abi.Number {
	if !r.has(key) {
		return abi.Number{}
	}
	end := 0
	for end < len(r.rest) && (r.rest[end] == '-' || '0' <= r.rest[end] && r.rest[end] <= '9') {
		end++
	}
	n, err := strconv.ParseInt(r.rest[:end], 10, 64)
	r.rest, r.failed = r.rest[end:], r.failed || err != nil
	return abi.Count(n)
}

// truth returns a truth value that must be there.
func (r *factsReader) truth(key string) bool {
	if !r.has(key) {
		r.failed = true
		return false
	}
	rest, yes := strings.CutPrefix(r.rest, "true")
	if !yes {
		r.skip("false")
		return false
	}
	r.rest = rest
	return true
}

// raw returns a JSON value as it stands there; null is the empty text.
func (r *factsReader) raw(key string) abi.Text {
	if !r.has(key) {
		return abi.Text{}
	}
	if rest, null := strings.CutPrefix(r.rest, "null"); null {
		r.rest = rest
		return abi.Some("")
	}
	d := json.NewDecoder(strings.NewReader(r.rest))
	var value json.RawMessage
	if err := d.Decode(&value); err != nil {
		r.failed = true
		return abi.Text{}
	}
	r.rest = r.rest[d.InputOffset():]
	return abi.Some(string(value))
}
