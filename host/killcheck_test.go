package main

import (
	"bytes"
	"context"
	"database/sql"
	"net/http"
	"net/url"
	"path/filepath"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/pdu"
	"github.com/knockgate/knockgate/host/internal/store"
)

// checkStore opens the store of a program that was killed and holds it to what
// the peer knows, and the room to its events.
func (w *killWorld) checkStore(list []*tried) {
	w.t.Helper()
	ctx := context.Background()
	path := filepath.Join(w.stateDir(), storeFile)
	st, err := store.Open(ctx, path)
	if err != nil {
		w.t.Fatalf("the store after a kill: %v", err)
	}
	for _, k := range list {
		w.checkKnock(st, k)
	}
	data, err := st.LoadRoom(ctx, w.room, 1<<20)
	if err != nil || data == nil {
		w.t.Fatalf("the room after a kill: %v, %v", data, err)
	}
	if err := st.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.checkRoom(path, data)
}

// checkKnock holds a knock to be there as a whole or not at all: its event, as
// its sender's membership.
func (w *killWorld) checkKnock(st *store.Store, k *tried) {
	w.t.Helper()
	ctx := context.Background()
	event, there, err := st.Event(ctx, k.EventID)
	if err != nil {
		w.t.Fatal(err)
	}
	member, isMember, err := st.StateEvent(ctx, w.room, "m.room.member", string(k.user))
	if err != nil {
		w.t.Fatal(err)
	}
	switch {
	case there != (k.retried == http.StatusOK):
		w.t.Errorf("%s: stored is %v, and the peer was answered %d", k.EventID, there, k.retried)
	case there != isMember:
		w.t.Errorf("%s: stored is %v, being its sender's membership %v", k.EventID, there, isMember)
	case there && member.ID != k.EventID:
		w.t.Errorf("the membership of %s is %s, want %s", k.user, member.ID, k.EventID)
	case there && !bytes.Equal(event.JSON, k.Event):
		w.t.Errorf("%s: stored as %s, sent as %s", k.EventID, event.JSON, k.Event)
	}
}

// stored is an event of the room as its row and its bytes say it.
type stored struct {
	store.Event
	parsed *pdu.Event
}

// checkRoom holds what the store keeps of a room beside its events to what the
// events make of it: their order without a gap, the head, which event each is
// based on, the forward extremities and the current state.
func (w *killWorld) checkRoom(path string, data *store.RoomData) {
	w.t.Helper()
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: "mode=ro"}).String())
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		w.t.Errorf("integrity_check: %q, %v", verdict, err)
	}
	var orphans int
	if err := db.QueryRow("SELECT count(*) FROM pragma_foreign_key_check").Scan(&orphans); err != nil || orphans != 0 {
		w.t.Errorf("%d rows refer to nothing, %v", orphans, err)
	}

	type place struct{ typ, key string }
	events := w.readEvents(db, data)
	ends, state := map[matrix.EventID]int64{}, map[place]matrix.EventID{}
	bases := map[matrix.EventID]int64{}
	for i, e := range events {
		if e.Seq != int64(i)+1 || e.parsed.ID() != e.ID {
			w.t.Fatalf("event %d of the room is %s at %d, whose hash says %s", i+1, e.ID, e.Seq, e.parsed.ID())
		}
		base := int64(0)
		for _, prev := range e.parsed.PrevEvents() {
			if _, ok := bases[prev]; !ok {
				w.t.Errorf("%s follows %s, which is not there before it", e.ID, prev)
			}
			base = max(base, bases[prev])
			delete(ends, prev)
		}
		if e.Own {
			base = e.Seq
		}
		if e.Base != base {
			w.t.Errorf("%s is based on %d, want %d", e.ID, e.Base, base)
		}
		bases[e.ID], ends[e.ID] = base, e.Seq
		state[place{e.Type, e.StateKey}] = e.ID
	}
	if last := events[len(events)-1]; data.Head != last.Seq || data.HeadEvent != last.ID {
		w.t.Errorf("the head is %s at %d, the last event %s at %d", data.HeadEvent, data.Head, last.ID, last.Seq)
	}
	for _, x := range data.Extremities {
		if seq, ok := ends[x.ID]; !ok || seq != x.Seq {
			w.t.Errorf("%s is a forward extremity and should be none", x.ID)
		}
	}
	if len(data.Extremities) != len(ends) {
		w.t.Errorf("there are %d forward extremities, want %d", len(data.Extremities), len(ends))
	}
	rows, err := db.Query("SELECT type, state_key, event_id FROM room_state WHERE room_id = ?", string(data.ID))
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var at place
		var id matrix.EventID
		if err := rows.Scan(&at.typ, &at.key, &id); err != nil {
			w.t.Fatal(err)
		}
		if state[at] != id {
			w.t.Errorf("the state at %v is %s, want %s", at, id, state[at])
		}
	}
	if err := rows.Err(); err != nil || n != len(state) {
		w.t.Errorf("the state has %d events, want %d; %v", n, len(state), err)
	}
}

// readEvents returns the events of the room in the order of their storing.
func (w *killWorld) readEvents(db *sql.DB, data *store.RoomData) (list []stored) {
	w.t.Helper()
	version, ok := matrix.LookupRoomVersion(data.Version)
	if !ok {
		w.t.Fatalf("the room is of version %q", data.Version)
	}
	rows, err := db.Query("SELECT event_id, seq, type, state_key, own, base, json FROM events WHERE room_id = ? ORDER BY seq", string(data.ID))
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var e stored
		if err := rows.Scan(&e.ID, &e.Seq, &e.Type, &e.StateKey, &e.Own, &e.Base, &e.JSON); err != nil {
			w.t.Fatal(err)
		}
		if e.parsed, err = pdu.ParseStored(e.JSON, version); err != nil {
			w.t.Fatalf("%s: %v", e.ID, err)
		}
		list = append(list, e)
	}
	if err := rows.Err(); err != nil || len(list) == 0 {
		w.t.Fatalf("%d events of the room, %v", len(list), err)
	}
	return list
}
