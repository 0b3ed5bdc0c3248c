package appservice

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// BenchmarkTransaction is 100 events of the past, as a homeserver pushes them one
// transaction after the other when it gets its first application service.
func BenchmarkTransaction(b *testing.B) {
	s := newScene(b)
	events := make([]string, 100)
	for i := range events {
		events[i] = strings.Replace(member(fmt.Sprint("$", i), "@u:b.test", "join", -time.Hour), "hello", strings.Repeat("x", 600), 1)
	}
	body := `{"events":[` + strings.Join(events, ",") + `]}`
	b.SetBytes(int64(len(body)))
	for i := 0; b.Loop(); i++ {
		if status, code := s.ask(http.MethodPut, fmt.Sprint("/transactions/", i), strings.NewReader(body)); status != 200 {
			b.Fatal(status, code)
		}
	}
}
