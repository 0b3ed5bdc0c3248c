package main

import (
	"context"
	"net/http"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/serverkey"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// TestHangingKeyServer: while the key server of one origin hangs, users of
// another, whose keys are not known yet either, knock as ever.
func TestHangingKeyServer(t *testing.T) {
	w := newWorld(t, allowAll, nil)
	p := w.peer()
	room := w.room("11", "knock")
	key, err := serverkey.Generate()
	if err != nil {
		t.Fatal(err)
	}
	asked, release := make(chan struct{}, 1), make(chan struct{})
	hanging := serveFloor(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-release
	})

	target := peer.MakeTarget(room, matrix.UserID("@ada:"+string(hanging)), nil)
	authorization := xmatrix.Header(key, hanging, w.name, http.MethodGet, target, nil)
	ended := make(chan int, 1)
	go func() {
		x, err := p.Send(context.Background(), w.name, http.MethodGet, target, nil, authorization)
		if err != nil {
			t.Errorf("the request that waits for keys: %v", err)
		}
		ended <- x.Status
	}()
	<-asked
	w.mustKnock(p, w.knock(p, "grace", room), peer.Allowed)
	select {
	case status := <-ended:
		t.Errorf("the request was answered %d before its origin gave keys", status)
	default:
	}
	close(release)
	if status := <-ended; status != http.StatusUnauthorized {
		t.Errorf("the request whose origin gave no keys: %d, want 401", status)
	}
}
