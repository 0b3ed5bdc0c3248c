package pdu_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

const forbidden = "403 M_FORBIDDEN"

// room makes events of one room of a version, by "@creator:resident".
type room struct {
	tb     testing.TB
	v      string
	id     matrix.RoomID
	create *pdu.Event
}

func newRoom(tb testing.TB, v, createContent string) *room {
	tb.Helper()
	r := &room{tb: tb, v: v, id: "!r:resident"}
	if v == "12" {
		r.id = ""
	}
	r.create = r.event("m.room.create", "@creator:resident", "", createContent)
	r.id = r.create.RoomID()
	return r
}

// event makes a state event that lists the given auth events.
func (r *room) event(eventType, sender, stateKey, content string, auth ...*pdu.Event) *pdu.Event {
	r.tb.Helper()
	var ids []string
	for _, a := range auth {
		ids = append(ids, fmt.Sprintf("%q", a.ID()))
	}
	var name string
	if r.id != "" {
		name = fmt.Sprintf(`"room_id":%q,`, r.id)
	}
	return event(r.tb, r.v, fmt.Sprintf(`{"auth_events":[%s],"content":%s,"depth":1,"origin_server_ts":1,"prev_events":[],%s"sender":%q,"state_key":%q,"type":%q}`,
		strings.Join(ids, ","), content, name, sender, stateKey, eventType))
}

func (r *room) rules(content string) *pdu.Event {
	return r.event("m.room.join_rules", "@creator:resident", "", content)
}

func (r *room) member(user, membership string) *pdu.Event {
	return r.event("m.room.member", user, user, fmt.Sprintf(`{"membership":%q}`, membership))
}

var allVersions = matrix.RoomVersionIDs()

// Rule 4.7.1 and what stands for it where the event is missing or malformed.
func TestJoinRules(t *testing.T) {
	cases := []struct {
		content  string
		versions []string // that let users knock
	}{
		{`{"join_rule":"knock"}`, allVersions},
		{`{"join_rule":"knock_restricted"}`, []string{"10", "11", "12"}},
		{`{"allow":[],"join_rule":"knock_restricted"}`, []string{"10", "11", "12"}},
		{`{"join_rule":"restricted"}`, nil},
		{`{"join_rule":"public"}`, nil},
		{`{"join_rule":"invite"}`, nil},
		{`{"join_rule":"private"}`, nil},
		{`{"join_rule":"Knock"}`, nil},
		{`{"join_rule":"knock "}`, nil},
		{`{"join_rule":""}`, nil},
		{`{"join_rule":7}`, nil},
		{`{"join_rule":["knock"]}`, nil},
		{`{"join_rule":null}`, nil},
		{`{}`, nil},
	}
	for _, v := range allVersions {
		r := newRoom(t, v, `{}`)
		for _, c := range cases {
			want := forbidden
			if slices.Contains(c.versions, v) {
				want = "ok"
			}
			s := pdu.AuthState{Create: r.create, JoinRules: r.rules(c.content)}
			if got := code(pdu.MayKnock(version(t, v), "@a:domain", s)); got != want {
				t.Errorf("version %s, %s: MayKnock: %s, want %s", v, c.content, got, want)
			}
			if got := code(pdu.CheckMembership(r.member("@a:domain", "knock"), s)); got != want {
				t.Errorf("version %s, %s: CheckMembership: %s, want %s", v, c.content, got, want)
			}
		}
		if got := code(pdu.MayKnock(version(t, v), "@a:domain", pdu.AuthState{Create: r.create})); got != forbidden {
			t.Errorf("version %s, no join rules: %s, want %s", v, got, forbidden)
		}
	}
}

