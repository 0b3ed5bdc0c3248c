package plugins

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/knockgate/knockgate/sdk/abi"
)

// replay answers the host calls of one policy from its trace, in order, until
// the policy asks for something else.
type replay struct {
	trace  []byte // what is left of it
	calls  int    // answered so far
	differ string // the first difference, "" if there is none
}

// next returns the recorded reply if the next call of the trace is this one.
func (r *replay) next(op byte, request []byte) (reply []byte, ok bool) {
	if r.differ != "" {
		return nil, false
	}
	e, rest, err := cutEntry(r.trace)
	if err != nil {
		panic(err)
	}
	if e.op != op || !bytes.Equal(e.request, request) {
		r.differs(e, entry{op: op, request: request})
		return nil, false
	}
	r.trace, r.calls = rest, r.calls+1
	return e.reply, true
}

// end notes what was recorded and not asked for.
func (r *replay) end() {
	if e, _, err := cutEntry(r.trace); err != nil {
		r.differ = err.Error()
	} else if e.op != 0 && r.differ == "" {
		r.differs(e, entry{})
	}
}

func (r *replay) differs(was, is entry) {
	was.reply = nil
	r.differ = fmt.Sprintf("host call %d: was %s, is %s", r.calls+1, was, is)
}

// Difference is where a replayed decision is not the recorded one.
type Difference struct {
	Policy string // the policy it is in; "" is the chain
	What   string // what was and what is, for an admin
}

// Recorded is what was kept of a decision.
type Recorded struct {
	Facts *abi.Facts
	Decision
}

// Replay judges recorded facts again with the policies of c, and tells where
// the outcome is another. Host functions answer what they answered then, as
// the traces of the recorded steps say; random numbers are those that the
// recorded revision of the policy got. Nothing is written to KV. A host call
// that was not made then gets no answer of today's: to kv_get there is no
// value, kv_put succeeds, kv_incr counts from 0, and no list holds anything.
//
// Times are not compared, nor are the revisions of chain and policies. d is
// filled as by [Chain.Evaluate].
func (c *Chain) Replay(ctx context.Context, was *Recorded, d *Decision) []Difference {
	r := replay{}
	var list []Difference
	d.world = world{trace: &d.trace, replay: &r}
	differ := func(policy, what string, was, is any) {
		list = append(list, Difference{policy, fmt.Sprintf("%s was %v, is %v", what, was, is)})
	}
	at := 0
	before := func(p *policy) {
		r = replay{}
		if at < len(was.Steps) && was.Steps[at].Policy == p.name {
			r.trace, d.world.seedOf = was.Steps[at].Trace, was.Steps[at].Revision
			return
		}
		d.world.seedOf = ""
	}
	after := func(is *Step) {
		if at >= len(was.Steps) {
			list = append(list, Difference{is.Policy, "was not asked, is asked"})
			return
		}
		old := &was.Steps[at]
		at++
		if old.Policy != is.Policy {
			differ(is.Policy, "the policy at this place", old.Policy, is.Policy)
			return
		}
		r.end()
		if r.differ != "" {
			list = append(list, Difference{is.Policy, r.differ})
		}
		if old.Verdict != is.Verdict || old.Fault.Class != is.Fault.Class {
			differ(is.Policy, "verdict", outcome(old.Verdict, old.Fault), outcome(is.Verdict, is.Fault))
		}
	}
	c.evaluate(ctx, was.Facts, d, before, after)
	for ; at < len(was.Steps); at++ {
		list = append(list, Difference{was.Steps[at].Policy, "was asked, is not asked"})
	}
	if was.Verdict != d.Verdict || was.Fault.Class != d.Fault.Class {
		differ("", "verdict", outcome(was.Verdict, was.Fault), outcome(d.Verdict, d.Fault))
	}
	for _, f := range [...]struct{ name, was, is string }{
		{"deciding policy", was.Policy, d.Policy},
		{"message", was.Message, d.Message},
		{"note", was.Note, d.Note},
		{"code", was.Code, d.Code},
	} {
		if f.was != f.is {
			differ("", f.name, quoted(f.was), quoted(f.is))
		}
	}
	if !bytes.Equal(was.Detail, d.Detail) {
		differ("", "detail", string(was.Detail), string(d.Detail))
	}
	return list
}

