package policylist

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"
)

const created = `{"type":"m.room.create","state_key":"","content":{"room_version":"11"}}`

// ruleEvent returns a state event.
func ruleEvent(eventType, key, content string) string {
	return fmt.Sprintf(`{"type":%q,"state_key":%q,"sender":"@mod:lists.example","content":%s,"origin_server_ts":1,"unsigned":{"age":1}}`, eventType, key, content)
}

// ban returns the content of a rule.
func ban(entity string) string {
	return fmt.Sprintf(`{"entity":%q,"recommendation":"m.ban","reason":"spam"}`, entity)
}

// hashOf returns the base64 of an entity's SHA-256.
func hashOf(entity string) string {
	sum := sha256.Sum256([]byte(entity))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// state returns a room's state with these events.
func state(events ...string) string {
	return "[" + strings.Join(append([]string{created}, events...), ",") + "]"
}

// TestRules: which rules are taken, and what they then stand for.
func TestRules(t *testing.T) {
	user, server, room := "m.policy.rule.user", "m.policy.rule.server", "m.policy.rule.room"
	hashes := func(field, sum string) string {
		return fmt.Sprintf(`{%q:{"sha256":%q},"recommendation":"m.takedown"}`, field, sum)
	}
	for _, tt := range []struct {
		name   string
		events []string
		in     string // keys that the list holds, by spaces
		out    string // and that it does not hold
		tally  tally
		count  int // entries
	}{
		{"none", nil, "", "@a:b.example b.example !a:b", tally{}, 0},
		{"a user", []string{ruleEvent(user, "1", ban("@A:b.example"))}, "@a:b.example @A:B.example", "@aa:b.example b.example", tally{}, 1},
		{"a server", []string{ruleEvent(server, "1", ban("evil.example"))}, "evil.example EVIL.example", "a.evil.example @a:evil.example !a:evil.example", tally{}, 1},
		{"a room", []string{ruleEvent(room, "1", ban("!Ab:c.example"))}, "!ab:c.example", "c.example", tally{}, 1},
		{"a room of version 12", []string{ruleEvent(room, "1", ban("!xfLHNOrtdL-3Xzwsbrd1Wcw"))}, "!xfLHNOrtdL-3Xzwsbrd1Wcw", "!x", tally{}, 1},
		{"an alias", []string{ruleEvent(room, "1", ban("#a:c.example"))}, "#a:c.example", "#b:c.example", tally{}, 1},
		{"a number sign", []string{ruleEvent(user, "1", ban("@a#b:c.example"))}, "@a#b:c.example", "@a:c.example @a", tally{}, 1},
		{"globs", []string{ruleEvent(user, "1", ban("@spam*:*")), ruleEvent(user, "2", ban("@bot?:b.example")), ruleEvent(server, "3", ban("*.evil.example")), ruleEvent(room, "4", ban("!*:c.example"))},
			"@SPAM1:x @spam:y @bot1:b.example a.evil.example a.b.evil.example !x:c.example", "@xspam:x @bot:b.example @bot12:b.example evil.example spam1:x", tally{}, 4},
		{"a kind alone", []string{ruleEvent(server, "1", ban("*"))}, "a.example 192.0.2.1", "@a:b !a:b", tally{}, 1},
		{"a domain's users are not its server's rule", []string{ruleEvent(server, "1", ban("*.evil.example"))}, "a.evil.example", "@a:b.evil.example !a:b.evil.example", tally{}, 1},
		{"mjolnir's types", []string{ruleEvent("org.matrix.mjolnir.rule.user", "1", `{"entity":"@a:b","recommendation":"org.matrix.mjolnir.ban"}`), ruleEvent("m.room.rule.server", "2", ban("b"))}, "@a:b b", "c", tally{}, 2},
		{"an old rule hidden by a withdrawn one", []string{ruleEvent("org.matrix.mjolnir.rule.user", "1", ban("@a:b")), ruleEvent(user, "1", `{}`), ruleEvent("m.room.rule.user", "2", ban("@c:d"))}, "@c:d", "@a:b", tally{}, 1},
		{"the same, in the other order", []string{ruleEvent(user, "1", `{}`), ruleEvent("org.matrix.mjolnir.rule.user", "1", ban("@a:b"))}, "", "@a:b", tally{}, 0},
		{"an old rule beside one of another kind", []string{ruleEvent(server, "1", `{}`), ruleEvent("org.matrix.mjolnir.rule.user", "1", ban("@a:b"))}, "@a:b", "", tally{}, 1},
		{"takedown", []string{ruleEvent(user, "1", `{"entity":"@a:b","recommendation":"org.matrix.msc4204.takedown"}`), ruleEvent(user, "2", `{"entity":"@c:d","recommendation":"m.takedown"}`)}, "@a:b @c:d", "", tally{}, 2},
		{"exceptions", []string{ruleEvent(server, "1", ban("*.evil.example")), ruleEvent(server, "2", `{"entity":"good.evil.example","recommendation":"m.allow"}`),
			ruleEvent(server, "3", `{"entity":"*.fine.evil.example","recommendation":"fi.mau.meowlnir.unban"}`)}, "a.evil.example", "good.evil.example a.fine.evil.example", tally{}, 3},
		{"an exception for a server is none for its users", []string{ruleEvent(user, "1", ban("@a:b.example")), ruleEvent(server, "2", `{"entity":"*","recommendation":"org.matrix.mjolnir.allow"}`)}, "@a:b.example", "", tally{}, 2},
		{"an exception to nothing", []string{ruleEvent(user, "1", `{"entity":"@a:b","recommendation":"m.allow"}`)}, "", "@a:b", tally{}, 1},
		{"hashes", []string{ruleEvent(user, "1", hashes("hashes", hashOf("@a:b.example"))), ruleEvent(server, "2", hashes("org.matrix.msc4205.hashes", strings.TrimRight(hashOf("evil.example"), "=")))},
			"@a:b.example @A:b.example evil.example EVIL.example", "@b:b.example a.evil.example b.example", tally{}, 2},
		{"a hash of upper case", []string{ruleEvent(user, "1", hashes("hashes", hashOf("@Alice:b.example")))}, "@Alice:b.example", "@alice:b.example", tally{}, 1},
		{"a hash that is allowed", []string{ruleEvent(user, "1", ban("@*:b.example")), ruleEvent(user, "2", fmt.Sprintf(`{"hashes":{"sha256":%q},"recommendation":"m.allow"}`, hashOf("@a:b.example")))}, "@b:b.example", "@a:b.example", tally{}, 2},
		{"faulty hashes", []string{ruleEvent(user, "1", hashes("hashes", "AAAA")), ruleEvent(user, "2", hashes("hashes", hashOf("@a:b")[:42]+"==")), ruleEvent(user, "3", `{"hashes":"x","recommendation":"m.ban"}`), ruleEvent(user, "4", `{"hashes":{"md5":"x"},"recommendation":"m.ban"}`)}, "", "@a:b", tally{faulty: 4}, 0},
		{"entities that are none", []string{ruleEvent(user, "1", ban("")), ruleEvent(user, "2", ban("@a b:c")), ruleEvent(user, "3", ban("@a:b\nuser @c:d")), ruleEvent(server, "4", ban(".evil.example")), ruleEvent(user, "5", ban(strings.Repeat("a", maxEntry+1))),
			ruleEvent(user, "6", `{"entity":["@a:b"],"recommendation":"m.ban"}`), ruleEvent(user, "7", `{"entity":null,"recommendation":"m.ban"}`), ruleEvent(server, "8", ban("sha256:"+hashOf("c")))}, "", "@a:b @c:d a.evil.example .evil.example c", tally{faulty: 8}, 0},
		{"no recommendation", []string{ruleEvent(user, "1", `{"entity":"@a:b"}`), ruleEvent(user, "2", `{"entity":"@a:b","recommendation":1}`), ruleEvent(user, "3", `{"recommendation":"m.ban"}`)}, "", "@a:b", tally{faulty: 3}, 0},
		{"another recommendation", []string{ruleEvent(user, "1", `{"entity":"@a:b","recommendation":"m.mute"}`)}, "", "@a:b", tally{other: 1}, 0},
		{"keys in another case", []string{`{"TYPE":"m.policy.rule.user","type":"m.room.name","state_key":"","content":` + ban("@a:b") + `}`, ruleEvent(user, "1", `{"Entity":"@a:b","Recommendation":"m.ban"}`)}, "", "@a:b", tally{}, 0},
		{"no state", []string{`{"type":"m.policy.rule.user","content":` + ban("@a:b") + `}`}, "", "@a:b", tally{}, 0},
		{"what is no event", []string{`1`, `null`, `[]`, `"x"`, `{}`, `{"type":1,"state_key":2}`, ruleEvent(user, "1", `[]`), ruleEvent("m.policy.rule.planet", "1", ban("mars"))}, "", "mars", tally{}, 0},
		{"depth", []string{ruleEvent(user, "1", strings.Repeat("[", 5000)+strings.Repeat("]", 5000)), ruleEvent(user, "2", ban("@a:b"))}, "@a:b", "", tally{}, 1},
		{"a rule twice", []string{ruleEvent(user, "1", ban("@a:b")), ruleEvent(user, "2", ban("@a:b"))}, "@a:b", "", tally{}, 1},
		{"lone surrogates", []string{ruleEvent(user, "1", `{"entity":"@\ud800:b","recommendation":"m.ban"}`)}, "", "@:b", tally{faulty: 1}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, form := range []string{state(tt.events...), `{"total":1,"state":` + state(tt.events...) + `,"more":{"a":[1]}}`} {
				text, got, err := readState(strings.NewReader(form))
				if err != nil {
					t.Fatal(err)
				}
				s, leftOut, err := parseRules(text)
				if err != nil || leftOut != 0 {
					t.Fatalf("%v, and %d left out", err, leftOut)
				}
				if got != tt.tally || s.entries != tt.count {
					t.Errorf("%+v and %d entries, want %+v and %d:\n%s", got, s.entries, tt.tally, tt.count, s.text)
				}
				for want, keys := range map[bool]string{true: tt.in, false: tt.out} {
					for _, key := range strings.Fields(keys) {
						if got := s.has([]byte(key)); got != want {
							t.Errorf("has(%q) = %v, want %v", key, got, want)
						}
					}
				}
			}
		})
	}
}

