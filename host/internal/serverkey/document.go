package serverkey

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

const (
	// MaxDocument is the largest key document, in bytes.
	MaxDocument = 64 << 10
	// MaxValidity is how long after it was fetched a document is at most
	// believed.
	//
	// Spec: Server-Server API, "Publishing Keys", valid_until_ts.
	MaxValidity = 7 * 24 * time.Hour

	maxKeys    = 32
	maxOldKeys = 128
)

// OldKey is a key that a server signed events with before.
type OldKey struct {
	ID  matrix.KeyID
	Key matrix.PublicKey
	// ExpiredAt is when the key stopped being used: an event of that
	// millisecond is already too late.
	ExpiredAt time.Time
}

// Document is the keys that a server publishes. It does not change.
type Document struct {
	// Server is whose keys they are.
	Server matrix.ServerName
	// Keys are the current keys.
	Keys map[matrix.KeyID]matrix.PublicKey
	// Old are the keys of before, for events only.
	Old map[matrix.KeyID]OldKey
	// ValidUntil is when the document must be fetched again: what it says
	// itself, and MaxValidity after FetchedAt at the latest.
	ValidUntil time.Time
	// FetchedAt is when it was fetched.
	FetchedAt time.Time

	promised int64 // valid_until_ts as the server has it, to tell which of two is newer
}

// ParseDocument returns the body of a /_matrix/key/v2/server response as a
// Document. It fails if the document is not of the server that was asked, if a
// signature of that server under a current key is wrong, or if there is none.
// A key known to be compromised is left out, and its signatures do not count.
//
// Spec: Server-Server API, "GET /_matrix/key/v2/server".
func ParseDocument(asked matrix.ServerName, body []byte, fetchedAt time.Time) (*Document, error) {
	d, err := parseDocument(asked, body, fetchedAt)
	if err != nil {
		return nil, fmt.Errorf("key document of %q: %w", asked, err)
	}
	return d, nil
}

func parseDocument(asked matrix.ServerName, body []byte, fetchedAt time.Time) (*Document, error) {
	if len(body) > MaxDocument {
		return nil, fmt.Errorf("larger than %d bytes", MaxDocument)
	}
	json, err := canonicaljson.Parse(body)
	if err != nil {
		return nil, err
	}
	return readDocument(asked, json.Root(), fetchedAt)
}

// readDocument is parseDocument of JSON that is already parsed.
func readDocument(asked matrix.ServerName, root canonicaljson.Value, fetchedAt time.Time) (*Document, error) {
	if name, ok := root.Get("server_name").Text(); !ok || name != string(asked) {
		return nil, fmt.Errorf("server_name is %q", name)
	}
	validUntil, ok := root.Get("valid_until_ts").Int()
	if !ok || validUntil <= 0 {
		return nil, errors.New("valid_until_ts is not a time in milliseconds")
	}
	d := &Document{Server: asked, FetchedAt: fetchedAt, ValidUntil: time.UnixMilli(validUntil), promised: validUntil}
	if limit := fetchedAt.Add(MaxValidity); d.ValidUntil.After(limit) {
		d.ValidUntil = limit
	}
	var err error
	if d.Keys, err = parseKeys(root.Get("verify_keys")); err != nil {
		return nil, err
	}
	if d.Old, err = parseOldKeys(root.Get("old_verify_keys")); err != nil {
		return nil, err
	}
	if err := checkSigned(root, asked, d.Keys); err != nil {
		return nil, err
	}
	return d, nil
}

func parseKeys(v canonicaljson.Value) (map[matrix.KeyID]matrix.PublicKey, error) {
	if v.Kind() != canonicaljson.Object {
		return nil, errors.New("verify_keys is not an object")
	}
	if v.Len() > maxKeys {
		return nil, fmt.Errorf("verify_keys has more than %d keys", maxKeys)
	}
	keys := make(map[matrix.KeyID]matrix.PublicKey, v.Len())
	for name, entry := range v.Members() {
		id, err := matrix.ParseKeyID(string(name))
		if err != nil {
			continue // another algorithm, or an ID that no signature can name
		}
		key, err := parseKey(id, entry)
		if err != nil {
			return nil, err
		}
		if !compromised(key) {
			keys[id] = key
		}
	}
	return keys, nil
}

