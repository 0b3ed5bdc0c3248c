package serverkey

import (
	"container/list"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// entry is what is remembered of one server.
type entry struct {
	doc       *Document // nil if there was none yet
	loaded    bool      // the cache was asked
	lastErr   error     // of the last fetch
	lastFetch time.Time
	nextFetch time.Time     // no fetch before
	wait      time.Duration // between lastFetch and nextFetch
}

// fetched notes that a fetch has ended. Whether it brought the key that was
// wanted plays no part: a peer can want any number of keys that do not exist.
// Fetches that follow one another are spaced out; an honest server needs one in
// an hour at most.
func (e *entry) fetched(now time.Time) {
	e.wait = min(2*e.wait, RetryMax)
	if e.wait == 0 || now.Sub(e.lastFetch) > 2*RetryMax {
		e.wait = RetryMin
	}
	e.lastFetch, e.nextFetch = now, now.Add(e.wait)
}

// table remembers entries up to a number of servers and of keys, and forgets
// those used least recently. It has no lock of its own.
type table struct {
	maxServers, maxKeys int
	keys                int
	items               map[matrix.ServerName]*list.Element
	order               *list.List // of *tableItem, most recent first
}

type tableItem struct {
	server matrix.ServerName
	entry  entry
}

func newTable(maxServers, maxKeys int) table {
	return table{maxServers: maxServers, maxKeys: maxKeys, items: make(map[matrix.ServerName]*list.Element), order: list.New()}
}

// get returns the entry of the server, the zero entry if there is none.
func (t *table) get(server matrix.ServerName) entry {
	e, ok := t.items[server]
	if !ok {
		return entry{}
	}
	t.order.MoveToFront(e)
	return e.Value.(*tableItem).entry
}

func (t *table) put(server matrix.ServerName, e entry) {
	if old, ok := t.items[server]; ok {
		t.remove(old)
	}
	t.items[server] = t.order.PushFront(&tableItem{server, e})
	t.keys += weight(e.doc)
	for len(t.items) > t.maxServers || t.keys > t.maxKeys && len(t.items) > 1 {
		t.remove(t.order.Back())
	}
}

func (t *table) remove(e *list.Element) {
	item := t.order.Remove(e).(*tableItem)
	delete(t.items, item.server)
	t.keys -= weight(item.entry.doc)
}

func weight(d *Document) int {
	if d == nil {
		return 0
	}
	return len(d.Keys) + len(d.Old)
}