// Rules 4.7.2 to 4.7.4.
func TestMembership(t *testing.T) {
	want := map[string]string{"leave": "ok", "knock": "ok", "ban": forbidden, "invite": forbidden, "join": forbidden, "": forbidden, "Leave": forbidden}
	for _, v := range allVersions {
		r := newRoom(t, v, `{}`)
		s := pdu.AuthState{Create: r.create, JoinRules: r.rules(`{"join_rule":"knock"}`)}
		knock := r.member("@a:domain", "knock")
		if err := pdu.CheckMembership(knock, s); err != nil {
			t.Errorf("version %s, no membership: %v", v, err)
		}
		for membership, want := range want {
			s.Member = r.member("@a:domain", membership)
			if got := code(pdu.CheckMembership(knock, s)); got != want {
				t.Errorf("version %s, %q: %s, want %s", v, membership, got, want)
			}
		}
		s.Member = r.member("@b:domain", "leave")
		if got := code(pdu.CheckMembership(knock, s)); got != forbidden {
			t.Errorf("version %s, another user's membership: %s, want %s", v, got, forbidden)
		}
		// A power level for m.room.member has no say over knocks.
		s.Member = nil
		s.PowerLevels = r.event("m.room.power_levels", "@creator:resident", "", `{"events":{"m.room.member":100}}`)
		if err := pdu.CheckMembership(knock, s); err != nil {
			t.Errorf("version %s, member events at power level 100: %v", v, err)
		}
	}
}

