package serverkey

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

const (
	// MaxNotaryAnswer is the largest answer of a notary server, in bytes.
	MaxNotaryAnswer = 4 * MaxDocument

	maxNotarised = 8 // documents looked at in one answer
	queryTarget  = "/_matrix/key/v2/query"
)

var notaryLimits = canonicaljson.Limits{MaxBytes: MaxNotaryAnswer, MaxDepth: 16, MaxNodes: 1 << 14}

// Notary is a server that is asked for the keys of others.
type Notary struct {
	// Server is its name.
	Server matrix.ServerName
	// Keys are the keys that it signs answers with. They are never fetched: a
	// notary server is worth what its keys are.
	Keys map[matrix.KeyID]matrix.PublicKey
}

// notarised is a document that a notary server handed out.
type notarised struct {
	doc  *Document
	body []byte
}

// askNotary returns the documents of a server that a notary server has, at
// least one. The notary server can withhold documents and hand out earlier
// ones, but it can make none up: each is signed by the server itself.
//
// Spec: Server-Server API, "POST /_matrix/key/v2/query".
func (r *Ring) askNotary(ctx context.Context, n Notary, server matrix.ServerName, want need, now time.Time) ([]notarised, error) {
	ctx, cancel := context.WithTimeout(ctx, NotaryTimeout)
	defer cancel()
	status, body, err := r.fetcher.Post(ctx, n.Server, queryTarget, appendQuery(nil, server, want, now), MaxNotaryAnswer)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("status %d", status)
	}
	return parseNotaryAnswer(n, server, body, r.now())
}

// appendQuery appends the question for one key: valid now for a request, and
// when an event was made for an event.
func appendQuery(dst []byte, server matrix.ServerName, want need, now time.Time) []byte {
	until := now.UnixMilli()
	if want.event {
		until = max(want.ts, 0)
	}
	dst = append(dst, `{"server_keys":{`...)
	dst = canonicaljson.AppendString(dst, string(server))
	dst = append(dst, ":{"...)
	dst = canonicaljson.AppendString(dst, string(want.id))
	dst = append(dst, `:{"minimum_valid_until_ts":`...)
	dst = strconv.AppendInt(dst, until, 10)
	return append(dst, "}}}}"...)
}

// parseNotaryAnswer returns the documents of the server in a notary server's
// answer. One counts if it is signed by the notary server, under a pinned key,
// and by the server itself, under one of the keys in it; others are passed over.
// It fails if none counts.
func parseNotaryAnswer(n Notary, server matrix.ServerName, body []byte, fetchedAt time.Time) ([]notarised, error) {
	var json canonicaljson.Doc
	if err := json.ParseLimits(body, notaryLimits); err != nil {
		return nil, err
	}
	list := json.Root().Get("server_keys")
	if !list.IsArray() {
		return nil, errors.New("server_keys is not an array")
	}
	var found []notarised
	why := errors.New("it has no keys of the server")
	looked := 0
	for entry := range list.Elems() {
		if name, ok := entry.Get("server_name").Text(); !ok || name != string(server) {
			continue
		}
		if looked++; looked > maxNotarised {
			break
		}
		own := entry.Canonical()
		if len(own) > MaxDocument {
			why = fmt.Errorf("a document is larger than %d bytes", MaxDocument)
			continue
		}
		if err := checkSigned(entry, n.Server, n.Keys); err != nil {
			why = err
			continue
		}
		doc, err := readDocument(server, entry, fetchedAt)
		if err != nil {
			why = err
			continue
		}
		found = append(found, notarised{doc, append([]byte(nil), own...)})
	}
	if len(found) == 0 {
		return nil, why
	}
	return found, nil
}

// merge returns what is known of a server's keys (nil: nothing) together with
// what a notary server handed out. Which keys are current is what the server
// itself has just said (final), or else the document that it signed for longest
// ahead; body is that one, if it is new. Keys that only other documents have
// are old ones: good for an event, never for a request.
func merge(known *Document, final bool, found []notarised) (doc *Document, body []byte) {
	doc = known
	for _, f := range found {
		if doc == nil || !final && f.doc.promised > doc.promised {
			doc, body = f.doc, f.body
		}
	}
	merged := *doc
	merged.Old = maps.Clone(doc.Old)
	if merged.Old == nil {
		merged.Old = map[matrix.KeyID]OldKey{}
	}
	if known != nil && known != doc {
		merged.keepOld(known)
	}
	for _, f := range found {
		if f.doc != doc {
			merged.keepOld(f.doc)
		}
	}
	return &merged, body
}

// keepOld adds the keys of another document as old ones, as many as there may
// be. A current key of that one has ended with it, and at the latest when the
// server was found to have others.
func (d *Document) keepOld(other *Document) {
	end := other.ValidUntil.Add(time.Millisecond)
	if end.After(d.FetchedAt) {
		end = d.FetchedAt
	}
	for id, key := range other.Keys {
		d.addOld(OldKey{id, key, end})
	}
	for _, old := range other.Old {
		d.addOld(old)
	}
}

// addOld adds an old key, unless there is a key of that ID.
func (d *Document) addOld(k OldKey) {
	_, current := d.Keys[k.ID]
	_, old := d.Old[k.ID]
	if !current && !old && len(d.Old) < maxOldKeys {
		d.Old[k.ID] = k
	}
}
