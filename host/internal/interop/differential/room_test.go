package differential

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

// room is a knock and the state of its room, as signed events. Events that the
// room does not have are empty.
type room struct {
	version                                string
	create, powerLevels, joinRules, member string
	// listed are the events that the knock lists, in their order.
	listed []string
	knock  string
}

// state returns the events of the state.
func (r room) state() (list []string) {
	for _, src := range []string{r.create, r.powerLevels, r.joinRules, r.member} {
		if src != "" {
			list = append(list, src)
		}
	}
	return list
}

// parse reads the room with our code.
func (r room) parse() (e *pdu.Event, s pdu.AuthState, err error) {
	for _, at := range []struct {
		src   string
		event **pdu.Event
	}{{r.create, &s.Create}, {r.powerLevels, &s.PowerLevels}, {r.joinRules, &s.JoinRules}, {r.member, &s.Member}, {r.knock, &e}} {
		if at.src == "" {
			continue
		}
		if *at.event, err = pdu.ParseStored([]byte(at.src), roomVersion(r.version)); err != nil {
			return nil, s, err
		}
	}
	return e, s, nil
}

// choices is what a room is made of. The zero value is a room that lets the
// user knock.
type choices struct {
	version string
	// joinRules is the content of the join rules, "-" for none.
	joinRules string
	// member is the content of the user's member event, "" for none.
	member string
	// create is a member of the create event's content, "" for none.
	create string
	// sameServer: the room was made on the user's server.
	sameServer bool
	// otherKey: the knock is for another user than its sender.
	otherKey bool
	// powerLevels: the room has them.
	powerLevels bool
	// list says which events the knock lists: all that it should, or one
	// thing wrong with them.
	list string
}

// build makes the room.
func (c choices) build() room {
	r := room{version: c.version}
	v := roomVersion(c.version)
	home := resident
	if c.sameServer {
		home = peer
	}
	creator := "@admin:" + string(home)
	roomID := "!room:" + string(home)
	content := `"room_version":"` + c.version + `"`
	if v.CreatorInContent {
		content += `,"creator":"` + creator + `"`
	}
	if c.create != "" {
		content += "," + c.create
	}
	where := `,"room_id":"` + roomID + `"`
	if v.HashRoomID {
		where = ""
	}
	event := func(server matrix.ServerName, eventType, sender, stateKey, content, refs string) string {
		return signEvent(c.version, fmt.Sprintf(`{"type":%q,"sender":%q,"state_key":%q,"content":{%s},"depth":1,"origin_server_ts":%d%s%s}`,
			eventType, sender, stateKey, content, started.UnixMilli(), where, refs), server, current)
	}
	none := `,"auth_events":[],"prev_events":[]`
	r.create = event(home, "m.room.create", creator, "", content, none)
	if v.HashRoomID {
		roomID = "!" + eventID(c.version, r.create)[1:]
		where = `,"room_id":"` + roomID + `"`
	}
	if c.powerLevels {
		users := `"users":{}`
		if !v.HashRoomID {
			users = `"users":{"` + creator + `":100}`
		}
		r.powerLevels = event(home, "m.room.power_levels", creator, "", users, none)
	}
	if c.joinRules != "-" {
		r.joinRules = event(home, "m.room.join_rules", creator, "", c.joinRules, none)
	}
	user := "@ada:" + string(peer)
	if c.member != "" {
		r.member = event(peer, "m.room.member", user, user, c.member, none)
	}
	target := user
	if c.otherKey {
		target = "@bob:" + string(peer)
	}
	r.list(c, func(eventType, sender, key, content string) string {
		return event(home, eventType, sender, key, content, none)
	})
	refs := `,"prev_events":["` + eventID(c.version, r.create) + `"],"auth_events":[`
	for i, src := range r.listed {
		if i > 0 {
			refs += ","
		}
		refs += `"` + eventID(c.version, src) + `"`
	}
	r.knock = event(peer, "m.room.member", user, target, `"membership":"knock"`, refs+"]")
	return r
}

// list fills in which events the knock lists.
func (r *room) list(c choices, event func(eventType, sender, key, content string) string) {
	add := func(list ...string) {
		for _, src := range list {
			if src != "" {
				r.listed = append(r.listed, src)
			}
		}
	}
	admin := "@admin:" + string(resident)
	if !roomVersion(c.version).HashRoomID && c.list != "no create event" {
		add(r.create)
	}
	add(r.powerLevels, r.joinRules, r.member)
	switch c.list {
	case "two join rules":
		add(event("m.room.join_rules", admin, "", `"join_rule":"knock","x":1`))
	case "another's member event":
		add(event("m.room.member", admin, admin, `"membership":"join"`))
	case "a name":
		add(event("m.room.name", admin, "", `"name":"x"`))
	case "join rules with a state key":
		add(event("m.room.join_rules", admin, "x", `"join_rule":"knock"`))
	}
}

var lists = []string{"", "", "", "no create event", "two join rules", "another's member event", "a name", "join rules with a state key"}

func eventID(version, src string) string {
	e, err := pdu.ParseStored([]byte(src), roomVersion(version))
	if err != nil {
		panic(fmt.Sprintf("%s: %v", src, err))
	}
	return string(e.ID())
}

// TestKnock: a knock on a room of any state gets the same verdict, by the state
// and by the events it lists.
func TestKnock(t *testing.T) {
	verdicts := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		c := choices{
			version:     rapid.SampledFrom(versions).Draw(rt, "version"),
			joinRules:   rapid.SampledFrom([]string{`"join_rule":"knock"`, `"join_rule":"knock_restricted","allow":[]`, `"join_rule":"public"`, `"join_rule":"invite"`, `"join_rule":"private"`, `"join_rule":"restricted"`, `"join_rule":"Knock"`, `"join_rule":""`, `"allow":[]`, "-"}).Draw(rt, "join rules"),
			member:      rapid.SampledFrom([]string{"", `"membership":"leave"`, `"membership":"knock"`, `"membership":"invite"`, `"membership":"join"`, `"membership":"ban"`}).Draw(rt, "member"),
			create:      rapid.SampledFrom([]string{"", `"m.federate":true`, `"m.federate":false`}).Draw(rt, "create"),
			sameServer:  rapid.Bool().Draw(rt, "same server"),
			otherKey:    rapid.IntRange(0, 7).Draw(rt, "other key") == 0,
			powerLevels: rapid.Bool().Draw(rt, "power levels"),
			list:        rapid.SampledFrom(lists).Draw(rt, "list"),
		}
		r := c.build()
		verdicts[ours.knock(r)]++
		input := fmt.Sprintf("%+v\nknock %s", c, r.knock)
		compare(rt, "by the state: "+input, func(i implementation) (string, bool) {
			if i.name == dendrite.name && knockRestrictedTooEarly(c) {
				return "", false
			}
			return i.knock(r), true
		})
		compare(rt, "by the events listed: "+input, func(i implementation) (string, bool) {
			if i.listed == nil {
				return "", false
			}
			return i.listed(r), true
		})
	})
	if verdicts[yes] == 0 || verdicts[refused] == 0 {
		t.Errorf("verdicts %v: one of them was never reached", verdicts)
	}
}

// knockRestrictedTooEarly: a known difference of gomatrixserverlib, in the table
// once for each version.
func knockRestrictedTooEarly(c choices) bool {
	return c.joinRules == `"join_rule":"knock_restricted","allow":[]` && !roomVersion(c.version).KnockRestricted
}
