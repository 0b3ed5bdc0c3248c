package resident

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
)

// Pending is a knock that nobody has answered yet.
type Pending struct {
	Room  matrix.RoomID
	User  matrix.UserID
	Event matrix.EventID
	// Reason and Displayname are the knocker's own words, of any length and with
	// any characters in them; empty if there are none.
	Reason, Displayname string
	// Since is when the knock was made, by the clock of the knocker's server.
	Since time.Time
}

// knocksAtOnce is how many member events are read at a time. One may be 64 KiB.
const knocksAtOnce = 100

// Pending yields the knocks on a room that nobody has answered, in the order in
// which they came. It ends with the first error, 404 M_NOT_FOUND for a room that
// is not there.
func (l *Local) Pending(ctx context.Context, room matrix.RoomID) iter.Seq2[Pending, error] {
	return func(yield func(Pending, error) bool) {
		r, err := l.room(ctx, room)
		if err != nil {
			yield(Pending{}, err)
			return
		}
		version := r.current.Load().Version
		if version == nil {
			return
		}
		for after := int64(0); ; {
			rows, err := l.Store.RemoteMembers(ctx, room, after, knocksAtOnce)
			if err != nil {
				yield(Pending{}, err)
				return
			}
			for _, row := range rows {
				after = row.Seq
				e, err := pdu.ParseStored(row.JSON, version)
				if err != nil {
					yield(Pending{}, fmt.Errorf("stored event %s: %w", row.ID, err))
					return
				}
				if e.Membership() == pdu.Knock && !yield(pendingOf(e), nil) {
					return
				}
			}
			if len(rows) < knocksAtOnce {
				return
			}
		}
	}
}

func pendingOf(e *pdu.Event) Pending {
	return Pending{
		Room: e.RoomID(), User: e.Sender(), Event: e.ID(),
		Reason: text(e, "reason"), Displayname: text(e, "displayname"),
		Since: time.UnixMilli(e.OriginServerTS()),
	}
}

// MembershipError says that a user's membership is not what it would have to be.
type MembershipError struct {
	Room matrix.RoomID
	User matrix.UserID
	// Is is the membership, "" for none, and Wanted what it would have to be.
	Is, Wanted string
}

// Error names the user, the room and both memberships.
func (e *MembershipError) Error() string {
	is := e.Is
	if is == "" {
		is = "none"
	}
	return fmt.Sprintf("the membership of %q in %s is %s, not %s", e.User, e.Room, is, e.Wanted)
}

// Declined says what a Decline did.
type Declined struct {
	// Event is the leave that took the knock away, and By who sent it.
	Event matrix.EventID
	By    matrix.UserID
}

// Decline answers a pending knock with a kick, sent by that of our joined users
// with the most power; it is the room's creator unless somebody changed that.
// The user can knock again. reason goes into the event; empty: none.
//
// It fails with a [*MembershipError] if the user has no knock pending, and with
// 403 M_FORBIDDEN if none of our users has the power.
func (l *Local) Decline(ctx context.Context, room matrix.RoomID, user matrix.UserID, reason string) (Declined, error) {
	r, err := l.room(ctx, room)
	if err != nil {
		return Declined{}, err
	}
	// Another process may have taken the knock that this one has not seen.
	if err := r.compare(ctx, l.Now()); err != nil {
		return Declined{}, err
	}
	by, err := r.current.Load().strongest(l.Server)
	if err != nil {
		return Declined{}, err
	}
	content := object("membership", pdu.Leave)
	if reason != "" {
		content = object("membership", pdu.Leave, "reason", reason)
	}
	doc, err := canonicaljson.Parse(content)
	if err != nil {
		return Declined{}, matrix.BadJSON("the reason: %v", err)
	}
	e, err := r.send(ctx, &draft{sender: by, typ: typeMember, key: string(user), content: doc.Bytes()}, doc.Root(), pdu.Knock)
	if err != nil {
		return Declined{}, err
	}
	return Declined{Event: e.ID(), By: by}, nil
}

// strongest returns the joined user of a server with the most power.
func (s *snapshot) strongest(server matrix.ServerName) (matrix.UserID, error) {
	if s.Version == nil {
		return "", noVersion()
	}
	var joined []matrix.UserID
	for at, e := range s.own.events {
		if user := matrix.UserID(at.key); at.typ == typeMember && e.Membership() == "join" && user.Server() == server {
			joined = append(joined, user)
		}
	}
	if len(joined) == 0 {
		return "", matrix.Forbidden("None of our users is in the room %s", s.ID)
	}
	levels := levelsOf(s.own, s.Version)
	return slices.MinFunc(joined, func(a, b matrix.UserID) int {
		return cmp.Or(cmp.Compare(levels.user(b), levels.user(a)), cmp.Compare(a, b))
	}), nil
}
