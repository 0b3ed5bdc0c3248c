package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/knockgate/knockgate/host/internal/peer"
)

// TestFrontStopCutsOff: a stop waits for what is passed through as long as drainTime,
// and then cuts off both sides of it, with a line in the log, and is no failure.
func TestFrontStopCutsOff(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	arrived, left := make(chan struct{}), make(chan struct{})
	polled := make(chan error, 1)
	var f *front
	t.Run("", func(t *testing.T) { // its clean-up is the stop, which fails the test where Run does
		f = newFront(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			close(arrived)
			<-r.Context().Done() // a long poll
			close(left)
		}), allowAll)
		f.drain = 50 * time.Millisecond
		p := f.peer()
		go func() {
			_, err := p.Do(context.Background(), f.name, http.MethodGet, "/_matrix/federation/v1/state/!r:a", nil)
			polled <- err
		}()
		<-arrived
	})
	if err := <-polled; err == nil {
		t.Error("the long poll ended well, want it cut off")
	}
	<-left
	if lines := f.log.lines("level=WARN", "cut off by the stop"); len(lines) != 1 {
		t.Errorf("%d lines in the log say so, want 1", len(lines))
	}
}

// TestFrontStopWaits: a stop waits for a knock that the homeserver has, and its sender
// gets the answer.
func TestFrontStopWaits(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	arrived, release := make(chan struct{}), make(chan struct{})
	answered := make(chan *peer.Exchange, 1)
	var address string
	var f *front
	t.Run("", func(t *testing.T) {
		f = newFrontOfRooms(t, allowAll)
		address = string(f.name)
		p := f.peer()
		room := f.homeserver.room("11", "knock")
		event, id := f.sign(p, room, "ada", "hello")
		f.answers(func(w http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-release
			_, _ = io.WriteString(w, `{"knock_room_state":[]}`)
		})
		go func() {
			x, err := p.Do(context.Background(), f.name, http.MethodPut, peer.SendTarget(room, id), event)
			if err != nil {
				t.Errorf("the knock during a stop: %v", err)
			}
			answered <- x
		}()
		<-arrived
		go func() { // once the stop has begun, nobody listens
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for range tick.C {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					close(release)
					return
				}
				conn.Close()
			}
		}()
	})
	if x := <-answered; x.Status != http.StatusOK {
		t.Errorf("the knock during a stop: %d %s, want 200", x.Status, x.Body)
	}
	if lines := f.log.lines("cut off by the stop"); len(lines) != 0 {
		t.Errorf("the log has %q", lines)
	}
}

// TestFrontStopRecords: a knock that was handed on to a homeserver which never answers
// is recorded before the stop ends, although its sender has left.
func TestFrontStopRecords(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var f *front
	t.Run("", func(t *testing.T) {
		arrived := make(chan struct{})
		f = newFrontOfRooms(t, allowAll)
		p := f.peer()
		room := f.homeserver.room("11", "knock")
		event, id := f.sign(p, room, "ada", "hello")
		f.answers(func(w http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-r.Context().Done()
		})
		f.drain = 50 * time.Millisecond
		ctx, leave := context.WithCancel(context.Background())
		left := make(chan error, 1)
		go func() {
			_, err := p.Do(ctx, f.name, http.MethodPut, peer.SendTarget(room, id), event)
			left <- err
		}()
		<-arrived
		leave()
		if err := <-left; err == nil {
			t.Error("the sender got an answer before it left")
		}
	})
	if lines := f.log.lines("msg=decision", "phase=send_knock", "verdict=allow", "status=502"); len(lines) != 1 {
		t.Errorf("%d lines of the decision in the log, want 1", len(lines))
	}
}

// openFiles returns how many files the process has open; 0 where nothing says so.
func openFiles() int {
	files, _ := os.ReadDir("/proc/self/fd")
	return len(files)
}
