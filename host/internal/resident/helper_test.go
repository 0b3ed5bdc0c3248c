package resident

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/knock"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	here  = matrix.ServerName("here.example")
	there = matrix.ServerName("there.example")
	admin = matrix.UserID("@knockgate:here.example")
)

// testSigner signs with a key made from a name.
type testSigner struct{ key ed25519.PrivateKey }

func newSigner(name matrix.ServerName) testSigner {
	seed := sha256.Sum256([]byte(name))
	return testSigner{ed25519.NewKeyFromSeed(seed[:])}
}

// signer returns what Options wants.
func signer(name matrix.ServerName) func() pdu.Signer {
	s := newSigner(name)
	return func() pdu.Signer { return s }
}

func (s testSigner) KeyID() matrix.KeyID        { return "ed25519:test" }
func (s testSigner) Sign(message []byte) []byte { return ed25519.Sign(s.key, message) }

// world is a store with the rooms in it.
type world struct {
	*Local
	tb   testing.TB
	path string
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	return openWorld(tb, filepath.Join(tb.TempDir(), "store.db"))
}

func openWorld(tb testing.TB, path string) *world {
	tb.Helper()
	st, err := store.Open(context.Background(), path)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := st.Close(); err != nil {
			tb.Error(err)
		}
	})
	l, err := NewLocal(Options{Store: st, Server: here, Signer: signer(here)})
	if err != nil {
		tb.Fatal(err)
	}
	return &world{Local: l, tb: tb, path: path}
}

// reopen closes the store and opens the same file with nothing in memory.
func (w *world) reopen() *world {
	w.tb.Helper()
	if err := w.Store.Close(); err != nil {
		w.tb.Fatal(err)
	}
	return openWorld(w.tb, w.path)
}

func (w *world) create(version string) matrix.RoomID {
	w.tb.Helper()
	return w.createSpec(RoomSpec{Version: roomVersion(w.tb, version), Name: "Lobby", Alias: "lobby", Topic: "All that"})
}

func (w *world) createSpec(spec RoomSpec) matrix.RoomID {
	w.tb.Helper()
	id, err := w.CreateRoom(context.Background(), spec)
	if err != nil {
		w.tb.Fatal(err)
	}
	return id
}

func roomVersion(tb testing.TB, id string) *matrix.RoomVersion {
	tb.Helper()
	v, ok := matrix.LookupRoomVersion(id)
	if !ok {
		tb.Fatalf("room version %s is not implemented", id)
	}
	return v
}

func (w *world) room(id matrix.RoomID) *knock.Room {
	w.tb.Helper()
	r, err := w.Room(context.Background(), id)
	if err != nil {
		w.tb.Fatal(err)
	}
	return r
}

func (w *world) current(id matrix.RoomID) *snapshot {
	w.tb.Helper()
	r, err := w.Local.room(context.Background(), id)
	if err != nil {
		w.tb.Fatal(err)
	}
	return r.current.Load()
}

// set sends state as the room's creator.
func (w *world) set(id matrix.RoomID, typ, key, content string) matrix.EventID {
	w.tb.Helper()
	event, err := w.SendState(context.Background(), id, admin, typ, key, []byte(content))
	if err != nil {
		w.tb.Fatalf("%s %q: %v", typ, key, err)
	}
	return event
}

func (w *world) membership(id matrix.RoomID, user matrix.UserID, membership string) {
	w.tb.Helper()
	w.set(id, "m.room.member", string(user), `{"membership":"`+membership+`"}`)
}

func (w *world) template(id matrix.RoomID, user matrix.UserID) *canonicaljson.Doc {
	w.tb.Helper()
	return w.parsed(w.Template(context.Background(), w.room(id), user))
}

// leaveTemplate returns the template of a make_leave.
func (w *world) leaveTemplate(id matrix.RoomID, user matrix.UserID) *canonicaljson.Doc {
	w.tb.Helper()
	return w.parsed(w.LeaveTemplate(context.Background(), w.room(id), user))
}

