package serverkey

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// ErrKeyUnknown is returned, wrapped, for a key that its server does not
// publish, or no longer for what it was used for.
var ErrKeyUnknown = errors.New("the server publishes no such usable key")

// ErrUnavailable is returned, wrapped, if the keys of a server could not be had.
var ErrUnavailable = errors.New("the keys of the server cannot be fetched")

// Fetcher asks a server by its Matrix name, following its discovery. It must
// honour ctx, follow no redirects and fail for an answer of more than maxBytes.
type Fetcher interface {
	Get(ctx context.Context, server matrix.ServerName, target string, maxBytes int64) (status int, body []byte, err error)
	// Post sends a body of JSON.
	Post(ctx context.Context, server matrix.ServerName, target string, body []byte, maxBytes int64) (status int, answer []byte, err error)
}

// Cache keeps key documents across restarts. The bodies are checked again when
// they are loaded.
type Cache interface {
	LoadKeys(ctx context.Context, server matrix.ServerName) (body []byte, fetchedAt time.Time, ok bool, err error)
	SaveKeys(ctx context.Context, server matrix.ServerName, body []byte, fetchedAt time.Time) error
}

// Limits of a Ring.
const (
	// FetchTimeout bounds one fetch, whoever waits for it.
	FetchTimeout = 15 * time.Second
	// NotaryTimeout bounds asking one notary server, after the fetch.
	NotaryTimeout = 5 * time.Second
	// MaxNotaries is how many notary servers are asked, in their order.
	MaxNotaries = 4
	// MaxFetches is how many servers are asked at one time. A quarter of them
	// is kept for servers whose keys we have had, so that made-up names cannot
	// keep them out.
	MaxFetches = 256
	// RetryMin is the shortest time between two fetches from one server. It
	// doubles up to RetryMax while fetches follow one another.
	RetryMin = time.Minute
	// RetryMax is the longest time for which a failure, or the absence of a
	// key, is remembered.
	RetryMax = 5 * time.Minute

	maxServers = 4096  // remembered servers
	maxHeld    = 32768 // remembered keys, of all servers
)

// RingOptions configures a Ring.
type RingOptions struct {
	// Fetch asks other servers. Required.
	Fetch Fetcher
	// Cache keeps documents across restarts; nil for none.
	Cache Cache
	// Own is our own server name, and OwnKeys its keys, such as [Own.Keys]:
	// those are never fetched. OwnKeys is nil where another program signs in our
	// name.
	Own     matrix.ServerName
	OwnKeys func() *Keyset
	// Pinned are servers whose keys are given: exactly these, for ever, and
	// they are never asked.
	Pinned map[matrix.ServerName]map[matrix.KeyID]matrix.PublicKey
	// Notaries are asked, in their order, for what a server itself did not say.
	// At most MaxNotaries.
	Notaries []Notary
	// Now tells the time; nil for [time.Now].
	Now func() time.Time
	// Log takes what goes wrong with the cache; nil for none.
	Log *slog.Logger
}

// Ring finds the public keys of servers. It is safe for concurrent use, and
// nobody waits for the fetch from a server other than the one he asks for.
// Close it when done.
type Ring struct {
	fetcher Fetcher
	cache   Cache
	own     matrix.ServerName
	ownKeys func() *Keyset // nil if our keys are not ours to know
	pinned  map[matrix.ServerName]map[matrix.KeyID]matrix.PublicKey
	notary  []Notary
	now     func() time.Time
	log     *slog.Logger

	ctx    context.Context // of all fetches
	cancel context.CancelFunc
	wg     sync.WaitGroup // of all fetches

	mu      sync.Mutex // held for map operations only
	closed  bool
	known   table
	flights map[matrix.ServerName]*flight
	running int // fetches that hold a slot
}

