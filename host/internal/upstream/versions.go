package upstream

import (
	"sync"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// maxVersions bounds the rooms whose version is remembered, about 200 bytes each.
const maxVersions = 20_000

// Versions remembers the version of rooms, which never changes. Only the
// homeserver's own answers may be put in. The zero value is empty.
type Versions struct {
	mu sync.Mutex
	m  map[matrix.RoomID]string // guarded by mu
}

// Get returns the version of a room; "" if it is not known.
func (v *Versions) Get(room matrix.RoomID) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.m[room]
}

// Put notes the version of a room, and forgets another room where there are too many.
func (v *Versions) Put(room matrix.RoomID, version string) {
	if version == "" || len(version) > 32 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.m == nil {
		v.m = map[matrix.RoomID]string{}
	}
	if _, ok := v.m[room]; !ok && len(v.m) >= maxVersions {
		for other := range v.m {
			delete(v.m, other)
			break
		}
	}
	v.m[room] = version
}
