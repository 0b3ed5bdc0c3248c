package resident

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/store"
)

// eachVersion runs a test for every room version.
func eachVersion(t *testing.T, test func(t *testing.T, version string)) {
	for _, v := range matrix.RoomVersionIDs() {
		t.Run("v"+v, func(t *testing.T) { test(t, v) })
	}
}

func TestKnock(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.create(version)
		alice := user("alice")
		template := w.template(id, alice)
		if got, _ := template.Root().Get("room_version").Text(); got != version {
			t.Errorf("room_version %q, want %q", got, version)
		}
		e := w.knock(template)
		body, err := w.accept(id, e)
		if err != nil {
			t.Fatal(err)
		}
		checkKnockState(t, body, version, "auto")

		r := w.room(id)
		if m := r.Member(alice); m == nil || m.ID() != e.ID() {
			t.Errorf("the knock is not the member state: %v", m)
		}
		if r.Joined != 1 {
			t.Errorf("%d joined, want 1", r.Joined)
		}
		// The knock is stored as its sender signed it.
		row, ok, err := w.Store.Event(context.Background(), e.ID())
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		if string(row.JSON) != string(e.JSON()) || strings.Contains(string(row.JSON), `"here.example":{"ed25519`) {
			t.Errorf("stored as %s, want %s", row.JSON, e.JSON())
		}
		// A second knock by a new event replaces the first and lists it.
		again := w.template(id, alice)
		if auth := again.Root().Get("event").Get("auth_events"); !strings.Contains(string(auth.Canonical()), string(e.ID())) {
			t.Errorf("the first knock is not among the auth_events %s", auth.Canonical())
		}
		second := w.knock(again, "content", `{"membership":"knock","reason":"pretty please"}`)
		w.mustAccept(id, second)
		if m := w.room(id).Member(alice); m.ID() != second.ID() {
			t.Errorf("the second knock is not the member state")
		}
	})
}

// checkKnockState checks the body of a 200: which events, in which shape.
func checkKnockState(t *testing.T, body []byte, version, want string) {
	t.Helper()
	doc, err := canonicaljson.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for e := range doc.Root().Get("knock_room_state").Elems() {
		typ, _ := e.Get("type").Text()
		types = append(types, typ)
		var keys []string
		for key := range e.Members() {
			keys = append(keys, string(key))
		}
		full := e.Get("signatures").Exists()
		if wantFull := want == "pdu" || want == "auto" && version == "12" && typ == "m.room.create"; full != wantFull {
			t.Errorf("%s has the keys %v", typ, keys)
		}
		if !full && len(keys) != 4 {
			t.Errorf("stripped %s has the keys %v, want four", typ, keys)
		}
		if typ == "m.room.create" && version == "12" && e.Get("room_id").Exists() {
			t.Error("the create event of version 12 has a room_id")
		}
	}
	if diff := cmp.Diff([]string{"m.room.create", "m.room.join_rules", "m.room.canonical_alias", "m.room.name", "m.room.topic"}, types); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestKnockStateFormats(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		for _, format := range []Format{FormatAuto, FormatStripped, FormatPDU} {
			w := newWorld(t)
			w.Answer = format
			id := w.create(version)
			r := w.room(id)
			checkKnockState(t, w.KnockState(r), version, string(format))
			// A room that has moved on since gives the state that was judged.
			before := string(w.KnockState(r))
			w.set(id, "m.room.name", "", `{"name":"Other"}`)
			if got := string(w.KnockState(r)); got != before {
				t.Errorf("the state of an old snapshot changed:\n%s\n%s", before, got)
			}
			if got := string(w.KnockState(w.room(id))); !strings.Contains(got, "Other") {
				t.Errorf("the new name is not in %s", got)
			}
		}
	})
}