func TestCheckMembershipShape(t *testing.T) {
	r := newRoom(t, "10", `{}`)
	other := newRoom(t, "10", `{}`)
	other.id = "!other:resident"
	rules := r.rules(`{"join_rule":"knock"}`)
	good := pdu.AuthState{Create: r.create, JoinRules: rules}
	knock := r.member("@a:domain", "knock")
	cases := []struct {
		name  string
		event *pdu.Event
		state pdu.AuthState
		want  string
	}{
		{"knock", knock, good, "ok"},
		{"join", r.member("@a:domain", "join"), good, forbidden},
		{"no membership", r.event("m.room.member", "@a:domain", "@a:domain", `{}`), good, forbidden},
		{"membership an array", r.event("m.room.member", "@a:domain", "@a:domain", `{"membership":["knock"]}`), good, forbidden},
		{"another type", r.event("m.room.member ", "@a:domain", "@a:domain", `{"membership":"knock"}`), good, forbidden},
		{"for another user", r.event("m.room.member", "@a:domain", "@b:domain", `{"membership":"knock"}`), good, forbidden},
		{"no create event", knock, pdu.AuthState{JoinRules: rules}, forbidden},
		{"join rules in place of the create event", knock, pdu.AuthState{Create: rules, JoinRules: rules}, forbidden},
		{"create event in place of the join rules", knock, pdu.AuthState{Create: r.create, JoinRules: r.create}, forbidden},
		{"knock on another room", other.member("@a:domain", "knock"), good, forbidden},
		{"join rules of another room", knock, pdu.AuthState{Create: r.create, JoinRules: other.rules(`{"join_rule":"knock"}`)}, forbidden},
	}
	for _, c := range cases {
		if got := code(pdu.CheckMembership(c.event, c.state)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestFederate(t *testing.T) {
	cases := []struct {
		content, user, want string
	}{
		{`{}`, "@a:domain", "ok"},
		{`{"m.federate":true}`, "@a:domain", "ok"},
		{`{"m.federate":false}`, "@a:domain", forbidden},
		{`{"m.federate":false}`, "@a:resident", "ok"},
		{`{"m.federate":false}`, "@a:resident:8448", forbidden},
		{`{"m.federate":false}`, "@a:Resident", forbidden},
		{`{"m.federate":"false"}`, "@a:domain", forbidden},
		{`{"m.federate":null}`, "@a:domain", forbidden},
		{`{"m.federate":{"x":1}}`, "@a:domain", forbidden},
	}
	for _, v := range allVersions {
		for _, c := range cases {
			r := newRoom(t, v, c.content)
			s := pdu.AuthState{Create: r.create, JoinRules: r.rules(`{"join_rule":"knock"}`)}
			if got := code(pdu.CheckMembership(r.member(c.user, "knock"), s)); got != c.want {
				t.Errorf("version %s, %s, %s: %s, want %s", v, c.content, c.user, got, c.want)
			}
		}
	}
}

// Rules 2.1 to 2.5, and 3 in version 12.
func TestCheckAuthEvents(t *testing.T) {
	for _, v := range allVersions {
		r := newRoom(t, v, `{"x":1}`)
		levels := r.event("m.room.power_levels", "@creator:resident", "", `{}`)
		rules := r.rules(`{"join_rule":"knock"}`)
		rules2 := r.rules(`{"join_rule":"knock","x":1}`)
		left := r.member("@a:domain", "leave")
		bob := r.member("@b:domain", "join")
		name := r.event("m.room.name", "@creator:resident", "", `{}`)
		keyed := r.event("m.room.join_rules", "@creator:resident", "x", `{"join_rule":"knock"}`)
		foreign := *r
		foreign.id = newRoom(t, v, `{"x":2}`).id
		if v != "12" {
			foreign.id = "!other:resident"
		}
		abroad := foreign.rules(`{"join_rule":"knock"}`)

		create := []*pdu.Event{r.create}
		if v == "12" {
			create = nil // which may not be listed: Parse refuses it
		}
		type events = []*pdu.Event
		cases := []struct {
			name string
			auth events
			want string
		}{
			{"all", events{levels, rules, left}, "ok"},
			{"no power levels", events{rules, left}, "ok"},
			{"no membership", events{levels, rules}, "ok"},
			{"two join rules", events{rules, rules2}, forbidden},
			{"membership of another user", events{rules, bob}, forbidden},
			{"a name", events{rules, name}, forbidden},
			{"join rules under a key", events{keyed}, forbidden},
			{"join rules of another room", events{abroad}, forbidden},
		}
		for _, c := range cases {
			auth := slices.Concat(create, c.auth)
			knock := r.event("m.room.member", "@a:domain", "@a:domain", `{"membership":"knock"}`, auth...)
			s, err := pdu.CheckAuthEvents(knock, auth)
			if got := code(err); got != c.want {
				t.Errorf("version %s, %s: %v, want %s", v, c.name, err, c.want)
			}
			slices.Reverse(auth)
			if _, err := pdu.CheckAuthEvents(knock, auth); code(err) != c.want {
				t.Errorf("version %s, %s, in another order: %v, want %s", v, c.name, err, c.want)
			}
			if err != nil && s != (pdu.AuthState{}) {
				t.Errorf("version %s, %s: a state came with the error", v, c.name)
			}
			if err == nil && (s.JoinRules != rules || v != "12" && s.Create != r.create || v == "12" && s.Create != nil) {
				t.Errorf("version %s, %s: the state is %+v", v, c.name, s)
			}
		}

		knock := r.event("m.room.member", "@a:domain", "@a:domain", `{"membership":"knock"}`, slices.Concat(create, events{rules})...)
		for name, auth := range map[string]events{
			"one too few":       {rules},
			"one that is not":   append(slices.Clip(slices.Clone(create)), rules2),
			"one that is twice": {rules, rules},
			"one too many":      append(slices.Clone(create), rules, levels),
			"none":              nil,
		} {
			want := forbidden
			if v == "12" && name == "one too few" {
				want = "ok" // there is no create event to leave out
			}
			if _, err := pdu.CheckAuthEvents(knock, auth); code(err) != want {
				t.Errorf("version %s, %s given: %v, want %s", v, name, err, want)
			}
		}

		bare := r.event("m.room.member", "@a:domain", "@a:domain", `{"membership":"knock"}`, rules)
		_, err := pdu.CheckAuthEvents(bare, events{rules})
		if want := map[bool]string{false: forbidden, true: "ok"}[v == "12"]; code(err) != want {
			t.Errorf("version %s, create event not listed: %v, want %s", v, err, want)
		}
	}
}

// What AuthEventIDs selects, CheckAuthEvents takes.
func TestAuthEventIDs(t *testing.T) {
	for _, v := range allVersions {
		r := newRoom(t, v, `{}`)
		s := pdu.AuthState{Create: r.create}
		all := map[matrix.EventID]*pdu.Event{r.create.ID(): r.create}
		check := func(most int) {
			want := most
			if v == "12" {
				want--
			}
			ids := pdu.AuthEventIDs(version(t, v), pdu.Knock, s)
			if len(ids) != want {
				t.Errorf("version %s: %d auth events, want %d", v, len(ids), want)
			}
			var auth []*pdu.Event
			for _, id := range ids {
				auth = append(auth, all[id])
			}
			knock := r.event("m.room.member", "@a:domain", "@a:domain", `{"membership":"knock"}`, auth...)
			got, err := pdu.CheckAuthEvents(knock, auth)
			if err != nil {
				t.Errorf("version %s: %v", v, err)
			}
			got.Create = s.Create
			if got != s {
				t.Errorf("version %s: the auth events make the state %+v, want %+v", v, got, s)
			}
		}
		check(1)
		s.JoinRules = r.rules(`{"join_rule":"knock"}`)
		s.PowerLevels = r.event("m.room.power_levels", "@creator:resident", "", `{}`)
		all[s.JoinRules.ID()], all[s.PowerLevels.ID()] = s.JoinRules, s.PowerLevels
		check(3)
		s.Member = r.member("@a:domain", "leave")
		all[s.Member.ID()] = s.Member
		check(4)
	}
}

// The rule of a leave of the sender, 4.5.1 in version 7: the same in all.
func TestLeave(t *testing.T) {
	want := map[string]string{"knock": "ok", "invite": "ok", "join": "ok", "leave": forbidden, "ban": forbidden, "": forbidden, "Knock": forbidden}
	for _, v := range allVersions {
		r := newRoom(t, v, `{}`)
		s := pdu.AuthState{Create: r.create} // the join rules have no say
		leave := r.member("@a:domain", "leave")
		if got := code(pdu.CheckMembership(leave, s)); got != forbidden {
			t.Errorf("version %s, no membership: %s, want %s", v, got, forbidden)
		}
		for membership, want := range want {
			s.Member = r.member("@a:domain", membership)
			if got := code(pdu.CheckMembership(leave, s)); got != want {
				t.Errorf("version %s, %q: %s, want %s", v, membership, got, want)
			}
		}
		s.Member = r.member("@b:domain", "knock")
		if got := code(pdu.CheckMembership(leave, s)); got != forbidden {
			t.Errorf("version %s, another user's knock: %s, want %s", v, got, forbidden)
		}
		kick := r.event("m.room.member", "@b:domain", "@a:domain", `{"membership":"leave"}`)
		if got := code(pdu.CheckMembership(kick, s)); got != forbidden {
			t.Errorf("version %s, a kick: %s, want %s", v, got, forbidden)
		}
		local := newRoom(t, v, `{"m.federate":false}`)
		s = pdu.AuthState{Create: local.create, Member: local.member("@a:domain", "invite")}
		if got := code(pdu.CheckMembership(local.member("@a:domain", "leave"), s)); got != forbidden {
			t.Errorf("version %s, m.federate false: %s, want %s", v, got, forbidden)
		}
	}
}

// A leave lists no join rules.
func TestLeaveAuthEvents(t *testing.T) {
	for _, v := range allVersions {
		r := newRoom(t, v, `{}`)
		s := pdu.AuthState{
			Create: r.create, JoinRules: r.rules(`{"join_rule":"knock"}`), Member: r.member("@a:domain", "knock"),
			PowerLevels: r.event("m.room.power_levels", "@creator:resident", "", `{}`),
		}
		want := []matrix.EventID{r.create.ID(), s.PowerLevels.ID(), s.Member.ID()}
		auth := []*pdu.Event{r.create, s.PowerLevels, s.Member}
		if v == "12" {
			want, auth = want[1:], auth[1:]
		}
		if got := pdu.AuthEventIDs(version(t, v), pdu.Leave, s); !slices.Equal(got, want) {
			t.Errorf("version %s: %v, want %v", v, got, want)
		}
		leave := func(auth []*pdu.Event) *pdu.Event {
			return r.event("m.room.member", "@a:domain", "@a:domain", `{"membership":"leave"}`, auth...)
		}
		if _, err := pdu.CheckAuthEvents(leave(auth), auth); err != nil {
			t.Errorf("version %s: %v", v, err)
		}
		auth = append(auth, s.JoinRules)
		if _, err := pdu.CheckAuthEvents(leave(auth), auth); code(err) != forbidden {
			t.Errorf("version %s, with the join rules: %v, want %s", v, err, forbidden)
		}
	}
}
