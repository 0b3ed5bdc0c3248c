package resident

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// TestTally: a tally counts as a plain map does, and none of those that it was
// made from changes with it.
func TestTally(t *testing.T) {
	servers := []matrix.ServerName{"a", "b", "c:1", "d"}
	random := rand.New(rand.NewPCG(1, 2))
	type moment struct {
		t    tally
		want map[matrix.ServerName]int64
	}
	want := map[matrix.ServerName]int64{"a": 3}
	now := newTally(maps.Clone(want))
	moments := []moment{{now, maps.Clone(want)}}
	for range 5 * maxChanges {
		server, n := servers[random.IntN(len(servers))], int64(1)
		if want[server] > 0 && random.IntN(2) == 0 {
			n = -1
		}
		want[server] += n
		now = now.plus(server, n)
		moments = append(moments, moment{now, maps.Clone(want)}, moment{moments[len(moments)/2].t.plus("d", 0), moments[len(moments)/2].want})
	}
	for i, m := range moments {
		var total int64
		for _, server := range servers {
			total += m.want[server]
			if got := m.t.of(server); got != m.want[server] {
				t.Fatalf("moment %d: %d of %s, want %d", i, got, server, m.want[server])
			}
		}
		if m.t.total != total {
			t.Fatalf("moment %d: %d in all, want %d", i, m.t.total, total)
		}
	}
	if (tally{}).plus("a", 1).of("a") != 1 || (tally{}).of("a") != 0 {
		t.Error("the empty tally does not count")
	}
}
