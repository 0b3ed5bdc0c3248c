package abi

import "strconv"

// AppendJSON appends the facts as one JSON object (FieldJSON) to dst and
// returns it. Keys that have no value are left out. The event is not in it.
func AppendJSON(dst []byte, f *Facts) []byte {
	w := jsonWriter{buf: append(dst, '{')}
	w.str("phase", f.Phase.String())
	w.str("request_id", f.RequestID)
	w.num("now_ms", f.NowMS)
	w.str("room_id", f.RoomID)
	w.str("room_version", f.RoomVersion)
	w.str("user_id", f.UserID)
	w.str("user_localpart", f.UserLocalpart)
	w.str("user_server", f.UserServer)
	w.str("origin", f.Origin)
	switch f.Phase {
	case MakeKnock:
		w.key("supported_versions")
		w.buf = append(w.buf, '[')
		for i, v := range f.SupportedVersions {
			if i > 0 {
				w.buf = append(w.buf, ',')
			}
			w.buf = appendQuoted(w.buf, v)
		}
		w.buf = append(w.buf, ']')
	case SendKnock:
		w.text("reason", f.Reason)
		w.text("displayname", f.Displayname)
		w.text("avatar_url", f.AvatarURL)
		w.truth("content_hash_ok", f.ContentHashOK)
	}
	w.key("room")
	w.buf = append(w.buf, '{')
	w.truth("known", f.Room.Known)
	if f.Room.Known {
		w.text("join_rule", f.Room.JoinRule)
		w.text("name", f.Room.Name)
		w.text("alias", f.Room.Alias)
		w.text("topic", f.Room.Topic)
		w.truth("encrypted", f.Room.Encrypted)
		w.num("members", f.Room.Members)
		w.text("user_membership", f.Room.UserMembership)
		w.num("age_ms", f.Room.AgeMS)
		if acl := f.Room.ACL; acl.Present {
			w.key("acl")
			if acl.Value == "" {
				acl.Value = "null"
			}
			w.buf = append(w.buf, acl.Value...)
		}
		w.count("pending", f.Room.Pending)
		w.count("pending_server", f.Room.PendingServer)
		w.count("members_server", f.Room.MembersServer)
		w.count("banned", f.Room.Banned)
		w.count("banned_server", f.Room.BannedServer)
		w.count("user_membership_since_ms", f.Room.UserMembershipSinceMS)
		w.text("user_membership_by", f.Room.UserMembershipBy)
	}
	return append(w.buf, '}', '}')
}

// jsonWriter appends members to an object; the comma is known from the last byte.
type jsonWriter struct{ buf []byte }

func (w *jsonWriter) key(k string) {
	if w.buf[len(w.buf)-1] != '{' {
		w.buf = append(w.buf, ',')
	}
	w.buf = append(w.buf, '"')
	w.buf = append(w.buf, k...)
	w.buf = append(w.buf, '"', ':')
}

func (w *jsonWriter) str(k, v string) {
	w.key(k)
	w.buf = appendQuoted(w.buf, v)
}

func (w *jsonWriter) text(k string, t Text) {
	if t.Present {
		w.str(k, t.Value)
	}
}

func (w *jsonWriter) num(k string, n int64) {
	w.key(k)
	w.buf = strconv.AppendInt(w.buf, n, 10)
}

func (w *jsonWriter) count(k string, n Number) {
	if n.Present {
		w.num(k, n.Value)
	}
}

func (w *jsonWriter) truth(k string, b bool) {
	w.key(k)
	w.buf = strconv.AppendBool(w.buf, b)
}

// appendQuoted appends s as a JSON string with the shortest escapes: only the
// quote, the backslash and control characters are escaped. s must be valid
// UTF-8, as every fact is.
func appendQuoted(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(dst, s[from:]...), '"')
}