// NewRing returns a Ring.
func NewRing(o RingOptions) *Ring {
	r := &Ring{
		fetcher: o.Fetch,
		cache:   o.Cache,
		own:     o.Own,
		ownKeys: o.OwnKeys,
		pinned:  make(map[matrix.ServerName]map[matrix.KeyID]matrix.PublicKey, len(o.Pinned)),
		now:     o.Now,
		log:     o.Log,
		known:   newTable(maxServers, maxHeld),
		flights: make(map[matrix.ServerName]*flight),
	}
	for server, keys := range o.Pinned {
		r.pinned[server] = safeKeys(keys)
	}
	for _, n := range o.Notaries[:min(len(o.Notaries), MaxNotaries)] {
		r.notary = append(r.notary, Notary{n.Server, safeKeys(n.Keys)})
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Close ends all fetches and waits for them. Keys that are remembered can still
// be had.
func (r *Ring) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.wg.Wait()
}

// RequestKey returns the key under which the server may sign a request now: a
// current key, never an old one, of a document that has not expired. Our own
// server makes no requests to us, so its keys are not found.
//
// It fails with [ErrKeyUnknown] or [ErrUnavailable], wrapped, or if ctx ends
// before a fetch does.
//
// Spec: Server-Server API, "Request Authentication", "Publishing Keys".
func (r *Ring) RequestKey(ctx context.Context, server matrix.ServerName, id matrix.KeyID) (matrix.PublicKey, error) {
	if server == r.own {
		return matrix.PublicKey{}, keyError(server, id, ErrKeyUnknown)
	}
	return r.key(ctx, server, need{id: id})
}

// EventKey returns the key under which the server may have signed an event with
// this origin_server_ts, in milliseconds. It fails like RequestKey.
//
// Spec: Room version 5, "Signing key validity period".
func (r *Ring) EventKey(ctx context.Context, server matrix.ServerName, id matrix.KeyID, originServerTS int64) (matrix.PublicKey, error) {
	n := need{id: id, event: true, ts: originServerTS}
	if server == r.own && r.ownKeys != nil {
		now := r.now()
		own := r.ownKeys().document(r.own)
		own.ValidUntil = now.Add(MaxValidity)
		if key, out := n.in(own, now); out == usable {
			return key, nil
		}
		return matrix.PublicKey{}, keyError(server, id, ErrKeyUnknown)
	}
	return r.key(ctx, server, n)
}

// key answers from the pinned keys, from memory, or after a flight.
func (r *Ring) key(ctx context.Context, server matrix.ServerName, n need) (matrix.PublicKey, error) {
	if keys, ok := r.pinned[server]; ok {
		if key, ok := keys[n.id]; ok {
			return key, nil
		}
		return matrix.PublicKey{}, keyError(server, n.id, ErrKeyUnknown)
	}
	// One flight may load from the cache, joined or started, and one fetch.
	for range 3 {
		key, f, err := r.look(server, n)
		if f == nil {
			return key, err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return matrix.PublicKey{}, keyError(server, n.id, context.Cause(ctx))
		}
		if f.network {
			return f.answer(key, n, r.now())
		}
	}
	return matrix.PublicKey{}, keyError(server, n.id, ErrUnavailable)
}

// look answers from memory if it can; else it returns the flight to wait for,
// with the stale key to use if that fails.
func (r *Ring) look(server matrix.ServerName, n need) (matrix.PublicKey, *flight, error) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.known.get(server)
	key, out := n.in(e.doc, now)
	switch out {
	case usable:
		return key, nil, nil
	case refused:
		return key, nil, keyError(server, n.id, ErrKeyUnknown)
	}
	f, err := r.flightLocked(server, n, e, now)
	if err != nil && out == stale {
		return key, nil, nil
	}
	if err != nil {
		return key, nil, keyError(server, n.id, err)
	}
	return key, f, nil
}

func keyError(server matrix.ServerName, id matrix.KeyID, err error) error {
	return fmt.Errorf("key %q of %q: %w", id, server, err)
}

// safeKeys returns a copy of the keys without those known to be compromised.
func safeKeys(keys map[matrix.KeyID]matrix.PublicKey) map[matrix.KeyID]matrix.PublicKey {
	out := make(map[matrix.KeyID]matrix.PublicKey, len(keys))
	for id, key := range keys {
		if !compromised(key) {
			out[id] = key
		}
	}
	return out
}