// TestKnockStateEvents: a knocker is told what stripped state has of the room, in
// this order, and nothing else that is in it.
func TestKnockStateEvents(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.create(version)
		for _, s := range [][2]string{
			{"m.room.avatar", `{"url":"mxc://here.example/a"}`}, {"m.room.encryption", `{"algorithm":"m.megolm.v1.aes-sha2"}`},
			{"m.room.server_acl", `{"allow":["*"]}`}, {"m.room.guest_access", `{}`}, {"com.example.secret", `{"secret":true}`},
		} {
			w.set(id, s[0], "", s[1])
		}
		w.set(id, "m.room.name", "another key", `{"name":"secret"}`)
		w.mustKnock(id, user("bob"))
		body, err := w.accept(id, w.knock(w.template(id, user("alice"))))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := canonicaljson.Parse(body)
		if err != nil || string(doc.Bytes()) != string(body) {
			t.Fatalf("not canonical: %v: %s", err, body)
		}
		var types []string
		for e := range doc.Root().Get("knock_room_state").Elems() {
			typ, _ := e.Get("type").Text()
			types = append(types, typ)
			if key, ok := e.Get("state_key").Text(); !ok || key != "" || !e.Get("content").IsObject() {
				t.Errorf("%s is %s", typ, e.Canonical())
			}
		}
		want := []string{"m.room.create", "m.room.join_rules", "m.room.canonical_alias", "m.room.avatar", "m.room.name", "m.room.encryption", "m.room.topic"}
		if diff := cmp.Diff(want, types); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// TestTemplate holds every field to what a caller of make_knock checks.
func TestTemplate(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.create(version)
		r := w.room(id)
		doc := w.template(id, user("alice"))
		got := make(map[string]string)
		for key, v := range doc.Root().Get("event").Members() {
			got[string(key)] = string(v.Canonical())
		}
		delete(got, "origin_server_ts")
		auth := []matrix.EventID{r.Create.ID(), r.PowerLevels.ID(), r.JoinRules.ID()}
		if version == "12" {
			auth = auth[1:]
		}
		last := w.current(id).extremities[0]
		want := map[string]string{
			"auth_events": list(auth...),
			"content":     `{"membership":"knock"}`,
			"depth":       "9",
			"origin":      `"here.example"`,
			"prev_events": list(last.ID),
			"room_id":     `"` + string(id) + `"`,
			"sender":      `"@alice:there.example"`,
			"state_key":   `"@alice:there.example"`,
			"type":        `"m.room.member"`,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestTemplateProperty: whatever happened to the room, a template passes the
// checks of those who call make_knock, and is accepted when signed.
func TestTemplateProperty(t *testing.T) {
	w := newWorld(t)
	ids := make(map[string]matrix.RoomID)
	for _, v := range matrix.RoomVersionIDs() {
		ids[v] = w.create(v)
	}
	rapid.Check(t, func(t *rapid.T) {
		version := rapid.SampledFrom(matrix.RoomVersionIDs()).Draw(t, "version")
		id := ids[version]
		u := user(rapid.StringMatching(`[a-z0-9/ü ]{0,12}`).Draw(t, "localpart"))
		ctx := context.Background()
		switch rapid.IntRange(0, 3).Draw(t, "before") {
		case 1:
			w.set(id, "m.room.topic", "", fmt.Sprintf(`{"topic":"%d"}`, rand.Int()))
		case 2:
			if m := w.room(id).Member(u); m != nil && m.Membership() == "knock" {
				w.membership(id, u, "leave")
			}
		}
		r := w.room(id)
		body, err := w.Template(ctx, r, u)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := canonicaljson.Parse(body)
		if err != nil || string(doc.Bytes()) != string(body) {
			t.Fatalf("not canonical: %v: %s", err, body)
		}
		e := doc.Root().Get("event")
		for key, want := range map[string]string{"room_id": string(id), "sender": string(u), "state_key": string(u), "type": "m.room.member"} {
			if got, ok := e.Get(key).Text(); !ok || got != want {
				t.Fatalf("%s is %q, want %q", key, got, want)
			}
		}
		if got, _ := e.Get("content").Get("membership").Text(); got != "knock" || e.Get("content").Len() != 1 {
			t.Fatalf("content %s", e.Get("content").Canonical())
		}
		if n := e.Get("prev_events").Len(); n < 1 || n > 20 {
			t.Fatalf("%d prev_events", n)
		}
		if n := e.Get("auth_events").Len(); n > 4 {
			t.Fatalf("%d auth_events", n)
		}
		for _, absent := range []string{"hashes", "signatures", "unsigned", "event_id"} {
			if e.Get(absent).Exists() {
				t.Fatalf("the template has %s", absent)
			}
		}
		signed, err := signKnock(doc)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Accept(ctx, r, signed); err != nil {
			t.Fatalf("the signed template is refused: %v", err)
		}
	})
}

// TestReplay: an accepted knock that is sent again is answered, and does not
// bring its sender back.
func TestReplay(t *testing.T) {
	eachVersion(t, func(t *testing.T, version string) {
		w := newWorld(t)
		id := w.create(version)
		alice := user("alice")
		e := w.mustKnock(id, alice)
		for _, after := range []string{"leave", "ban"} {
			w.membership(id, alice, after)
			before := w.room(id)
			if stored, err := w.Stored(context.Background(), id, e.ID()); !stored || err != nil {
				t.Errorf("Stored = %v, %v", stored, err)
			}
			body, err := w.accept(id, e)
			if err != nil {
				t.Errorf("the replay after %s: %v", after, err)
			}
			checkKnockState(t, body, version, "auto")
			now := w.room(id)
			if m := now.Member(alice).Membership(); m != after || now.Position != before.Position {
				t.Errorf("the replay made the membership %q, want %q", m, after)
			}
		}
	})
}

// TestUnknownRoom: 404, and a room is found as soon as it is there, also one
// that another process made.
func TestUnknownRoom(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	if _, err := w.Room(ctx, "!none:here.example"); status(err) != "404 M_NOT_FOUND" {
		t.Errorf("an unknown room: %v", err)
	}
	if len(w.rooms) != 0 {
		t.Errorf("the unknown room is remembered: %v", w.rooms)
	}
	if _, err := w.SendState(ctx, "!none:here.example", admin, "m.room.name", "", []byte("{}")); status(err) != "404 M_NOT_FOUND" {
		t.Errorf("state in an unknown room: %v", err)
	}
	other := openWorld(t, w.path)
	id := other.create("11")
	w.mustKnock(id, user("alice"))

	// Nobody joined: we are not in the room.
	w.membership(id, admin, "leave")
	if _, err := w.Room(ctx, id); status(err) != "404 M_NOT_FOUND" {
		t.Errorf("a room that everybody left: %v", err)
	}
}

// TestOldVersion: a room of a version before knocking is there, and has no
// Version.
func TestOldVersion(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	const id = matrix.RoomID("!old:here.example")
	if err := w.Store.Write(ctx, func(tx *store.Tx) error { return tx.InsertRoom(id, "6", w.Now()) }); err != nil {
		t.Fatal(err)
	}
	r := w.room(id)
	if r.VersionID != "6" || r.Version != nil || r.Member(admin) != nil {
		t.Errorf("%+v, want version 6 without a Version", r)
	}
	if _, err := w.Template(ctx, r, user("alice")); status(err) != "403 M_FORBIDDEN" {
		t.Errorf("Template: %v", err)
	}
	e := w.knock(w.template(w.create("7"), user("alice")))
	if _, err := w.accept(id, e); status(err) != "403 M_FORBIDDEN" {
		t.Errorf("Accept: %v", err)
	}
	list, err := w.Rooms(ctx)
	if err != nil || len(list) != 2 {
		t.Errorf("Rooms = %v, %v", list, err)
	}
}

// TestWrongRoom: an event of another room or version is not taken.
func TestWrongRoom(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.create("11"), w.create("11"), w.create("10")
	e := w.knock(w.template(a, user("alice")))
	for _, id := range []matrix.RoomID{b, c} {
		if _, err := w.accept(id, e); status(err) != "400 M_INVALID_PARAM" {
			t.Errorf("%v", err)
		}
	}
}
