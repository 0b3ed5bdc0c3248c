package serverkey

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

var notaryKey = seedKey("ed25519:notary", 77)

// testNotary is the notary server "notary.test" with its key pinned.
var testNotary = Notary{"notary.test", map[matrix.KeyID]matrix.PublicKey{"ed25519:notary": notaryKey.Public()}}

// cosigned returns a document with one more signature.
func cosigned(t testing.TB, body []byte, server string, k *SigningKey) []byte {
	t.Helper()
	doc, err := canonicaljson.Parse(body)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	sig := fmt.Sprintf(`"signatures":{%q:{%q:%q},`, server, k.KeyID(), b64(k.Sign(signedBytes(doc.Root()))))
	out := strings.Replace(string(doc.Bytes()), `"signatures":{`, sig, 1)
	return []byte(strings.Replace(out, "},}", "}}", 1))
}

func notaryAnswer(entries ...[]byte) []byte {
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = string(e)
	}
	return []byte(`{"server_keys":[` + strings.Join(list, ",") + `]}`)
}

// notarisedDocument is a whole one of the server's key.
func notarisedDocument(t testing.TB, server matrix.ServerName, validUntil time.Time, old ...OldKey) []byte {
	return cosigned(t, AppendDocument(nil, server, keyOf(server), old, validUntil), "notary.test", notaryKey)
}

// TestNotaryAnswers: what a notary server may hand out, and what of it counts.
func TestNotaryAnswers(t *testing.T) {
	until := testTime.Add(time.Hour)
	plain := AppendDocument(nil, "peer.test", keyOf("peer.test"), nil, until)
	good := notarisedDocument(t, "peer.test", until)
	// swapped has the attacker's key under the server's key ID.
	swapped := AppendDocument(nil, "peer.test", seedKey("ed25519:a", 66), nil, until)
	inName := func(name string) []byte { return notarisedDocument(t, matrix.ServerName(name), until) }
	unsigned := []byte(strings.Replace(string(plain), `"signatures":{"peer.test"`, `"signatures":{"other.test"`, 1))
	bad := seedKey("ed25519:a", 55)
	compromise(t, bad)
	many := make([][]byte, maxNotarised+1)
	for i := range many {
		many[i] = plain
	}
	many[maxNotarised] = good
	tests := []struct {
		name string
		body []byte
		want int // documents; 0 is an error
	}{
		{"one", notaryAnswer(good), 1},
		{"the same twice", notaryAnswer(good, good), 2},
		{"others beside it", notaryAnswer(inName("other.test"), good, []byte(`{}`), []byte(`[]`), []byte(`1`)), 1},
		{"one that counts not before it", notaryAnswer(plain, good), 1},
		{"also signed by a stranger", notaryAnswer(cosigned(t, good, "stranger.test", seedKey("ed25519:x", 5))), 1},
		{"members that nobody knows", []byte(`{"x":{"y":[1]},` + string(notaryAnswer(good)[1:])), 1},

		{"keys swapped, signed by the notary alone", notaryAnswer(cosigned(t, []byte(strings.Replace(string(plain), publicText(keyOf("peer.test")), publicText(bad), 1)), "notary.test", notaryKey)), 0},
		{"keys swapped, the server's signature of before", notaryAnswer(cosigned(t, []byte(strings.Replace(string(swapped), signatureOf(t, swapped), signatureOf(t, plain), 1)), "notary.test", notaryKey)), 0},
		{"not signed by the notary", notaryAnswer(plain), 0},
		{"not signed by the server", notaryAnswer(cosigned(t, unsigned, "notary.test", notaryKey)), 0},
		{"signed by the notary under a key that is not pinned", notaryAnswer(cosigned(t, plain, "notary.test", seedKey("ed25519:other", 77))), 0},
		{"signed under the pinned ID with another key", notaryAnswer(cosigned(t, plain, "notary.test", seedKey("ed25519:notary", 78))), 0},
		{"signed in the name of another notary", notaryAnswer(cosigned(t, plain, "notary2.test", notaryKey)), 0},
		{"notary's signature of another document", notaryAnswer([]byte(strings.Replace(string(plain), `"signatures":{`, `"signatures":{"notary.test":{"ed25519:notary":"`+b64(notaryKey.Sign(signedBytes(parsed(t, swapped).Root())))+`"},`, 1))), 0},
		{"another server", notaryAnswer(inName("other.test")), 0},
		{"another case", notaryAnswer(inName("Peer.test")), 0},
		{"compromised key", notaryAnswer(cosigned(t, AppendDocument(nil, "peer.test", bad, nil, until), "notary.test", notaryKey)), 0},
		{"behind too many that do not count", notaryAnswer(many...), 0},
		{"none", notaryAnswer(), 0},
		{"nothing", nil, 0},
		{"not JSON", []byte(`<html>`), 0},
		{"array", []byte(`[]`), 0},
		{"no list", []byte(`{}`), 0},
		{"object for a list", []byte(`{"server_keys":{"peer.test":` + string(good) + `}}`), 0},
		{"the document itself", good, 0},
		{"deep", []byte(`{"server_keys":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`), 0},
		{"many values", []byte(`{"server_keys":[` + strings.Repeat("1,", 1<<15) + `1]}`), 0},
		{"document too large", notaryAnswer(cosigned(t, signed(t, "peer.test", `{"x":"`+strings.Repeat("x", MaxDocument)+`",`+withoutSignatures(t, plain)[1:], keyOf("peer.test")), "notary.test", notaryKey)), 0},
		{"answer too large", []byte(string(notaryAnswer(good)) + strings.Repeat(" ", MaxNotaryAnswer)), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found, err := parseNotaryAnswer(testNotary, "peer.test", tt.body, testTime)
			if len(found) != tt.want || (err == nil) != (tt.want > 0) {
				t.Fatalf("parseNotaryAnswer(%.400s) = %d documents, %v, want %d", tt.body, len(found), err, tt.want)
			}
			for _, f := range found {
				if f.doc.Server != "peer.test" || f.doc.Keys["ed25519:a"] != keyOf("peer.test").Public() {
					t.Errorf("got %+v, want the key of peer.test", f.doc)
				}
				if _, err := ParseDocument("peer.test", f.body, testTime); err != nil {
					t.Errorf("what is cached does not parse: %v", err)
				}
			}
		})
	}
}