func parseOldKeys(v canonicaljson.Value) (map[matrix.KeyID]OldKey, error) {
	if !v.Exists() {
		return nil, nil
	}
	if v.Kind() != canonicaljson.Object {
		return nil, errors.New("old_verify_keys is not an object")
	}
	if v.Len() > maxOldKeys {
		return nil, fmt.Errorf("old_verify_keys has more than %d keys", maxOldKeys)
	}
	old := make(map[matrix.KeyID]OldKey, v.Len())
	for name, entry := range v.Members() {
		id, err := matrix.ParseKeyID(string(name))
		if err != nil {
			continue
		}
		key, err := parseKey(id, entry)
		if err != nil {
			return nil, err
		}
		expired, ok := entry.Get("expired_ts").Int()
		if !ok {
			return nil, fmt.Errorf("expired_ts of old key %q is not a time in milliseconds", id)
		}
		if !compromised(key) {
			old[id] = OldKey{id, key, time.UnixMilli(expired)}
		}
	}
	return old, nil
}

func parseKey(id matrix.KeyID, entry canonicaljson.Value) (matrix.PublicKey, error) {
	text, _ := entry.Get("key").Text()
	key, err := matrix.ParsePublicKey(text)
	if err != nil {
		return key, fmt.Errorf("key %q: %w", id, err)
	}
	return key, nil
}

// checkSigned verifies every signature of the server on an object under one of
// the keys. At least one must be there.
func checkSigned(root canonicaljson.Value, server matrix.ServerName, keys map[matrix.KeyID]matrix.PublicKey) error {
	message := signedBytes(root)
	verified := false
	for name, v := range root.Get("signatures").Get(string(server)).Members() {
		key, ok := keys[matrix.KeyID(name)]
		if !ok {
			continue
		}
		text, _ := v.Text()
		sig, ok := decodeBase64(text, 64)
		if !ok || !Verify(key, message, sig) {
			return fmt.Errorf("the signature of %q under its key %q is wrong", server, name)
		}
		verified = true
	}
	if !verified {
		return fmt.Errorf("not signed by %q under any of its current keys", server)
	}
	return nil
}

// signedBytes returns the canonical JSON of an object without signatures and
// unsigned.
//
// Spec: Appendices, "Signing JSON".
func signedBytes(root canonicaljson.Value) []byte {
	out := []byte{'{'}
	for name, v := range root.Members() {
		if string(name) == "signatures" || string(name) == "unsigned" {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, v.CanonicalMember()...)
	}
	return append(out, '}')
}

// AppendDocument appends the body of our own /_matrix/key/v2/server response to
// dst: canonical JSON, signed by k. An old key under the ID of k is left out.
//
// Spec: Server-Server API, "GET /_matrix/key/v2/server".
func AppendDocument(dst []byte, server matrix.ServerName, k *SigningKey, old []OldKey, validUntil time.Time) []byte {
	old = slices.SortedFunc(slices.Values(old), func(a, b OldKey) int { return strings.Compare(string(a.ID), string(b.ID)) })
	old = slices.CompactFunc(old, func(a, b OldKey) bool { return a.ID == b.ID })
	old = slices.DeleteFunc(old, func(o OldKey) bool { return o.ID == k.KeyID() })

	// The signatures stand in the middle of the sorted members.
	head := []byte(`{"old_verify_keys":{`)
	for i, o := range old {
		if i > 0 {
			head = append(head, ',')
		}
		head = canonicaljson.AppendString(head, string(o.ID))
		head = append(head, `:{"expired_ts":`...)
		head = strconv.AppendInt(head, o.ExpiredAt.UnixMilli(), 10)
		head = append(head, `,"key":`...)
		head = appendKey(head, o.Key)
	}
	head = append(head, `},"server_name":`...)
	head = canonicaljson.AppendString(head, string(server))

	tail := []byte(`,"valid_until_ts":`)
	tail = strconv.AppendInt(tail, validUntil.UnixMilli(), 10)
	tail = append(tail, `,"verify_keys":{`...)
	tail = canonicaljson.AppendString(tail, string(k.KeyID()))
	tail = append(tail, `:{"key":`...)
	tail = appendKey(tail, k.Public())
	tail = append(tail, "}}"...)

	sig := k.Sign(slices.Concat(head, tail))
	dst = append(dst, head...)
	dst = append(dst, `,"signatures":{`...)
	dst = canonicaljson.AppendString(dst, string(server))
	dst = append(dst, ":{"...)
	dst = canonicaljson.AppendString(dst, string(k.KeyID()))
	dst = append(dst, `:"`...)
	dst = base64.RawStdEncoding.AppendEncode(dst, sig)
	dst = append(dst, `"}}`...)
	return append(dst, tail...)
}

// appendKey appends a public key in quotes and closes the object it ends.
func appendKey(dst []byte, key matrix.PublicKey) []byte {
	dst = append(dst, '"')
	dst = base64.RawStdEncoding.AppendEncode(dst, key[:])
	return append(dst, `"}`...)
}
