package discovery

import (
	"slices"
	"sync"
	"testing"
)

func TestLRU(t *testing.T) {
	var gone []int
	c := newLRU[string](2, func(v int) { gone = append(gone, v) })
	c.put("a", 1)
	c.put("b", 2)
	c.put("a", 3) // replaces, and is now the newest
	if got := c.getOrPut("c", func() int { return 4 }); got != 4 {
		t.Errorf("getOrPut = %d, want 4", got)
	}
	if _, ok := c.get("b"); ok {
		t.Error("b is still there, want it gone as the oldest")
	}
	if got, ok := c.get("a"); got != 3 || !ok {
		t.Errorf("get(a) = %d, %v, want 3", got, ok)
	}
	c.clear()
	if want := []int{2, 4, 3}; !slices.Equal(gone, want) {
		t.Errorf("evicted %v, want %v", gone, want)
	}
}

// TestLRUHammer: the map stays within its bound under many goroutines.
func TestLRUHammer(t *testing.T) {
	c := newLRU[int](16, func(int) {})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				k := (i*7 + g) % 40
				if got := c.getOrPut(k, func() int { return k }); got != k {
					t.Errorf("getOrPut(%d) = %d", k, got)
				}
				c.put(k, k)
				c.get(k + 1)
			}
		})
	}
	wg.Wait()
	if len(c.items) > 16 || c.order.Len() != len(c.items) {
		t.Errorf("%d items, %d in order, want at most 16 and as many", len(c.items), c.order.Len())
	}
}