// TestHostileStates: what is no state of a room is an error.
func TestHostileStates(t *testing.T) {
	endless := func(event string) io.Reader {
		return io.MultiReader(strings.NewReader("["+created), &repeated{text: "," + event})
	}
	for _, tt := range []struct {
		name, want string
		state      io.Reader
	}{
		{"nothing", "unexpected EOF", strings.NewReader("")},
		{"no JSON", "no state of a room", strings.NewReader("<html>")},
		{"a text", "must be a list", strings.NewReader(`"x"`)},
		{"no events", "m.room.create", strings.NewReader("[]")},
		{"an object without", "m.room.create", strings.NewReader(`{"errcode":"M_UNKNOWN"}`)},
		{"a state that is no list", "must be a list", strings.NewReader(`{"state":{}}`)},
		{"two states", "must be a list", strings.NewReader(`{"state":` + state() + `,"state":[]}`)},
		{"no creation", "m.room.create", strings.NewReader("[" + ruleEvent("m.policy.rule.user", "1", ban("@a:b")) + "]")},
		{"an end too early", "unexpected EOF", strings.NewReader("[" + created + ",")},
		{"an end within an event", "unexpected EOF", strings.NewReader("[" + created + `,{"type":"m.`)},
		{"more after it", "must be a list", strings.NewReader(state() + "[]")},
		{"too deep", "depth", strings.NewReader("[" + created + "," + strings.Repeat("[", 20_000))},
		{"an endless event", "an event of more than 1024 KiB", io.MultiReader(strings.NewReader("["+created+`,"`), &repeated{text: "x"})},
		{"endless space", "an event of more than 1024 KiB", io.MultiReader(strings.NewReader("["+created), &repeated{text: " "})},
		{"an endless key", "an event of more than 1024 KiB", io.MultiReader(strings.NewReader(`{"`), &repeated{text: "x"})},
		{"endless rules", "more than 2000000 rules, or of more than 64 MiB", endless(ruleEvent("m.policy.rule.user", "1", ban("@"+strings.Repeat("a", 1000))) + "," + ruleEvent("m.room.rule.user", "1", ban("@"+strings.Repeat("a", 1000))))},
	} {
		if text, _, err := readState(tt.state); err == nil || !strings.Contains(err.Error(), tt.want) || text != nil {
			t.Errorf("%s: %.100q and %v, want %q", tt.name, text, err, tt.want)
		}
	}
}

