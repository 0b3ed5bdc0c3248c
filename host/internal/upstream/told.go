package upstream

import (
	"encoding/json"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/sdk/abi"
)

// Told is what a source said of a room, for any knocker.
type Told struct {
	// Room is what is the same for all of them.
	Room knock.Outline
	// members and servers are what is not; nil where the members were not read.
	members map[matrix.UserID]member
	servers map[matrix.ServerName]knock.Counts
}

// member is what is kept of a member event.
type member struct {
	membership string
	by         matrix.UserID
	since      int64
}

// outline returns what is told a policy about a knocker.
func (t *Told) outline(user matrix.UserID) *knock.Outline {
	o := t.Room
	m := t.members[user]
	o.Membership, o.By, o.SinceMS = m.membership, m.by, m.since
	o.OfServer = t.servers[user.Server()]
	return &o
}

// event is an event as clients are shown it.
type event struct {
	Type     text            `json:"type"`
	StateKey text            `json:"state_key"`
	Sender   text            `json:"sender"`
	Since    integer         `json:"origin_server_ts"`
	Content  json.RawMessage `json:"content"`
}

// content is what counts of an event's content.
type content struct {
	Membership  text `json:"membership"`
	RoomVersion text `json:"room_version"`
	JoinRule    text `json:"join_rule"`
	Name        text `json:"name"`
	Alias       text `json:"alias"`
	Topic       text `json:"topic"`
}

// content decodes the event's content; what is no object is empty.
func (e *event) content() (c content) {
	if json.Unmarshal(e.Content, &c) != nil {
		return content{}
	}
	return c
}

// state takes all there is from the events of a room's state.
func (t *Told) state(events []event) {
	r := &t.Room
	r.JoinRule, r.Name, r.Alias, r.Topic, r.Encrypted, r.ACLTold, r.ACL = "", "", "", "", false, true, ""
	for i := range events {
		e := &events[i]
		if e.StateKey != "" {
			continue
		}
		switch c := e.content(); e.Type {
		case "m.room.create":
			r.VersionID = string(c.RoomVersion)
			if r.VersionID == "" {
				r.VersionID = "1" // as the specification has it
			}
		case "m.room.join_rules":
			r.JoinRule = string(c.JoinRule)
		case "m.room.name":
			r.Name = string(c.Name)
		case "m.room.canonical_alias":
			r.Alias = string(c.Alias)
		case "m.room.topic":
			r.Topic = string(c.Topic)
		case "m.room.encryption":
			r.Encrypted = true
		case "m.room.server_acl":
			t.acl(e.Content)
		}
	}
	t.read(events)
}

// acl takes the content of the room's ACL. One that is too large to be told, or
// that no room which can be knocked on has, is not told.
func (t *Told) acl(content []byte) {
	t.Room.ACL, t.Room.ACLTold = "", false
	doc, err := canonicaljson.Parse(content)
	if err != nil || !doc.Root().IsObject() {
		return
	}
	if b := doc.Root().Canonical(); len(b) <= abi.MaxRoomACL {
		t.Room.ACL, t.Room.ACLTold = string(b), true
	}
}

// read takes the members from a room's member events and counts them.
func (t *Told) read(events []event) {
	t.members = make(map[matrix.UserID]member)
	for i := range events {
		e := &events[i]
		if e.Type != "m.room.member" {
			continue
		}
		user, err := matrix.ParseUserID(string(e.StateKey))
		membership := membershipOf(e.content().Membership)
		if err != nil || membership == "" {
			continue
		}
		m := member{membership: membership}
		if by, err := matrix.ParseUserID(string(e.Sender)); err == nil && e.Since.there {
			m.by, m.since = by, e.Since.value
			if by == user {
				m.by = user // one string for both
			}
		}
		t.members[user] = m
	}
	t.servers = make(map[matrix.ServerName]knock.Counts)
	t.Room.MembersRead, t.Room.Counts = true, knock.Counts{}
	for user, m := range t.members {
		t.Room.Counts = counted(t.Room.Counts, m.membership)
		if c := counted(knock.Counts{}, m.membership); c != (knock.Counts{}) {
			t.servers[user.Server()] = counted(t.servers[user.Server()], m.membership)
		}
	}
}

// membershipOf returns which of the memberships t is; "" if none.
func membershipOf(t text) string {
	for _, m := range [...]string{"join", "knock", "invite", "leave", "ban"} {
		if string(t) == m {
			return m
		}
	}
	return ""
}

// counted returns c with one user more of a membership.
func counted(c knock.Counts, membership string) knock.Counts {
	switch membership {
	case "join":
		c.Joined++
	case "knock":
		c.Pending++
	case "ban":
		c.Banned++
	}
	return c
}
