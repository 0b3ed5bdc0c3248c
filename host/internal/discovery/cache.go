package discovery

import (
	"container/list"
	"sync"
)

// lru is a map of bounded size that forgets what was used least recently. It is
// safe for concurrent use.
type lru[K comparable, V any] struct {
	max   int
	evict func(V) // called with what is forgotten, without the lock; may be nil

	mu    sync.Mutex
	items map[K]*list.Element
	order list.List // of *lruItem, most recent first
}

type lruItem[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](size int, evict func(V)) *lru[K, V] {
	return &lru[K, V]{max: size, evict: evict, items: make(map[K]*list.Element)}
}

func (c *lru[K, V]) get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[key]
	if !ok {
		return value, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*lruItem[K, V]).value, true
}

func (c *lru[K, V]) put(key K, value V) {
	c.mu.Lock()
	var gone []V
	if e, ok := c.items[key]; ok {
		e.Value.(*lruItem[K, V]).value = value
		c.order.MoveToFront(e)
	} else {
		c.items[key] = c.order.PushFront(&lruItem[K, V]{key, value})
		gone = c.shrink(c.max)
	}
	c.mu.Unlock()
	c.forget(gone)
}

// getOrPut returns the value of key, made by create if there is none.
func (c *lru[K, V]) getOrPut(key K, create func() V) V {
	c.mu.Lock()
	if e, ok := c.items[key]; ok {
		c.order.MoveToFront(e)
		v := e.Value.(*lruItem[K, V]).value
		c.mu.Unlock()
		return v
	}
	v := create()
	c.items[key] = c.order.PushFront(&lruItem[K, V]{key, v})
	gone := c.shrink(c.max)
	c.mu.Unlock()
	c.forget(gone)
	return v
}

// clear forgets everything.
func (c *lru[K, V]) clear() {
	c.mu.Lock()
	gone := c.shrink(0)
	c.mu.Unlock()
	c.forget(gone)
}

// shrink removes the least recently used down to size and returns them.
func (c *lru[K, V]) shrink(size int) (gone []V) {
	for len(c.items) > size {
		item := c.order.Remove(c.order.Back()).(*lruItem[K, V])
		delete(c.items, item.key)
		gone = append(gone, item.value)
	}
	return gone
}

func (c *lru[K, V]) forget(gone []V) {
	if c.evict == nil {
		return
	}
	for _, v := range gone {
		c.evict(v)
	}
}
