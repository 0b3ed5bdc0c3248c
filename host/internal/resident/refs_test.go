package resident

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// TestReferences: what a knock may name as prev_events and auth_events.
func TestReferences(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id, other := w.create(version), w.create(version)
		alice := user("alice")
		r := w.room(id)
		create, levels, rules := r.Create.ID(), r.PowerLevels.ID(), r.JoinRules.ID()
		own, bobs := r.Member(admin).ID(), w.mustKnock(id, user("bob")).ID()
		good := []matrix.EventID{create, levels, rules}
		if version == "12" {
			good = good[1:]
		}
		plus := func(ids ...matrix.EventID) string { return list(slices.Concat(good, ids)...) }
		unknown := matrix.EventID("$" + strings.Repeat("A", 43))
		tests := []struct{ name, field, value, want string }{
			{"prev_events empty", "prev_events", "[]", "400 M_INVALID_PARAM"},
			{"prev_events unknown", "prev_events", list(unknown), "400 M_INVALID_PARAM"},
			{"prev_events half unknown", "prev_events", list(levels, unknown), "400 M_INVALID_PARAM"},
			{"prev_events of another room", "prev_events", list(w.current(other).extremities[0].ID), "400 M_INVALID_PARAM"},
			{"auth_events unknown", "auth_events", plus(unknown), "400 M_INVALID_PARAM"},
			{"auth_events of another room", "auth_events", plus(w.room(other).JoinRules.ID()), "403 M_FORBIDDEN"},
			{"auth_events with another's membership", "auth_events", plus(bobs), "403 M_FORBIDDEN"},
			{"auth_events with our membership", "auth_events", plus(own), "403 M_FORBIDDEN"},
			{"auth_events with the name", "auth_events", plus(r.Name.ID()), "403 M_FORBIDDEN"},
			{"auth_events without join rules", "auth_events", list(good[:len(good)-1]...), "403 M_FORBIDDEN"},
			{"auth_events empty", "auth_events", "[]", "403 M_FORBIDDEN"},
			{"auth_events in another order", "auth_events", list(reversed(good)...), "ok"},
		}
		if version != "12" {
			tests = append(tests, struct{ name, field, value, want string }{"auth_events without create", "auth_events", list(levels, rules), "403 M_FORBIDDEN"})
		}
		for i, tt := range tests {
			e, err := signKnock(w.template(id, alice), tt.field, tt.value, "depth", fmt.Sprint(100+i))
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			if _, err := w.accept(id, e); status(err) != tt.want {
				t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
			}
		}
		// These are refused by the event's format, before a room is asked.
		for name, change := range map[string][2]string{
			"prev_events twice":    {"prev_events", list(levels, levels)},
			"21 prev_events":       {"prev_events", list(many(21)...)},
			"11 auth_events":       {"auth_events", list(many(11)...)},
			"auth_events twice":    {"auth_events", plus(rules)},
			"depth below 0":        {"depth", "-1"},
			"depth above 2^53-1":   {"depth", "9007199254740992"},
			"create in version 12": {"auth_events", map[bool]string{true: plus(create), false: "[7]"}[version == "12"]},
		} {
			e, err := signKnock(w.template(id, alice), change[0], change[1])
			if err == nil {
				_, err = w.accept(id, e)
			}
			if status(err) == "ok" {
				t.Errorf("%s: accepted", name)
			}
		}
	})
}

func reversed[S ~[]E, E any](s S) S {
	s = slices.Clone(s)
	slices.Reverse(s)
	return s
}

func many(n int) []matrix.EventID {
	ids := make([]matrix.EventID, n)
	for i := range ids {
		ids[i] = matrix.EventID(fmt.Sprintf("$%042dA", i))
	}
	return ids
}

// TestRejectedIsUnknown: an event that was refused is none that another may
// follow or be authorised by.
func TestRejectedIsUnknown(t *testing.T) {
	w := newWorld(t)
	id := w.create("11")
	alice := user("alice")
	e := w.knock(w.template(id, alice))
	w.membership(id, alice, "ban")
	if _, err := w.accept(id, e); status(err) != "403 M_FORBIDDEN" {
		t.Fatal(err)
	}
	follows := w.knock(w.template(id, user("bob")), "prev_events", list(e.ID()))
	if _, err := w.accept(id, follows); status(err) != "400 M_INVALID_PARAM" {
		t.Errorf("an event after a refused one: %v", err)
	}
}

// TestDepth: a peer may claim any depth; ours stays in bounds.
func TestDepth(t *testing.T) {
	w := newWorld(t)
	id := w.create("11")
	w.mustAccept(id, w.knock(w.template(id, user("alice")), "depth", "9007199254740991"))
	if got, _ := w.template(id, user("bob")).Root().Get("event").Get("depth").Int(); got != maxDepth {
		t.Errorf("depth %d after the deepest event, want %d", got, int64(maxDepth))
	}
	w.set(id, "m.room.topic", "", `{"topic":"deep"}`)
	w.mustKnock(id, user("bob"))
	w.mustAccept(id, w.knock(w.template(id, user("carol")), "depth", "0"))
}