func (w *world) parsed(body []byte, err error) *canonicaljson.Doc {
	w.tb.Helper()
	if err != nil {
		w.tb.Fatal(err)
	}
	doc, err := canonicaljson.Parse(body)
	if err != nil {
		w.tb.Fatalf("template %s: %v", body, err)
	}
	return doc
}

// leave makes a signed leave from the template of a make_leave.
func (w *world) leave(template *canonicaljson.Doc, changes ...string) *pdu.Event {
	w.tb.Helper()
	return w.knock(template, append([]string{"content", `{"membership":"leave","reason":"changed my mind"}`}, changes...)...)
}

// send checks and stores a leave, as a gateway does.
func (w *world) send(id matrix.RoomID, e *pdu.Event) error {
	w.tb.Helper()
	return w.Leave(context.Background(), w.room(id), e)
}

// membershipNow returns the current membership of a user, "" for none.
func (w *world) membershipNow(id matrix.RoomID, user matrix.UserID) string {
	w.tb.Helper()
	return membershipOf(w.room(id).Member(user))
}

// knock makes a signed knock from a template. Each change is a top-level field
// and its JSON value; an empty value drops the field.
func (w *world) knock(template *canonicaljson.Doc, changes ...string) *pdu.Event {
	w.tb.Helper()
	e, err := signKnock(template, changes...)
	if err != nil {
		w.tb.Fatal(err)
	}
	return e
}

func signKnock(template *canonicaljson.Doc, changes ...string) (*pdu.Event, error) {
	version, _ := template.Root().Get("room_version").Text()
	v, ok := matrix.LookupRoomVersion(version)
	if !ok {
		return nil, fmt.Errorf("room version %q", version)
	}
	fields := make(map[string]string)
	for key, value := range template.Root().Get("event").Members() {
		fields[string(key)] = string(value.Canonical())
	}
	fields["content"] = `{"membership":"knock","reason":"please"}`
	for i := 0; i < len(changes); i += 2 {
		fields[changes[i]] = changes[i+1]
	}
	b := []byte{'{'}
	for key, value := range fields {
		if value == "" {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(canonicaljson.AppendKey(b, key), value...)
	}
	doc, err := canonicaljson.Parse(append(b, '}'))
	if err != nil {
		return nil, err
	}
	sender, _ := doc.Root().Get("sender").Text()
	server := matrix.UserID(sender).Server()
	signed, err := pdu.Sign(doc, v, server, newSigner(server))
	if err != nil {
		return nil, err
	}
	return pdu.ParseStored(signed, v)
}

// accept checks and accepts an event, as a gateway does.
func (w *world) accept(id matrix.RoomID, e *pdu.Event) ([]byte, error) {
	w.tb.Helper()
	ctx := context.Background()
	r := w.room(id)
	stored, err := w.Stored(ctx, id, e.ID())
	if err != nil {
		w.tb.Fatal(err)
	}
	checked := w.Check(ctx, r, e)
	body, err := w.Accept(ctx, r, e)
	if !stored && status(checked) != status(err) {
		w.tb.Errorf("Check says %v, Accept says %v", checked, err)
	}
	return body, err
}

func (w *world) mustAccept(id matrix.RoomID, e *pdu.Event) {
	w.tb.Helper()
	if _, err := w.accept(id, e); err != nil {
		w.tb.Fatal(err)
	}
}

// mustKnock has a user knock and returns the event.
func (w *world) mustKnock(id matrix.RoomID, user matrix.UserID) *pdu.Event {
	w.tb.Helper()
	e := w.knock(w.template(id, user))
	w.mustAccept(id, e)
	return e
}

// status returns what a peer would be answered: "ok", or status and errcode.
func status(err error) string {
	var wire *matrix.Error
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &wire):
		return fmt.Sprintf("%d %s", wire.Status, wire.Code)
	}
	return err.Error()
}

func user(localpart string) matrix.UserID {
	return matrix.UserID("@" + localpart + ":" + string(there))
}

// list makes a JSON array of event IDs.
func list[S ~string](ids ...S) string {
	var quoted []string
	for _, id := range ids {
		quoted = append(quoted, `"`+string(id)+`"`)
	}
	return "[" + strings.Join(quoted, ",") + "]"
}

// clock is a clock that is set by hand.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }
