package resident

import "sync"

// cache is a bounded map of what the store holds. It keeps between size and
// twice size of the entries used last.
type cache[K comparable, V any] struct {
	size int

	mu         sync.Mutex
	young, old map[K]V // guarded by mu
	// changes counts the calls of set and reset. What was read from the store
	// before one of them may be out of date and is not added.
	changes int64 // guarded by mu
}

// get returns the value for k. If there is none, the returned token lets add
// put in what the caller then reads.
func (c *cache[K, V]) get(k K) (v V, ok bool, token int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok = c.young[k]; ok {
		return v, true, 0
	}
	if v, ok = c.old[k]; ok {
		c.put(k, v)
		return v, true, 0
	}
	return v, false, c.changes
}

// add puts in what was read from the store since get returned the token.
func (c *cache[K, V]) add(k K, v V, token int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if token == c.changes {
		c.put(k, v)
	}
}

// set puts in what has just become true.
func (c *cache[K, V]) set(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	c.put(k, v)
}

// reset forgets everything.
func (c *cache[K, V]) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	c.young, c.old = nil, nil
}

// put adds to the young generation; the caller holds mu.
func (c *cache[K, V]) put(k K, v V) {
	if len(c.young) >= c.size {
		c.young, c.old = nil, c.young
	}
	if c.young == nil {
		c.young = make(map[K]V)
	}
	c.young[k] = v
}
