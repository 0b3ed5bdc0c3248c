package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestPermits: a permit is there until it ends, once; as many are live as may be;
// the mark says when others are; a purge takes those of the user that have ended.
func TestPermits(t *testing.T) {
	ctx, s := context.Background(), openTest(t)
	at := time.UnixMicro(1_700_000_000_000_001).UTC()
	give := func(user string, given time.Time) (int64, error) {
		return s.GivePermit(ctx, &Permit{Room: "!r:x", User: user, Note: "n", By: "root", Given: given, Until: given.Add(time.Hour)}, 2)
	}
	last := PermitsMark{Count: -1}
	mark := func() {
		t.Helper()
		m, err := s.PermitsMark(ctx)
		if err != nil || m == last {
			t.Fatalf("mark %v, err %v; want another than before", m, err)
		}
		last = m
	}
	mark()
	for want := int64(1); want <= 2; want++ {
		if id, err := give("@a:y", at); err != nil || id != want {
			t.Fatalf("permit %d, err %v; want %d", id, err, want)
		}
		mark()
	}
	if _, err := give("@a:y", at.Add(time.Hour-1)); !errors.Is(err, ErrTooManyPermits) {
		t.Fatalf("a third of two: %v", err)
	}
	for _, want := range []bool{true, false} {
		if was, err := s.EndPermit(ctx, 2, PermitUsed, "REQ", at.Add(time.Minute)); err != nil || was != want {
			t.Fatalf("end: %v, %v; want %v", was, err, want)
		}
	}
	mark()
	// Room again: one was used, and the other has expired by now.
	for want := int64(3); want <= 4; want++ {
		if id, err := give("@b:y", at.Add(time.Hour)); err != nil || id != want {
			t.Fatalf("permit %d, err %v; want %d", id, err, want)
		}
		mark()
	}
	want := func(id int64, user, end, request string, ended time.Time) Permit {
		given := at
		if id > 2 {
			given = at.Add(time.Hour)
		}
		return Permit{ID: id, Room: "!r:x", User: user, Note: "n", By: "root", Given: given, Until: given.Add(time.Hour), End: end, Ended: ended, Request: request}
	}
	three, four := want(3, "@b:y", "", "", time.Time{}), want(4, "@b:y", "", "", time.Time{})
	one, two := want(1, "@a:y", PermitExpired, "", at.Add(time.Hour)), want(2, "@a:y", PermitUsed, "REQ", at.Add(time.Minute))
	all, err := s.Permits(ctx, 10)
	if diff := cmp.Diff([]Permit{four, three, two, one}, all); err != nil || diff != "" {
		t.Errorf("err %v, all (-want +got):\n%s", err, diff)
	}
	live, err := s.LivePermits(ctx)
	if diff := cmp.Diff([]Permit{three, four}, live); err != nil || diff != "" {
		t.Errorf("err %v, live (-want +got):\n%s", err, diff)
	}
	for _, user := range []string{"@a:y", "@b:y"} {
		if _, err := s.PurgeUser(ctx, user); err != nil {
			t.Fatal(err)
		}
	}
	all, err = s.Permits(ctx, 10)
	if diff := cmp.Diff([]Permit{four, three}, all); err != nil || diff != "" {
		t.Errorf("err %v, after a purge (-want +got):\n%s", err, diff)
	}
}

// TestPermitsTrimmed: of those that have ended the last are kept, and an ID is not
// given twice.
func TestPermitsTrimmed(t *testing.T) {
	ctx, s := context.Background(), openTest(t)
	at := time.UnixMicro(1_700_000_000_000_000).UTC()
	p := Permit{Room: "!r:x", User: "@a:y", By: "root", Given: at, Until: at.Add(time.Hour)}
	for range 2 {
		if _, err := s.GivePermit(ctx, &p, 10); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.EndPermit(ctx, 1, PermitRevoked, "", at); err != nil {
		t.Fatal(err)
	}
	// As if that many had come and gone since.
	db := rawOpen(t, s.Path())
	defer db.Close()
	if _, err := db.Exec("UPDATE sqlite_sequence SET seq = ? WHERE name = 'permits'", keptPermits); err != nil {
		t.Fatal(err)
	}
	id, err := s.GivePermit(ctx, &p, 10)
	if err != nil || id != keptPermits+1 {
		t.Fatalf("permit %d, err %v; want %d", id, err, keptPermits+1)
	}
	if _, ok, err := s.Permit(ctx, 1); ok || err != nil {
		t.Errorf("the first, which has ended, is there: %v, err %v", ok, err)
	}
	if _, ok, err := s.Permit(ctx, 2); !ok || err != nil {
		t.Errorf("the second, which is live, is there: %v, err %v", ok, err)
	}
}
