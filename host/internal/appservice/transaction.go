package appservice

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/store"
)

const (
	// MaxBody is the largest transaction, in bytes. Synapse's have at most 100
	// events, of 64 KiB and with as much of the state before, and escapes what is
	// not ASCII, which can make three bytes of one.
	MaxBody = 48 << 20
	// maxKnocks is the most knocks of one transaction.
	maxKnocks = 1000
	// maxID is the longest identifier.
	maxID = 255
)

// readEvents calls each for the events of a transaction, one after the other. It
// fails with a [*matrix.Error] if the body is no JSON object with them, and with
// the first error of each or of r.
func readEvents(r io.Reader, each func(event json.RawMessage) error) error {
	d := json.NewDecoder(r)
	if err := expect(d, '{'); err != nil {
		return err
	}
	found := false
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return unreadable(err)
		}
		if key != "events" {
			var skipped json.RawMessage
			if err := d.Decode(&skipped); err != nil {
				return unreadable(err)
			}
			continue
		}
		found = true
		if err := expect(d, '['); err != nil {
			return err
		}
		for d.More() {
			var event json.RawMessage
			if err := d.Decode(&event); err != nil {
				return unreadable(err)
			}
			if err := each(event); err != nil {
				return err
			}
		}
		if err := expect(d, ']'); err != nil {
			return err
		}
	}
	if err := expect(d, '}'); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return matrix.NotJSON("There is more than one JSON object").Because(err)
	}
	if !found {
		return matrix.BadJSON("The transaction has no events")
	}
	return nil
}

// expect reads one delimiter.
func expect(d *json.Decoder, want json.Delim) error {
	got, err := d.Token()
	if err != nil {
		return unreadable(err)
	}
	if got != want {
		return matrix.BadJSON("The transaction is no object with a list of events")
	}
	return nil
}

// unreadable returns the error of a body that is no JSON, or could not be read.
func unreadable(err error) error {
	if errors.As(err, new(*http.MaxBytesError)) {
		return err
	}
	return matrix.NotJSON("The transaction is not JSON").Because(err)
}

// taker takes the events of one transaction.
type taker struct {
	*Receiver
	now               time.Time
	live              bool
	events, malformed int
	knocks            []store.Undecided
}

// take takes an event in the format that clients get. One that makes no sense is
// counted, and not refused: the homeserver would push it again for ever.
//
// Keys are looked up as they are written. A decoder of structs takes them in any
// case, and a knock with a key "Type" beside its type would pass for another
// event.
func (t *taker) take(raw json.RawMessage) error {
	t.events++
	var e map[string]json.RawMessage
	_ = json.Unmarshal(raw, &e) // what is no object has no room
	room, sender := text(e["room_id"]), text(e["sender"])
	if !isID(room) || !isID(sender) {
		t.malformed++
		return nil
	}
	kind := text(e["type"])
	_, isState := e["state_key"]
	// A redaction takes fields out of a state event.
	if t.Facts != nil && (isState || kind == "m.room.redaction") {
		t.Facts.Forget(matrix.RoomID(room))
	}
	var ms int64
	_ = json.Unmarshal(e["origin_server_ts"], &ms) // or it is 0
	at := time.UnixMilli(max(0, min(ms, 1<<53)))
	_, server, _ := strings.Cut(sender, ":")
	own := server == string(t.Server)
	// Events come in the order in which the homeserver got them, and the time of its
	// own users' is its own. So once one of these is new, all that follow are,
	// whatever another server has written into them.
	t.live = t.live || own && !at.Before(t.Since)
	if kind != "m.room.member" || text(e["state_key"]) != sender {
		return nil
	}
	var content map[string]json.RawMessage
	_ = json.Unmarshal(e["content"], &content) // what is no object has no membership
	if text(content["membership"]) != "knock" || !t.live && at.Before(t.Since) {
		return nil
	}
	event := text(e["event_id"])
	if !isID(event) {
		t.malformed++
		return nil
	}
	if len(t.knocks) == maxKnocks {
		return matrix.TooLarge("The transaction has more than %d knocks", maxKnocks)
	}
	k := store.Undecided{Event: event, Room: room, User: sender, Kind: OtherServer, At: at, SeenAt: t.now}
	if own {
		k.Kind = OwnUser
	}
	t.knocks = append(t.knocks, k)
	return nil
}

// text returns the string that raw is; "" if it is none.
func text(raw json.RawMessage) (s string) {
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

func isID(s string) bool { return s != "" && len(s) <= maxID }
