package main

import (
	"database/sql"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/resident"
	"github.com/knockgate/knockgate/host/internal/store"
)

// makeCases are 29 to 50: make_knock, and what a room's state has to say.
func makeCases(s *scene) []adversarial {
	query := func(q string) asked {
		return s.get(func(*testing.T) string {
			return strings.TrimSuffix(peer.MakeTarget(s.room, s.p.User("a"), []string{""}), "?ver=") + q
		})
	}
	incompatible := func(version string, do asked) asked {
		return func(t *testing.T) exchange {
			e := do(t)
			e.check = func(t *testing.T, x *peer.Exchange) {
				if got := field(t, x.Body, "room_version"); got != version {
					t.Errorf("room_version = %q, want %q: %s", got, version, x.Body)
				}
			}
			return e
		}
	}
	cases := []adversarial{
		{"29 ver missing", query(""), 400, "M_MISSING_PARAM", nothing},
		{"29 ver missing among others", query("?version=11"), 400, "M_MISSING_PARAM", nothing},
		{"29 ver empty", incompatible("11", query("?ver=")), 400, "M_INCOMPATIBLE_ROOM_VERSION", nothing},
		{"29 ver with a comma", incompatible("11", query("?ver=7,11")), 400, "M_INCOMPATIBLE_ROOM_VERSION", nothing},
		{"29 ver with a semicolon, which is only a character", incompatible("11", query("?ver=7;ver=11")), 400, "M_INCOMPATIBLE_ROOM_VERSION", nothing},
		{"29 ver with a bad escape", query("?ver=%zz"), 400, "M_INVALID_PARAM", nothing},
		{"29 ver twice", query("?ver=11&ver=11"), 200, "", decision},
		{"29 ver ten thousand times", query("?" + strings.Repeat("ver=1&", 9_999) + "ver=11"), 200, "", decision},
		{"29 ver once more, which net/url does not read", query("?" + strings.Repeat("ver=1&", 10_000) + "ver=11"), 400, "M_INVALID_PARAM", nothing},
		{"29 ver among ten thousand others: over the header's limit", query("?" + manyVersions(10_000) + "ver=11"), 431, "", nothing},
		{"29 ver behind more others than are kept", incompatible("11", query("?"+manyVersions(128)+"ver=11")), 400, "M_INCOMPATIBLE_ROOM_VERSION", nothing},
		{"29 ver with unknown and malformed ones", query("?ver=%00&ver=org.example.v99&ver=" + strings.Repeat("9", 99) + "&ver=11"), 200, "", decision},
		{"30 room version 6, in ver", func(t *testing.T) exchange {
			return s.makes(s.p, s.roomSix(t), s.p.User("a"), "6", "7")
		}, 403, "M_FORBIDDEN", nothing},
		{"30 room version 6, not in ver", incompatible("6", func(t *testing.T) exchange {
			return s.makes(s.p, s.roomSix(t), s.p.User("a"), "7")
		}), 400, "M_INCOMPATIBLE_ROOM_VERSION", nothing},
		{"30 room version 6, send_knock", func(t *testing.T) exchange {
			room := s.roomSix(t)
			event, id := s.w.signed(t, s.p, s.room, s.user(), func(e map[string]any) { e["room_id"] = room })
			return s.put(room, id, event)
		}, 403, "M_FORBIDDEN", nothing},
		{"31 ver lacks the room's version", incompatible("11", query("?ver=7&ver=10&ver=12")), 400, "M_INCOMPATIBLE_ROOM_VERSION", nothing},
	}
	cases = append(cases, userCases(s)...)
	cases = append(cases, aclCases(s)...)
	return append(cases, ruleCases(s)...)
}

// manyVersions is n values of ver, all different.
func manyVersions(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("ver=x")
		b.WriteString(string(rune('a' + i%26)))
		b.WriteString(string(rune('a' + i/26%26)))
		b.WriteString(string(rune('a' + i/676%26)))
		b.WriteByte('&')
	}
	return b.String()
}

// roomSix makes a room of a version from before knocking, which this server
// would not make.
func (s *scene) roomSix(t *testing.T) matrix.RoomID {
	t.Helper()
	id := matrix.RoomID("!six-" + s.user() + ":" + string(s.w.name))
	if err := s.w.store.Write(t.Context(), func(tx *store.Tx) error { return tx.InsertRoom(id, "6", s.w.clock.Now()) }); err != nil {
		t.Fatal(err)
	}
	return id
}

// userCases are 32 to 38: identifiers.
func userCases(s *scene) []adversarial {
	// as asks as a server of a name for a user of another.
	as := func(name matrix.ServerName, user matrix.UserID) asked {
		return func(t *testing.T) exchange { return s.makes(s.w.named(t, name), s.room, user) }
	}
	// path asks with identifiers in the path as they are.
	path := func(room, user func() string) asked {
		return s.get(func(*testing.T) string {
			return "/_matrix/federation/v1/make_knock/" + room() + "/" + user() + "?ver=11"
		})
	}
	room := func() string { return string(s.room) }
	user := func(localpart string) func() string { return func() string { return string(s.p.User(localpart)) } }
	return []adversarial{
		{"32 domain in another case, make_knock", as("case.example", "@a:CASE.example"), 403, "M_FORBIDDEN", nothing},
		{"32 domain in another case, send_knock", func(t *testing.T) exchange {
			p := s.w.named(t, "case2.example")
			event, id := s.w.signed(t, p, s.room, "a", func(e map[string]any) { e["sender"], e["state_key"] = "@a:CASE2.example", "@a:CASE2.example" })
			return exchange{w: s.w, do: func(t *testing.T) *peer.Exchange {
				return s.w.do(t, p, http.MethodPut, peer.SendTarget(s.room, id), event)
			}}
		}, 400, "M_INVALID_PARAM", nothing},
		{"33 user with a port, origin without", as("port.example", "@a:port.example:8448"), 403, "M_FORBIDDEN", nothing},
		{"33 origin with a port, user without", as("port.example:8448", "@a:port.example"), 403, "M_FORBIDDEN", nothing},
		{"33 both with the same port", as("ports.example:8448", "@a:ports.example:8448"), 200, "", decision},
		{"33 port with a zero in front", as("zero.example:8448", "@a:zero.example:08448"), 403, "M_FORBIDDEN", nothing},
		{"34 IPv6 origin", as("[2001:db8::1]", "@a:[2001:db8::1]"), 200, "", decision},
		{"34 IPv6 origin with a port", as("[2001:db8::2]:8448", "@a:[2001:db8::2]:8448"), 200, "", decision},
		{"34 IPv6 origin in another spelling", as("[2001:db8::3]", "@a:[2001:DB8:0::3]"), 403, "M_FORBIDDEN", nothing},
		{"34 IPv6 without brackets", path(room, func() string { return "@a:2001:db8::1" }), 400, "M_INVALID_PARAM", nothing},
		{"34 IPv6 origin, the whole knock", func(t *testing.T) exchange {
			p := s.w.named(t, "[2001:db8::4]:8448")
			event, id := s.w.signed(t, p, s.room, "a", nil)
			return exchange{w: s.w, do: func(t *testing.T) *peer.Exchange {
				return s.w.do(t, p, http.MethodPut, peer.SendTarget(s.room, id), event)
			}}
		}, 200, "", knocked},
		{"35 empty localpart", func(t *testing.T) exchange { return s.makes(s.p, s.room, s.p.User("")) }, 200, "", decision},
		{"35 historical localpart", func(t *testing.T) exchange { return s.makes(s.p, s.room, s.p.User("A B/ü\u2028😀")) }, 200, "", decision},
		{"35 historical localpart, the whole knock", func(t *testing.T) exchange {
			event, id := s.w.signed(t, s.p, s.room, "A B/ü\u2028😀", nil)
			return s.put(s.room, id, event)
		}, 200, "", knocked},
		{"36 user ID of 255 bytes", func(t *testing.T) exchange { return s.makes(s.p, s.room, longUser(s.p, 255)) }, 200, "", decision},
		{"36 user ID of 256 bytes", func(t *testing.T) exchange { return s.makes(s.p, s.room, longUser(s.p, 256)) }, 400, "M_INVALID_PARAM", nothing},
		{"36 sender of 256 bytes", s.send(func(e map[string]any) {
			e["sender"], e["state_key"] = longUser(s.p, 256), longUser(s.p, 256)
		}), 413, "M_TOO_LARGE", nothing},
		{"36 room ID of 256 bytes", path(func() string { return "!" + strings.Repeat("a", 251) + ":b.c" }, user("a")), 400, "M_INVALID_PARAM", nothing},
		{"37 NUL in a user ID", path(room, user("a%00b")), 400, "M_INVALID_PARAM", nothing},
		{"37 NUL in a room ID", path(func() string { return replaceOnce(room(), "!", "!%00") }, user("a")), 400, "M_INVALID_PARAM", nothing},
		{"37 newline in a localpart, which the grammar allows", path(room, user("a%0Ab")), 200, "", decision},
		{"37 newline in a server name", path(room, func() string { return string(s.p.User("a")) + "%0A" }), 400, "M_INVALID_PARAM", nothing},
		{"37 newline in a room ID", path(func() string { return replaceOnce(room(), "!", "!%0A") }, user("a")), 404, "M_NOT_FOUND", nothing},
		{"37 invalid UTF-8 in a user ID", path(room, user("%ff")), 400, "M_INVALID_PARAM", nothing},
		{"37 a surrogate in a user ID", path(room, user("%ed%a0%80")), 400, "M_INVALID_PARAM", nothing},
		{"37 a newline as it is: net/http answers", func(*testing.T) exchange {
			return s.raw("GET /_matrix/federation/v1/make_knock/a\nb HTTP/1.1\r\nHost: a\r\n\r\n")
		}, 400, "", nothing},
		{"37 NUL as it is: net/http answers", func(*testing.T) exchange {
			return s.raw("GET /_matrix/federation/v1/make_knock/!a\x00b/c?ver=11 HTTP/1.1\r\nHost: a\r\n\r\n")
		}, 400, "", nothing},
		{"37 a bad escape in the path: net/http answers", func(*testing.T) exchange {
			return s.raw(rawRequest(http.MethodGet, "/_matrix/federation/v1/make_knock/!a%zz/c?ver=11", s.w.name, nil, ""))
		}, 400, "", nothing},
		{"38 room ID of version 12 with a server name", func(t *testing.T) exchange {
			return s.makes(s.p, s.w.room("12", "knock")+":"+matrix.RoomID(s.w.name), s.p.User("a"))
		}, 404, "M_NOT_FOUND", nothing},
		{"38 room ID of version 12 with a stray bit", func(t *testing.T) exchange {
			return s.makes(s.p, "!"+matrix.RoomID(strings.Repeat("A", 42))+"B", s.p.User("a"))
		}, 400, "M_INVALID_PARAM", nothing},
		{"38 event of version 12 that names its room with a server", func(t *testing.T) exchange {
			room := s.w.room("12", "knock")
			event, id := s.w.signed(t, s.p, room, s.user(), func(e map[string]any) { e["room_id"] = string(room) + ":" + string(s.w.name) })
			return s.put(room, id, event)
		}, 400, "M_INVALID_PARAM", nothing},
	}
}

func longUser(p *peer.Peer, size int) matrix.UserID {
	return p.User(strings.Repeat("a", size-len("@:")-len(p.Name())))
}

// aclCases are 39 to 44: the room's server ACL.
func aclCases(s *scene) []adversarial {
	// under asks as a server of a name in a room with an ACL.
	under := func(name matrix.ServerName, acl string) asked {
		return func(t *testing.T) exchange {
			room := s.w.room("11", "knock")
			s.w.state(room, "m.room.server_acl", "", acl)
			p := s.p
			if name != "" {
				p = s.w.named(t, name)
			}
			return s.makes(p, room, p.User("a"))
		}
	}
	return []adversarial{
		{"39 deny without the origin's port", under("acl1.example:8448", `{"allow":["*"],"deny":["acl1.example"]}`), 403, "M_FORBIDDEN", nothing},
		{"39 deny with the port, which no origin has here", under("acl2.example:8448", `{"allow":["*"],"deny":["acl2.example:8448"]}`), 200, "", decision},
		{"39 deny of an IPv6 origin with a port", under("[2001:db8::9]:1", `{"allow":["*"],"deny":["[2001:db8::9]"]}`), 403, "M_FORBIDDEN", nothing},
		{"40 allow empty", under("", `{"allow":[]}`), 403, "M_FORBIDDEN", nothing},
		{"40 allow missing", under("", `{}`), 403, "M_FORBIDDEN", nothing},
		{"40 allow no list", under("", `{"allow":"*"}`), 403, "M_FORBIDDEN", nothing},
		{"40 allow of things that are no strings", under("", `{"allow":[1,null,["*"]]}`), 403, "M_FORBIDDEN", nothing},
		{"41 '?' is one character", under("acl3.example", `{"allow":["*"],"deny":["acl?.example"]}`), 403, "M_FORBIDDEN", nothing},
		{"41 '?' is not none", under("acl.example", `{"allow":["*"],"deny":["acl?.example"]}`), 200, "", decision},
		{"41 '.' is a dot", under("acl4xexample", `{"allow":["*"],"deny":["acl4.example"]}`), 200, "", decision},
		{"41 what a regular expression would take", under("acl5.example", `{"allow":["*"],"deny":["(.*)",".*","acl5.example|x","[a-z0-9.]+","^acl5.example$"]}`), 200, "", decision},
		{"41 a part of the name", under("acl6.example", `{"allow":["acl6","example","cl6.exampl"]}`), 403, "M_FORBIDDEN", nothing},
		{"42 deny in upper case", under("acl7.example", `{"allow":["*"],"deny":["ACL7.*"]}`), 403, "M_FORBIDDEN", nothing},
		{"42 origin in upper case", under("ACL8.EXAMPLE", `{"allow":["acl8.example"]}`), 200, "", decision},
		{"43 IP literals off, IPv4", under("", `{"allow":["*"],"allow_ip_literals":false}`), 403, "M_FORBIDDEN", nothing},
		{"43 IP literals off, IPv6", under("[2001:db8::8]", `{"allow":["*"],"allow_ip_literals":false}`), 403, "M_FORBIDDEN", nothing},
		{"43 IP literals off, a name", under("acl9.example", `{"allow":["*"],"allow_ip_literals":false}`), 200, "", decision},
		{"43 IP literals neither on nor off", under("", `{"allow":["*"],"allow_ip_literals":"false"}`), 200, "", decision},
		{"44 ACL changed between make and send", func(t *testing.T) exchange {
			room := s.w.room("11", "knock")
			event, id := s.w.signed(t, s.p, room, s.user(), nil)
			s.w.state(room, "m.room.server_acl", "", `{"allow":["*"],"deny":["127.*"]}`)
			return s.put(room, id, event)
		}, 403, "M_FORBIDDEN", nothing},
	}
}