func parsed(t testing.TB, body []byte) *canonicaljson.Doc {
	t.Helper()
	doc, err := canonicaljson.Parse(body)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return doc
}

func signatureOf(t testing.TB, document []byte) string {
	t.Helper()
	text, ok := parsed(t, document).Root().Get("signatures").Get("peer.test").Get("ed25519:a").Text()
	if !ok {
		t.Fatalf("%s is not signed", document)
	}
	return text
}

func withoutSignatures(t testing.TB, document []byte) string {
	t.Helper()
	return string(signedBytes(parsed(t, document).Root()))
}

// FuzzNotaryAnswer: what is returned is of the server that was asked for, signed
// by it under a key of its own and by the notary server, and can be cached;
// nothing is returned on error.
func FuzzNotaryAnswer(f *testing.F) {
	good := notarisedDocument(f, "peer.test", testTime.Add(time.Hour))
	f.Add(notaryAnswer(good))
	f.Add(notaryAnswer(good, good[:40], []byte("{}")))
	f.Add([]byte(`{"server_keys":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		found, err := parseNotaryAnswer(testNotary, "peer.test", body, testTime)
		if (err == nil) != (len(found) > 0) {
			t.Fatalf("parseNotaryAnswer(%q) = %d documents, %v", body, len(found), err)
		}
		for _, n := range found {
			d, err := ParseDocument("peer.test", n.body, testTime)
			if err != nil || len(d.Keys) == 0 || n.doc.ValidUntil.After(testTime.Add(MaxValidity)) {
				t.Fatalf("parseNotaryAnswer(%q): %s: %v", body, n.body, err)
			}
			root := parsed(t, n.body).Root()
			text, _ := root.Get("signatures").Get("notary.test").Get("ed25519:notary").Text()
			if sig, _ := decodeBase64(text, 64); !Verify(notaryKey.Public(), signedBytes(root), sig) {
				t.Fatalf("parseNotaryAnswer(%q): %s is not signed by the notary server", body, n.body)
			}
		}
	})
}

// inNotaryRing is inRing with a notary server that answers from a function; nil
// for one that has every server's document. Servers themselves answer as answer
// says.
func inNotaryRing(t *testing.T, answer func(context.Context, matrix.ServerName) (int, []byte, error), notary func(ctx context.Context, query []byte) (int, []byte, error), change func(*RingOptions), test func(t *testing.T, r *Ring, f *fakeFetcher)) {
	t.Helper()
	with := func(o *RingOptions) {
		o.Notaries = []Notary{testNotary}
		o.Fetch.(*fakeFetcher).notary = func(ctx context.Context, server matrix.ServerName, query []byte) (int, []byte, error) {
			if notary == nil {
				return 200, notaryAnswer(notarisedDocument(t, "peer.test", time.Now().Add(time.Hour))), nil
			}
			return notary(ctx, query)
		}
		if change != nil {
			change(o)
		}
	}
	inRing(t, answer, with, test)
}

func unreachable(context.Context, matrix.ServerName) (int, []byte, error) {
	return 0, nil, errors.New("no route")
}

// TestNotaryAfterFailure: where the server itself cannot be asked the notary
// server's document serves, is remembered and cached as if fetched, and expires.
func TestNotaryAfterFailure(t *testing.T) {
	cache := &memoryCache{}
	var asked []string
	notary := func(_ context.Context, query []byte) (int, []byte, error) {
		asked = append(asked, string(query))
		return 200, notaryAnswer(notarisedDocument(t, "peer.test", time.Now().Add(time.Hour))), nil
	}
	inNotaryRing(t, unreachable, notary, func(o *RingOptions) { o.Cache = cache }, func(t *testing.T, r *Ring, f *fakeFetcher) {
		now := time.Now()
		for range 3 {
			key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:a")
			wantKey(t, "request", key, err, keyOf("peer.test"))
		}
		wantFetches(t, "the server", f, "peer.test", 1)
		wantFetches(t, "the notary server", f, "notary.test", 1)
		want := []string{fmt.Sprintf(`{"server_keys":{"peer.test":{"ed25519:a":{"minimum_valid_until_ts":%d}}}}`, now.UnixMilli())}
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("queries (-want +got):\n%s", diff)
		}
		time.Sleep(2 * time.Hour)
		key, err := r.EventKey(t.Context(), "peer.test", "ed25519:a", now.UnixMilli())
		wantKey(t, "event, after the document expired", key, err, keyOf("peer.test"))
		if want := fmt.Sprintf(`"minimum_valid_until_ts":%d}`, now.UnixMilli()); len(asked) != 2 || !strings.Contains(asked[1], want) {
			t.Errorf("queries %q, want a second with %s", asked, want)
		}
	})
	inRing(t, unreachable, func(o *RingOptions) { o.Cache = cache }, func(t *testing.T, r *Ring, f *fakeFetcher) {
		time.Sleep(90 * time.Minute)
		key, err := r.EventKey(t.Context(), "peer.test", "ed25519:a", 0)
		wantKey(t, "from the cache", key, err, keyOf("peer.test"))
	})
}

// TestNotaryNotAsked: where the server itself has said it, nobody else is told
// that we are interested.
func TestNotaryNotAsked(t *testing.T) {
	inNotaryRing(t, publishes, nil, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
		key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:a")
		wantKey(t, "request", key, err, keyOf("peer.test"))
		wantFetches(t, "known to the server", f, "notary.test", 0)
		key, err = r.RequestKey(t.Context(), "notary.test", "ed25519:none")
		wantErr(t, "the notary's own key", key, err, ErrKeyUnknown)
		wantFetches(t, "the notary itself", f, "notary.test", 1)
	})
}

// TestNotaryHasEarlierKeys: a key that the server no longer publishes is good
// for events of its time and for no request, whatever the notary's document
// promises.
func TestNotaryHasEarlierKeys(t *testing.T) {
	for name, promised := range map[string]time.Duration{"for a while yet": time.Hour, "for two hundred years": 200 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			now := keyOf("now.test") // under another ID than before
			now = NewSigningKey("ed25519:now", [32]byte(now.private.Seed()))
			direct := func(_ context.Context, server matrix.ServerName) (int, []byte, error) {
				return 200, AppendDocument(nil, server, now, nil, time.Now().Add(time.Minute)), nil
			}
			notary := func(context.Context, []byte) (int, []byte, error) {
				return 200, notaryAnswer(notarisedDocument(t, "peer.test", time.Now().Add(promised))), nil
			}
			inNotaryRing(t, direct, notary, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
				fetched := time.Now().UnixMilli()
				key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:a")
				wantErr(t, "request", key, err, ErrKeyUnknown)
				key, err = r.EventKey(t.Context(), "peer.test", "ed25519:a", fetched-1)
				wantKey(t, "event before", key, err, keyOf("peer.test"))
				key, err = r.EventKey(t.Context(), "peer.test", "ed25519:a", fetched)
				wantErr(t, "event from when the server had another", key, err, ErrKeyUnknown)
				key, err = r.RequestKey(t.Context(), "peer.test", "ed25519:now")
				wantKey(t, "the server's own", key, err, now)
				wantFetches(t, "all", f, "notary.test", 1)
			})
		})
	}
}

// TestNotaryWithEarlierDocument: while a server is down, a notary server cannot
// bring back a key that the server has retired.
func TestNotaryWithEarlierDocument(t *testing.T) {
	down := false
	rotated := time.Time{}
	direct := func(_ context.Context, server matrix.ServerName) (int, []byte, error) {
		if down {
			return 502, nil, nil
		}
		old := OldKey{"ed25519:a", keyOf(server).Public(), rotated}
		return 200, AppendDocument(nil, server, seedKey("ed25519:b", 8), []OldKey{old}, time.Now().Add(2*time.Hour)), nil
	}
	var earlier []byte
	notary := func(context.Context, []byte) (int, []byte, error) { return 200, notaryAnswer(earlier), nil }
	inNotaryRing(t, direct, notary, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
		rotated = time.Now()
		earlier = notarisedDocument(t, "peer.test", rotated.Add(90*time.Minute))
		key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:b")
		wantKey(t, "new key", key, err, seedKey("ed25519:b", 8))
		down = true
		time.Sleep(80 * time.Minute) // the earlier document is still valid, the later one too
		for _, id := range []matrix.KeyID{"ed25519:a", "ed25519:made_up", "ed25519:a"} {
			key, err = r.RequestKey(t.Context(), "peer.test", id)
			wantErr(t, "request under "+string(id), key, err, ErrKeyUnknown)
			time.Sleep(2 * time.Minute)
		}
		key, err = r.EventKey(t.Context(), "peer.test", "ed25519:a", rotated.UnixMilli())
		wantErr(t, "event after the rotation", key, err, ErrKeyUnknown)
		key, err = r.EventKey(t.Context(), "peer.test", "ed25519:a", rotated.UnixMilli()-1)
		wantKey(t, "event before the rotation", key, err, keyOf("peer.test"))
	})
}

// TestHostileNotary: a notary server that hangs, fails or lies costs its own
// time and no more requests than a server that is down.
func TestHostileNotary(t *testing.T) {
	for name, answer := range map[string]func(ctx context.Context, query []byte) (int, []byte, error){
		"hangs":  func(ctx context.Context, _ []byte) (int, []byte, error) { <-ctx.Done(); return 0, nil, ctx.Err() },
		"error":  func(context.Context, []byte) (int, []byte, error) { return 0, nil, errors.New("the body is too large") },
		"302":    func(context.Context, []byte) (int, []byte, error) { return 302, nil, nil },
		"lies":   func(context.Context, []byte) (int, []byte, error) { return 200, []byte(`{"server_keys":[1]}`), nil },
		"swaps":  func(context.Context, []byte) (int, []byte, error) { return 200, swappedAnswer(t), nil },
		"echoes": func(_ context.Context, query []byte) (int, []byte, error) { return 200, query, nil },
	} {
		t.Run(name, func(t *testing.T) {
			inNotaryRing(t, unreachable, answer, nil, func(t *testing.T, r *Ring, f *fakeFetcher) {
				start := time.Now()
				for i := range 100 {
					key, err := r.RequestKey(t.Context(), "peer.test", matrix.KeyID(fmt.Sprintf("ed25519:x%d", i)))
					wantErr(t, "request", key, err, ErrUnavailable)
				}
				if got := time.Since(start); got > NotaryTimeout {
					t.Errorf("took %v, want at most %v", got, NotaryTimeout)
				}
				wantFetches(t, "the server", f, "peer.test", 1)
				wantFetches(t, "the notary server", f, "notary.test", 1)
			})
		})
	}
}

func swappedAnswer(t *testing.T) []byte {
	t.Helper()
	attacker := AppendDocument(nil, "other.test", seedKey("ed25519:a", 66), nil, time.Now().Add(time.Hour))
	return notaryAnswer(cosigned(t, []byte(strings.Replace(string(attacker), "other.test", "peer.test", 1)), "notary.test", notaryKey))
}

// TestNotaryOrder: the second is asked if the first has nothing, and no more
// than MaxNotaries are.
func TestNotaryOrder(t *testing.T) {
	answer := func(ctx context.Context, server matrix.ServerName, _ []byte) (int, []byte, error) {
		if server == "n2.test" {
			return 200, notaryAnswer(cosigned(t, AppendDocument(nil, "peer.test", keyOf("peer.test"), nil, time.Now().Add(time.Hour)), "n2.test", notaryKey)), nil
		}
		return 200, notaryAnswer(), nil
	}
	change := func(o *RingOptions) {
		for i := range MaxNotaries + 2 {
			o.Notaries = append(o.Notaries, Notary{matrix.ServerName(fmt.Sprintf("n%d.test", i)), testNotary.Keys})
		}
		o.Fetch.(*fakeFetcher).notary = answer
	}
	inRing(t, unreachable, change, func(t *testing.T, r *Ring, f *fakeFetcher) {
		key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:a")
		wantKey(t, "request", key, err, keyOf("peer.test"))
		for i, want := range []int{1, 1, 1, 0, 0, 0} {
			wantFetches(t, "notary", f, matrix.ServerName(fmt.Sprintf("n%d.test", i)), want)
		}
		_, err = r.RequestKey(t.Context(), "gone.test", "ed25519:a")
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("a server that no notary knows: %v, want %v", err, ErrUnavailable)
		}
		for i, want := range []int{2, 2, 2, 1, 0, 0} {
			wantFetches(t, "notary, second server", f, matrix.ServerName(fmt.Sprintf("n%d.test", i)), want)
		}
	})
}

// TestCompromisedEverywhere: a key that others know opens nothing, whoever
// vouches for it, and vouches for nothing.
func TestCompromisedEverywhere(t *testing.T) {
	peerKey := keyOf("peer.test")
	pinned := func(o *RingOptions) {
		o.Pinned = map[matrix.ServerName]map[matrix.KeyID]matrix.PublicKey{"peer.test": {"ed25519:a": peerKey.Public()}}
	}
	old := func(_ context.Context, server matrix.ServerName) (int, []byte, error) {
		list := []OldKey{{"ed25519:a", peerKey.Public(), time.Now()}}
		return 200, AppendDocument(nil, server, seedKey("ed25519:b", 8), list, time.Now().Add(time.Hour)), nil
	}
	tests := []struct {
		name   string
		key    *SigningKey // the compromised one
		answer func(context.Context, matrix.ServerName) (int, []byte, error)
		change func(*RingOptions)
	}{
		{"published", peerKey, publishes, nil},
		{"published as old", peerKey, old, nil},
		{"pinned", peerKey, publishes, pinned},
		{"handed out by a notary", peerKey, unreachable, nil},
		{"of the notary", notaryKey, unreachable, nil},
	}
	for _, tt := range tests {
		for _, bad := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, compromised %v", tt.name, bad), func(t *testing.T) {
				if bad {
					compromise(t, tt.key)
				}
				inNotaryRing(t, tt.answer, nil, tt.change, func(t *testing.T, r *Ring, f *fakeFetcher) {
					key, err := r.EventKey(t.Context(), "peer.test", "ed25519:a", 1)
					if (err != nil) != bad || bad && key != (matrix.PublicKey{}) {
						t.Errorf("event: got %v, %v, want an error: %v", key, err, bad)
					}
					if key, err := r.RequestKey(t.Context(), "peer.test", "ed25519:a"); bad && err == nil {
						t.Errorf("request: got %v, want an error", key)
					}
				})
			})
		}
	}
}
