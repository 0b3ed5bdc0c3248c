package resident

import (
	"maps"
	"slices"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// tally counts users by their server. It never changes once made; one that
// differs a little shares almost all of it.
type tally struct {
	total int64
	by    map[matrix.ServerName]int64
	// since is what has changed since by was made.
	since []change
}

// change is one user more or less of a server.
type change struct {
	server matrix.ServerName
	n      int64
}

// maxChanges is how many changes a tally has beside its map: a new one of them
// copies this many, and one in this many copies the map.
const maxChanges = 64

// newTally returns the tally of a map, which must not be changed after.
func newTally(by map[matrix.ServerName]int64) tally {
	t := tally{by: by}
	for _, n := range by {
		t.total += n
	}
	return t
}

// plus returns the tally with n users more of a server.
func (t tally) plus(server matrix.ServerName, n int64) tally {
	t.total += n
	t.since = append(slices.Clip(t.since), change{server, n})
	if len(t.since) < maxChanges {
		return t
	}
	by := maps.Clone(t.by)
	if by == nil {
		by = make(map[matrix.ServerName]int64)
	}
	for _, c := range t.since {
		if by[c.server] += c.n; by[c.server] == 0 {
			delete(by, c.server)
		}
	}
	t.by, t.since = by, nil
	return t
}

// of returns how many users of a server there are.
func (t tally) of(server matrix.ServerName) int64 {
	n := t.by[server]
	for _, c := range t.since {
		if c.server == server {
			n += c.n
		}
	}
	return n
}
