package serverkey

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

const keyTarget = "/_matrix/key/v2/server"

// flight is one load or fetch of a server's document, which all who need it
// wait for. It belongs to nobody's request: it goes on when they leave.
type flight struct {
	server  matrix.ServerName
	network bool          // a fetch; else a load from the cache
	need    need          // of whoever started it
	before  *Document     // what was known when it started; may be nil
	done    chan struct{} // closed once the fields below are set
	doc     *Document
	err     error
}

// answer returns what a finished fetch says to n. If it failed, staleKey may
// still be used, if there is one.
func (f *flight) answer(staleKey matrix.PublicKey, n need, now time.Time) (matrix.PublicKey, error) {
	if f.err != nil {
		if staleKey != (matrix.PublicKey{}) {
			return staleKey, nil
		}
		return staleKey, keyError(f.server, n.id, f.err)
	}
	key, out := n.in(f.doc, now)
	if out == usable || out == stale {
		return key, nil
	}
	return matrix.PublicKey{}, keyError(f.server, n.id, ErrKeyUnknown)
}

// flightLocked returns the flight of the server, started if there is none. It
// fails, rather than waits, if the server was asked a short while ago or if too
// many fetches are under way.
func (r *Ring) flightLocked(server matrix.ServerName, n need, e entry, now time.Time) (*flight, error) {
	if f, ok := r.flights[server]; ok {
		return f, nil
	}
	if r.closed {
		return nil, fmt.Errorf("%w: shutting down", ErrUnavailable)
	}
	f := &flight{server: server, network: e.loaded || r.cache == nil, need: n, before: e.doc, done: make(chan struct{})}
	if f.network && now.Before(e.nextFetch) {
		if e.lastErr != nil {
			return nil, e.lastErr
		}
		return nil, ErrKeyUnknown
	}
	slots := MaxFetches
	if e.doc == nil {
		slots -= MaxFetches / 4
	}
	if r.running >= slots {
		return nil, fmt.Errorf("%w: too many servers are being asked", ErrUnavailable)
	}
	r.running++
	r.flights[server] = f
	r.wg.Go(func() { r.fly(f) })
	return f, nil
}

// fly does what the flight is for, and keeps a fetched document in the cache
// once nobody waits any more.
func (r *Ring) fly(f *flight) {
	ctx := r.ctx
	var body []byte
	if f.network {
		f.doc, body, f.err = r.ask(ctx, f)
	} else {
		f.doc = r.load(ctx, f.server)
	}
	r.land(f)
	if body != nil && r.cache != nil {
		ctx, cancel := context.WithTimeout(ctx, FetchTimeout)
		defer cancel()
		if err := r.cache.SaveKeys(ctx, f.server, body, f.doc.FetchedAt); err != nil {
			r.log.Error("server keys not saved", "origin", string(f.server), "err", err)
		}
	}
	r.mu.Lock()
	r.running--
	r.mu.Unlock()
}

// land publishes the outcome of a flight.
func (r *Ring) land(f *flight) {
	now := r.now()
	r.mu.Lock()
	e := r.known.get(f.server)
	e.loaded = true
	if f.doc != nil {
		e.doc = f.doc
	}
	if f.network {
		e.lastErr = f.err
		e.fetched(now)
	}
	r.known.put(f.server, e)
	delete(r.flights, f.server)
	r.mu.Unlock()
	close(f.done)
}

// ask asks the server itself, and the notary servers for what that did not
// bring. body is the document to keep in the cache, nil if there is nothing new.
func (r *Ring) ask(ctx context.Context, f *flight) (doc *Document, body []byte, err error) {
	doc, body, err = r.fetch(ctx, f.server)
	direct := err == nil
	for _, n := range r.notary {
		now := r.now()
		if _, out := f.need.in(doc, now); out == usable || out == refused {
			break
		}
		if n.Server == f.server {
			continue // it can say nothing of itself that it did not just say
		}
		known := doc
		if known == nil {
			known = f.before
		}
		found, notaryErr := r.askNotary(ctx, n, f.server, f.need, now)
		if notaryErr != nil {
			r.log.Debug("notary server asked in vain", "notary", string(n.Server), "origin", string(f.server), "err", notaryErr)
			continue
		}
		var newer []byte
		if doc, newer = merge(known, direct, found); newer != nil {
			body = newer
		}
		err = nil
	}
	return doc, body, err
}

// fetch asks the server itself.
func (r *Ring) fetch(ctx context.Context, server matrix.ServerName) (*Document, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, FetchTimeout)
	defer cancel()
	status, body, err := r.fetcher.Get(ctx, server, keyTarget, MaxDocument)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if status != http.StatusOK {
		return nil, nil, fmt.Errorf("%w: status %d", ErrUnavailable, status)
	}
	doc, err := ParseDocument(server, body, r.now())
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return doc, body, nil
}

// load returns the document in the cache; nil if there is none that is whole.
func (r *Ring) load(ctx context.Context, server matrix.ServerName) *Document {
	ctx, cancel := context.WithTimeout(ctx, FetchTimeout)
	defer cancel()
	body, fetchedAt, ok, err := r.cache.LoadKeys(ctx, server)
	if err != nil {
		r.log.Error("server keys not loaded", "origin", string(server), "err", err)
		return nil
	}
	if !ok {
		return nil
	}
	// A time ahead of ours would stretch the 7 days.
	if now := r.now(); fetchedAt.After(now) {
		fetchedAt = now
	}
	doc, err := ParseDocument(server, body, fetchedAt)
	if err != nil {
		r.log.Error("server keys in the cache are damaged", "origin", string(server), "err", err)
		return nil
	}
	return doc
}