// FuzzState: what is read of a state, of either form, is text that parseRules takes,
// line by line, and nothing on error.
func FuzzState(f *testing.F) {
	for _, event := range []string{
		ruleEvent("m.policy.rule.user", "1", ban("@a:b")), ruleEvent("m.room.rule.server", "2", ban("*.evil.example")), ruleEvent("m.policy.rule.room", "3", `{}`),
		ruleEvent("m.policy.rule.user", "4", fmt.Sprintf(`{"hashes":{"sha256":%q},"recommendation":"m.allow"}`, hashOf("@c:d"))), `[1]`, ``,
	} {
		f.Add("[" + created + "," + event + "]")
		f.Add(`{"state":[` + created + "," + event + `],"total":1}`)
	}
	f.Fuzz(func(t *testing.T, state string) {
		text, _, err := readState(strings.NewReader(state))
		if err != nil {
			if text != nil {
				t.Errorf("readState(%q) = %q and %v", state, text, err)
			}
			return
		}
		lines := bytes.Count(text, []byte("\n"))
		s, leftOut, err := parseRules(bytes.Clone(text))
		if err != nil || s.entries+leftOut != lines {
			t.Errorf("readState(%q) = %q, of which parseRules takes %+v, leaves out %d, %v", state, text, s, leftOut, err)
		}
	})
}

