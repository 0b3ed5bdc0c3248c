package plugins

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/knockgate/knockgate/sdk/abi"
)

// under is a KV that must not be written to.
type under struct{ t *testing.T }

func (u under) Get(_ string, key []byte, _ int64, dst []byte) ([]byte, bool) {
	switch string(key) {
	case "word":
		return append(dst, "old"...), true
	case "count":
		return binary.LittleEndian.AppendUint64(dst, 41), true
	}
	return dst, false
}

func (u under) Put(string, []byte, []byte, int64, int64) bool {
	u.t.Error("a write reached what lies under")
	return false
}

func (u under) Incr(string, []byte, int64, int64, int64) int64 {
	u.t.Error("a count reached what lies under")
	return 0
}

// TestOverlay: what a monitored policy writes, it finds, and nobody else does.
func TestOverlay(t *testing.T) {
	o := NewOverlay(under{t})
	get := func(key string) string {
		v, ok := o.Get("p", []byte(key), 0, nil)
		if !ok {
			return "absent"
		}
		return string(v)
	}
	if got := get("word"); got != "old" {
		t.Errorf("before a write: %q", got)
	}
	if !o.Put("p", []byte("word"), []byte("new"), 0, 1) || get("word") != "new" {
		t.Errorf("after a write: %q", get("word"))
	}
	for _, tt := range []struct {
		key         string
		delta, want int64
	}{
		{"count", 1, 42}, {"count", -50, 0}, {"fresh", 5, 5}, {"fresh", math.MaxInt64, math.MaxInt64},
		{"fresh", math.MinInt64, 0}, {"word", 1, abi.KVKind},
	} {
		if got := o.Incr("p", []byte(tt.key), tt.delta, 0, 1); got != tt.want {
			t.Errorf("%s %+d = %d, want %d", tt.key, tt.delta, got, tt.want)
		}
	}
	if got := get("none"); got != "absent" {
		t.Errorf("a key nobody wrote: %q", got)
	}
}