func outcome(v abi.Verdict, f Fault) string {
	if f.Class == FaultNone {
		return v.String()
	}
	return v.String() + " (fault: " + string(f.Class) + ")"
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

// ParseFacts restores facts from their JSON (abi.AppendJSON) and their event,
// which is nil on make_knock. It fails unless the facts it returns have that
// same JSON, byte for byte, and so the same request frame.
func ParseFacts(facts, event []byte) (*abi.Facts, error) {
	buf := make([]byte, 0, len(facts))
	// The usual way is a fifth of the general one; either is held to the text.
	if f := readFacts(string(facts), event); f != nil && bytes.Equal(abi.AppendJSON(buf, f), facts) {
		return f, nil
	}
	f, err := DecodeFacts(facts, event)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(abi.AppendJSON(buf, f), facts) {
		return nil, ErrOtherFacts
	}
	return f, nil
}

// ErrOtherFacts says that facts were written by a version that wrote them otherwise.
var ErrOtherFacts = errors.New("facts: not as this version writes them")

// DecodeFacts reads facts from any JSON with the keys of abi.AppendJSON, and takes
// the event as it is. What has no key is absent, and what is no key of facts is
// passed over: it is for facts that a person wrote.
func DecodeFacts(facts, event []byte) (*abi.Facts, error) {
	var in struct {
		Phase             string   `json:"phase"`
		RequestID         string   `json:"request_id"`
		NowMS             int64    `json:"now_ms"`
		RoomID            string   `json:"room_id"`
		RoomVersion       string   `json:"room_version"`
		UserID            string   `json:"user_id"`
		UserLocalpart     string   `json:"user_localpart"`
		UserServer        string   `json:"user_server"`
		Origin            string   `json:"origin"`
		SupportedVersions []string `json:"supported_versions"`
		Reason            *string  `json:"reason"`
		Displayname       *string  `json:"displayname"`
		AvatarURL         *string  `json:"avatar_url"`
		ContentHashOK     bool     `json:"content_hash_ok"`
		Room              struct {
			Known          bool    `json:"known"`
			JoinRule       *string `json:"join_rule"`
			Name           *string `json:"name"`
			Alias          *string `json:"alias"`
			Topic          *string `json:"topic"`
			Encrypted      bool    `json:"encrypted"`
			Members        int64   `json:"members"`
			UserMembership *string `json:"user_membership"`
			AgeMS          int64   `json:"age_ms"`

			ACL                   json.RawMessage `json:"acl"`
			Pending               *int64          `json:"pending"`
			PendingServer         *int64          `json:"pending_server"`
			MembersServer         *int64          `json:"members_server"`
			Banned                *int64          `json:"banned"`
			BannedServer          *int64          `json:"banned_server"`
			UserMembershipSinceMS *int64          `json:"user_membership_since_ms"`
			UserMembershipBy      *string         `json:"user_membership_by"`
		} `json:"room"`
	}
	if err := json.Unmarshal(facts, &in); err != nil {
		return nil, fmt.Errorf("facts: %w", err)
	}
	text := func(s *string) abi.Text {
		if s == nil {
			return abi.Text{}
		}
		return abi.Some(*s)
	}
	count := func(n *int64) abi.Number {
		if n == nil {
			return abi.Number{}
		}
		return abi.Count(*n)
	}
	f := &abi.Facts{
		RequestID: in.RequestID, NowMS: in.NowMS, RoomID: in.RoomID, RoomVersion: in.RoomVersion,
		UserID: in.UserID, UserLocalpart: in.UserLocalpart, UserServer: in.UserServer, Origin: in.Origin,
		SupportedVersions: in.SupportedVersions, Reason: text(in.Reason), Displayname: text(in.Displayname),
		AvatarURL: text(in.AvatarURL), Event: event, ContentHashOK: in.ContentHashOK,
		Room: abi.RoomFacts{
			Known: in.Room.Known, JoinRule: text(in.Room.JoinRule), Name: text(in.Room.Name), Alias: text(in.Room.Alias),
			Topic: text(in.Room.Topic), Encrypted: in.Room.Encrypted, Members: in.Room.Members,
			UserMembership: text(in.Room.UserMembership), AgeMS: in.Room.AgeMS,
			Pending: count(in.Room.Pending), PendingServer: count(in.Room.PendingServer), MembersServer: count(in.Room.MembersServer),
			Banned: count(in.Room.Banned), BannedServer: count(in.Room.BannedServer),
			UserMembershipSinceMS: count(in.Room.UserMembershipSinceMS), UserMembershipBy: text(in.Room.UserMembershipBy),
		},
	}
	switch acl := in.Room.ACL; {
	case acl == nil:
	case string(acl) == "null":
		f.Room.ACL = abi.Some("") // the room has none
	default:
		f.Room.ACL = abi.Some(string(acl))
	}
	var ok bool
	if f.Phase, ok = ParsePhase(in.Phase); !ok {
		return nil, fmt.Errorf("facts: the phase %q", in.Phase)
	}
	return f, nil
}