// repeated is a text again and again.
type repeated struct {
	text string
	rest string
}

func (r *repeated) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if r.rest == "" {
			r.rest = r.text
		}
		c := copy(p[n:], r.rest)
		n, r.rest = n+c, r.rest[c:]
	}
	return n, nil
}

// TestGlobsOfRules: of more globs than are tried, the first in order are taken, and
// the rest is counted.
func TestGlobsOfRules(t *testing.T) {
	var text bytes.Buffer
	for i := range maxGlobs + 3 {
		fmt.Fprintf(&text, "user @a%04d*:b\n", i)
	}
	text.WriteString("server a*b\n")
	s, leftOut, err := parseRules(text.Bytes())
	if err != nil || leftOut != 3 || s.entries != maxGlobs+1 {
		t.Fatalf("%d entries, %d left out, %v; want %d and 3", s.entries, leftOut, err, maxGlobs+1)
	}
	if !s.has([]byte("@a0999x:b")) || s.has([]byte("@a1000x:b")) || !s.has([]byte("axb")) {
		t.Error("the first globs of each kind are not what is taken")
	}
}

// TestFaultyRules: a copy that somebody has changed is no list.
func TestFaultyRules(t *testing.T) {
	for _, text := range []string{"@a:b\n", "user\n", "user \n", "planet mars\n", "allow @a:b\n", "\n", "user @a:b\n\xff\n", "user " + strings.Repeat("a", maxEntry+1)} {
		if s, _, err := parseRules([]byte(text)); err == nil || s != nil || !strings.Contains(err.Error(), "line ") {
			t.Errorf("parseRules(%.20q): %v, want an error with the line", text, err)
		}
	}
}

// TestLookOfRules: a look-up allocates nothing, with hashes too.
func TestLookOfRules(t *testing.T) {
	s, _, err := parseRules([]byte("user @a:b\nuser sha256:" + strings.TrimRight(hashOf("@c:d"), "=") + "\nallow user @e:f\n"))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{"@a:b": true, "@c:d": true, "@C:d": true, "@e:f": false, "@g:h": false} {
		k := []byte(key)
		if got := s.has(k); got != want {
			t.Errorf("has(%q) = %v, want %v", key, got, want)
		}
		if n := testing.AllocsPerRun(100, func() { s.has(k) }); n != 0 {
			t.Errorf("has(%q): %v allocations, want 0", key, n)
		}
	}
}