// ruleCases are 45 to 50: join rules, memberships and the moment they change.
func ruleCases(s *scene) []adversarial {
	// rules asks in a room whose join rules have this content.
	rules := func(version, content string) asked {
		return func(t *testing.T) exchange {
			room := s.w.room(version, "invite")
			s.w.state(room, "m.room.join_rules", "", content)
			return s.makes(s.p, room, s.p.User("a"))
		}
	}
	// set asks for a user whom the room's creator has given memberships.
	set := func(memberships ...string) asked {
		return func(t *testing.T) exchange {
			room, user := s.w.room("11", "knock"), s.p.User("a")
			for _, m := range memberships {
				s.w.state(room, "m.room.member", string(user), `{"membership":"`+m+`"}`)
			}
			return s.makes(s.p, room, user)
		}
	}
	// between changes the room after the template was made.
	between := func(change func(room matrix.RoomID, user matrix.UserID)) asked {
		return func(t *testing.T) exchange {
			room, name := s.w.room("11", "knock"), s.user()
			event, id := s.w.signed(t, s.p, room, name, nil)
			change(room, s.p.User(name))
			return s.put(room, id, event)
		}
	}
	member := func(membership string) func(matrix.RoomID, matrix.UserID) {
		return func(room matrix.RoomID, user matrix.UserID) {
			s.w.state(room, "m.room.member", string(user), `{"membership":"`+membership+`"}`)
		}
	}
	return []adversarial{
		{"45 knock_restricted in version 9", rules("9", `{"join_rule":"knock_restricted"}`), 403, "M_FORBIDDEN", nothing},
		{"45 knock_restricted in version 10", rules("10", `{"join_rule":"knock_restricted"}`), 200, "", decision},
		{"46 join rules without join_rule", rules("11", `{}`), 403, "M_FORBIDDEN", nothing},
		{"46 no join rules", func(t *testing.T) exchange {
			room := s.w.room("11", "knock")
			s.forget(t, room, "m.room.join_rules")
			return s.makes(s.p, room, s.p.User("a"))
		}, 403, "M_FORBIDDEN", nothing},
		{"46 join_rule a number", rules("11", `{"join_rule":1}`), 403, "M_FORBIDDEN", nothing},
		{"46 join_rule an array", rules("11", `{"join_rule":["knock"]}`), 403, "M_FORBIDDEN", nothing},
		{"46 join_rule in other case", rules("11", `{"join_rule":"Knock"}`), 403, "M_FORBIDDEN", nothing},
		{"46 join_rule that nobody knows", rules("11", `{"join_rule":"private"}`), 403, "M_FORBIDDEN", nothing},
		{"47 invited", set("invite"), 403, "M_FORBIDDEN", nothing},
		{"47 joined", func(t *testing.T) exchange {
			room := s.w.room("11", "knock")
			s.join(t, s.p, room, s.p.User("a"))
			return s.makes(s.p, room, s.p.User("a"))
		}, 403, "M_FORBIDDEN", nothing},
		{"47 joined, send_knock", func(t *testing.T) exchange {
			room, name := s.w.room("11", "knock"), s.user()
			s.join(t, s.p, room, s.p.User(name))
			event, id := s.w.signed(t, s.p, room, "other", func(e map[string]any) { e["sender"], e["state_key"] = s.p.User(name), s.p.User(name) })
			return s.put(room, id, event)
		}, 403, "M_FORBIDDEN", nothing},
		{"47 banned", set("ban"), 403, "M_FORBIDDEN", nothing},
		{"47 left", set("invite", "leave"), 200, "", decision},
		{"47 unbanned", set("ban", "leave"), 200, "", decision},
		{"47 knocked", func(t *testing.T) exchange {
			k := s.w.knock(s.p, s.user(), s.room)
			s.w.mustKnock(s.p, k, peer.Allowed)
			return s.makes(s.p, s.room, k.User)
		}, 200, "", decision},
		{"48 m.federate false", func(t *testing.T) exchange {
			room, err := s.w.rooms.CreateRoom(t.Context(), resident.RoomSpec{LocalOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			return s.makes(s.p, room, s.p.User("a"))
		}, 403, "M_FORBIDDEN", nothing},
		{"48 m.federate false, send_knock", func(t *testing.T) exchange {
			room, err := s.w.rooms.CreateRoom(t.Context(), resident.RoomSpec{LocalOnly: true})
			if err != nil {
				t.Fatal(err)
			}
			return s.put(s.inRoom(t, room))
		}, 403, "M_FORBIDDEN", nothing},
		{"49 banned between make and send", between(member("ban")), 403, "M_FORBIDDEN", nothing},
		{"49 invited between make and send", between(member("invite")), 403, "M_FORBIDDEN", nothing},
		{"50 join_rule changed between make and send", between(func(room matrix.RoomID, _ matrix.UserID) {
			s.w.state(room, "m.room.join_rules", "", `{"join_rule":"invite"}`)
		}), 403, "M_FORBIDDEN", nothing},
		{"50 join_rule changed between, and back", between(func(room matrix.RoomID, _ matrix.UserID) {
			s.w.state(room, "m.room.join_rules", "", `{"join_rule":"invite"}`)
			s.w.state(room, "m.room.join_rules", "", `{"join_rule":"knock"}`)
		}), 200, "", knocked},
		{"50 join_rule that let nobody knock when the template was made", func(t *testing.T) exchange {
			room := s.w.room("11", "invite")
			id, event := s.claims(t, room)
			s.w.state(room, "m.room.join_rules", "", `{"join_rule":"knock"}`)
			return s.put(room, id, event)
		}, 403, "M_FORBIDDEN", nothing},
	}
}

// claims makes a knock on a room of version 11 as it is, whether or not it may
// be knocked on.
func (s *scene) claims(t *testing.T, room matrix.RoomID) (matrix.EventID, []byte) {
	t.Helper()
	event, id := s.w.signRaw(t, s.p, s.template(t, room, s.p.User(s.user())), version11())
	return id, event
}

// template makes a template from the room as it is, past all checks.
func (s *scene) template(t *testing.T, room matrix.RoomID, user matrix.UserID) []byte {
	t.Helper()
	r, err := s.w.rooms.Room(t.Context(), room)
	if err != nil {
		t.Fatal(err)
	}
	body, err := s.w.rooms.Template(t.Context(), r, user)
	if err != nil {
		t.Fatal(err)
	}
	return parseTemplate(t, body).Canonical()
}

// inRoom is claims in the order that put takes.
func (s *scene) inRoom(t *testing.T, room matrix.RoomID) (matrix.RoomID, matrix.EventID, []byte) {
	id, event := s.claims(t, room)
	return room, id, event
}

// forget takes a type out of a room's state. Nobody may have asked for the room
// yet: what is in memory does not know.
func (s *scene) forget(t *testing.T, room matrix.RoomID, eventType string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.w.cfg.StateDir, storeFile)+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("DELETE FROM room_state WHERE room_id = ? AND type = ?", string(room), eventType); err != nil {
		t.Fatal(err)
	}
}
