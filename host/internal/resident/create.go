package resident

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/store"
)

// What a room gets where its specification says nothing.
const (
	DefaultCreator     = "knockgate"
	DefaultJoinRule    = "knock"
	DefaultRoomVersion = "11"
)

// RoomSpec says what a room is to be. Every field may be left empty.
type RoomSpec struct {
	// Version is the room version. Nil: DefaultRoomVersion.
	Version *matrix.RoomVersion
	// Creator is the localpart of the local user who makes the room and joins
	// it. Default DefaultCreator.
	Creator string
	// Name, Topic and the alias's localpart make an event each if not empty.
	Name, Topic, Alias string
	// JoinRule is knock, knock_restricted (from version 10), restricted (from
	// version 8), invite or public. Default DefaultJoinRule.
	JoinRule string
	// Allow are the rooms whose members may join by themselves under the rules
	// restricted and knock_restricted.
	Allow []matrix.RoomID
	// LocalOnly closes the room to users of other servers: m.federate is false.
	LocalOnly bool
}

// CreateRoom makes a room: its events are signed and stored in one
// transaction. It fails, having made nothing, if the specification is not one
// that the room version has.
func (l *Local) CreateRoom(ctx context.Context, spec RoomSpec) (matrix.RoomID, error) {
	creator, err := l.complete(&spec)
	if err != nil {
		return "", err
	}
	made, err := l.firstEvents(spec, creator)
	if err != nil {
		return "", err
	}
	id := made[0].RoomID()
	err = l.Store.Write(ctx, func(tx *store.Tx) error {
		if err := tx.InsertRoom(id, spec.Version.ID, l.Now()); err != nil {
			return err
		}
		for i, e := range made {
			key, _ := e.StateKey()
			seq := int64(i + 1)
			after := matrix.EventID("")
			if i > 0 {
				after = made[i-1].ID()
			}
			if err := tx.Append(&store.Append{
				Event: store.Event{
					ID: e.ID(), Room: id, Seq: seq, Type: e.Type(), StateKey: key, Sender: e.Sender(),
					Depth: e.Depth(), Own: true, Base: seq, JSON: e.JSON(),
				},
				After:   after,
				Prev:    e.PrevEvents(),
				Current: true,

				Membership: e.Membership(),
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// complete fills in the defaults, checks the specification and returns the
// creator.
func (l *Local) complete(spec *RoomSpec) (matrix.UserID, error) {
	if spec.Version == nil {
		spec.Version, _ = matrix.LookupRoomVersion(DefaultRoomVersion)
	}
	if spec.Creator == "" {
		spec.Creator = DefaultCreator
	}
	if spec.JoinRule == "" {
		spec.JoinRule = DefaultJoinRule
	}
	v := spec.Version
	switch spec.JoinRule {
	case "knock", "invite", "public":
		if len(spec.Allow) > 0 {
			return "", fmt.Errorf("join rule %q: only restricted and knock_restricted have rooms whose members may join", spec.JoinRule)
		}
	case "restricted":
		if !v.RestrictedJoins {
			return "", fmt.Errorf("join rule %q: room version %s does not have it; 8 and later do", spec.JoinRule, v.ID)
		}
	case "knock_restricted":
		if !v.KnockRestricted {
			return "", fmt.Errorf("join rule %q: room version %s does not have it; 10 and later do", spec.JoinRule, v.ID)
		}
	default:
		return "", fmt.Errorf("join rule %q: must be knock, knock_restricted, restricted, invite or public", spec.JoinRule)
	}
	if i := strings.IndexFunc(spec.Creator, notInLocalpart); i >= 0 {
		return "", fmt.Errorf("creator %q: a localpart has only a-z, 0-9 and . _ = - / +", spec.Creator)
	}
	creator, err := matrix.ParseUserID("@" + spec.Creator + ":" + string(l.Server))
	if err != nil {
		return "", fmt.Errorf("creator: %w", err)
	}
	if strings.ContainsAny(spec.Alias, ":\x00") || len(l.alias(spec.Alias)) > matrix.MaxID {
		return "", fmt.Errorf("alias %q: must be a localpart without ':', and at most %d bytes with the server name", spec.Alias, matrix.MaxID)
	}
	return creator, nil
}

func notInLocalpart(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("._=-/+", r))
}

func (l *Local) alias(localpart string) string { return "#" + localpart + ":" + string(l.Server) }

// firstEvents makes the events of a new room, in the order in which Synapse
// makes them.
func (l *Local) firstEvents(spec RoomSpec, creator matrix.UserID) ([]*pdu.Event, error) {
	type step struct {
		typ, key string
		content  []byte
	}
	steps := []step{
		{typeCreate, "", createContent(spec, creator)},
		{typeMember, string(creator), object("membership", "join")},
		{typePowerLevels, "", powerLevels(spec.Version, creator)},
	}
	if spec.Alias != "" {
		steps = append(steps, step{"m.room.canonical_alias", "", object("alias", l.alias(spec.Alias))})
	}
	steps = append(steps,
		step{typeJoinRules, "", joinRules(spec)},
		step{"m.room.history_visibility", "", object("history_visibility", "shared")})
	if spec.Name != "" {
		steps = append(steps, step{"m.room.name", "", object("name", spec.Name)})
	}
	if spec.Topic != "" {
		steps = append(steps, step{"m.room.topic", "", object("topic", spec.Topic)})
	}

	d := draft{version: spec.Version, sender: creator, ts: l.Now().UnixMilli()}
	if !spec.Version.HashRoomID {
		d.room = matrix.RoomID("!" + rand.Text() + ":" + string(l.Server))
	}
	state := &ownState{events: make(map[place]placed)}
	var made []*pdu.Event
	for i, st := range steps {
		d.typ, d.key, d.content, d.depth = st.typ, st.key, st.content, int64(i+1)
		if i > 0 {
			d.prev, d.auth = []matrix.EventID{made[i-1].ID()}, d.authEvents(state, nil)
		}
		e, err := l.event(&d)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			d.room = e.RoomID()
		}
		state.events[place{st.typ, st.key}] = placed{e, int64(i + 1)}
		made = append(made, e)
	}
	return slices.Clip(made), nil
}

func createContent(spec RoomSpec, creator matrix.UserID) []byte {
	pairs := []string{"room_version", spec.Version.ID}
	if spec.Version.CreatorInContent {
		pairs = append(pairs, "creator", string(creator))
	}
	b := object(pairs...)
	if spec.LocalOnly {
		b = append(b[:len(b)-1], `,"m.federate":false}`...)
	}
	return b
}

func joinRules(spec RoomSpec) []byte {
	b := object("join_rule", spec.JoinRule)
	if !strings.HasSuffix(spec.JoinRule, "restricted") {
		return b
	}
	b = canonicaljson.AppendKey(append(b[:len(b)-1], ','), "allow")
	b = append(b, '[')
	for i, room := range spec.Allow {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, object("type", "m.room_membership", "room_id", string(room))...)
	}
	return append(b, "]}"...)
}

// powerLevels are those that Synapse gives a new room. From room version 12 on
// the creator stands above all levels and must not be listed.
func powerLevels(v *matrix.RoomVersion, creator matrix.UserID) []byte {
	b := []byte(`{"ban":50,"events":{"m.room.avatar":50,"m.room.canonical_alias":50,"m.room.encryption":100,` +
		`"m.room.history_visibility":100,"m.room.name":50,"m.room.power_levels":100,"m.room.server_acl":100,"m.room.tombstone":`)
	if v.HashRoomID {
		b = append(b, "150"...)
	} else {
		b = append(b, "100"...)
	}
	b = append(b, `},"events_default":0,"historical":100,"invite":50,"kick":50,"redact":50,"state_default":50,"users":{`...)
	if !v.HashRoomID {
		b = append(canonicaljson.AppendKey(b, string(creator)), "100"...)
	}
	return append(b, `},"users_default":0}`...)
}
