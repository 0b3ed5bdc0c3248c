package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/serverkey"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// authCases are 1 to 28: who sent this?
func authCases(s *scene) []adversarial {
	const unauthorized = "M_UNAUTHORIZED"
	one := func(line func(g signature) string) asked {
		return s.headers(func(g signature) []string { return []string{line(g)} })
	}
	two := func(first, second func(g signature) signature) asked {
		return s.headers(func(g signature) []string { return []string{first(g).String(), second(g).String()} })
	}
	same := func(g signature) signature { return g }
	cases := []adversarial{
		{"01 make_knock without Authorization", s.headers(func(signature) []string { return nil }), 401, unauthorized, nothing},
		{"01 send_knock without Authorization", func(t *testing.T) exchange {
			event, id := s.w.signed(t, s.p, s.room, s.user(), nil)
			return s.raw(rawRequest(http.MethodPut, peer.SendTarget(s.room, id), s.w.name, nil, string(event)))
		}, 401, unauthorized, nothing},
		{"02 Bearer only", one(func(signature) string { return "Bearer abc" }), 401, unauthorized, nothing},
		{"02 Bearer beside X-Matrix", s.headers(func(g signature) []string { return []string{"Bearer abc", g.String()} }), 200, "", decision},
		{"03 no sig", one(func(g signature) string { return fmt.Sprintf(`X-Matrix origin="%s",key="%s"`, g.origin, g.key) }), 401, unauthorized, nothing},
		{"03 no key", one(func(g signature) string { return fmt.Sprintf(`X-Matrix origin="%s",sig="%s"`, g.origin, g.sig) }), 401, unauthorized, nothing},
		{"03 no origin", one(func(g signature) string { return fmt.Sprintf(`X-Matrix key="%s",sig="%s"`, g.key, g.sig) }), 401, unauthorized, nothing},
		{"03 signature instead of sig", one(func(g signature) string { return replaceOnce(g.String(), "sig=", "signature=") }), 401, unauthorized, nothing},
		{"04 origin twice", one(func(g signature) string { return g.String() + `,origin="` + g.origin + `"` }), 401, unauthorized, nothing},
		{"04 sig twice, once in other case", one(func(g signature) string { return g.String() + `,SIG="` + g.sig + `"` }), 401, unauthorized, nothing},
		{"04 unknown parameter twice", one(func(g signature) string { return g.String() + `,x=1,x=1` }), 401, unauthorized, nothing},
		{"05 unquoted values with ':'", one(func(g signature) string {
			return fmt.Sprintf(`X-Matrix origin=%s,key=%s,sig=%s,destination=%s`, g.origin, g.key, g.sig, g.destination)
		}), 200, "", decision},
		{"06 backslash pairs in a quoted value", one(func(g signature) string {
			return replaceOnce(g.String(), `origin="127`, `origin="\1\27`)
		}), 200, "", decision},
		{"06 a backslash at the end", one(func(g signature) string { return strings.TrimSuffix(g.String(), `"`) + `\` }), 401, unauthorized, nothing},
		{"07 mixed-case names and white space round commas", one(func(g signature) string {
			return fmt.Sprintf("x-mAtRiX  Origin=\"%s\" \t,\t kEY=\"%s\"\t,SIG=\"%s\" , DestinatioN=\"%s\"", g.origin, g.key, g.sig, g.destination)
		}), 200, "", decision},
		{"08 padded sig", one(func(g signature) string { g.sig += "=="; return g.String() }), 200, "", decision},
		{"08 padded sig without quotes", one(func(g signature) string {
			return fmt.Sprintf(`X-Matrix origin=%s,key=%s,sig=%s==,destination=%s`, g.origin, g.key, g.sig, g.destination)
		}), 200, "", decision},
		{"09 sig of 63 bytes", one(func(g signature) string { g.sig = encoded(63); return g.String() }), 401, unauthorized, nothing},
		{"09 sig of 65 bytes", one(func(g signature) string { g.sig = encoded(65); return g.String() }), 401, unauthorized, nothing},
		{"09 sig empty", one(func(g signature) string { g.sig = ""; return g.String() }), 401, unauthorized, nothing},
		{"09 sig in another alphabet", one(func(g signature) string { g.sig = strings.Repeat("-_", 43); return g.String() }), 401, unauthorized, nothing},
		{"10 destination another server", func(t *testing.T) exchange {
			target := s.makeTarget()
			header := xmatrix.Header(s.p.Key(), s.p.Name(), "elsewhere.example", http.MethodGet, target, nil)
			return exchange{w: s.w, do: func(t *testing.T) *peer.Exchange { return s.w.send(t, s.p, http.MethodGet, target, nil, header) }}
		}, 401, unauthorized, nothing},
		{"10 destination only named, not signed", one(func(g signature) string { g.destination = "elsewhere.example"; return g.String() }), 401, unauthorized, nothing},
		{"11 destination absent", one(func(g signature) string {
			return fmt.Sprintf(`X-Matrix origin="%s",key="%s",sig="%s"`, g.origin, g.key, g.sig)
		}), 200, "", decision},
		{"12 two headers, one under an unknown key", two(same, func(g signature) signature { g.key = "ed25519:unknown"; return g }), 200, "", decision},
		{"12 two headers, one known and wrong", two(same, func(g signature) signature { g.sig = encoded(64); return g }), 401, unauthorized, nothing},
		{"12 two headers, the first known and wrong", two(func(g signature) signature { g.sig = encoded(64); return g }, same), 401, unauthorized, nothing},
		{"13 two headers, different origins", func(t *testing.T) exchange {
			target := s.makeTarget()
			return s.raw(rawRequest(http.MethodGet, target, s.w.name, []string{
				"Authorization: " + s.signature(s.p, http.MethodGet, target, nil).String(),
				"Authorization: " + s.signature(s.q, http.MethodGet, target, nil).String(),
			}, ""))
		}, 401, unauthorized, nothing},
		{"13 two headers, different destinations", two(same, func(g signature) signature { g.destination = "elsewhere.example"; return g }), 401, unauthorized, nothing},
		{"13 two challenges in one header", one(func(g signature) string { return g.String() + ", " + g.String() }), 401, unauthorized, nothing},
		{"13 our own name as the origin", one(func(g signature) string { g.origin = g.destination; return g.String() }), 401, unauthorized, nothing},
		{"13 more than four signatures", s.headers(func(g signature) []string {
			return []string{g.String(), g.String(), g.String(), g.String(), g.String()}
		}), 401, unauthorized, nothing},
	}
	return append(append(cases, keyCases(s)...), targetCases(s)...)
}

func encoded(size int) string { return base64.RawStdEncoding.EncodeToString(make([]byte, size)) }

// keyCases are 14 to 21: keys, and servers that publish them badly.
func keyCases(s *scene) []adversarial {
	// keys asks as a server that serves its keys so.
	keys := func(serve func(k *keyServer, w http.ResponseWriter, r *http.Request)) asked {
		return func(t *testing.T) exchange {
			k := s.w.keyServer(t, serve)
			return s.makes(k.Peer, s.room, k.User("a"))
		}
	}
	document := func(change func(body string) string) asked {
		return keys(func(k *keyServer, w http.ResponseWriter, _ *http.Request) {
			body := serverkey.AppendDocument(nil, k.Name(), k.Key(), nil, time.Now().Add(time.Hour))
			_, _ = io.WriteString(w, change(string(body)))
		})
	}
	return []adversarial{
		{"14 signed with a key of old_verify_keys", func(t *testing.T) exchange {
			old, err := serverkey.Generate()
			if err != nil {
				t.Fatal(err)
			}
			k := s.w.keyServer(t, func(k *keyServer, w http.ResponseWriter, _ *http.Request) {
				k.document(w, time.Now().Add(time.Hour), serverkey.OldKey{ID: old.KeyID(), Key: old.Public(), ExpiredAt: time.Now().Add(time.Hour)})
			})
			target := peer.MakeTarget(s.room, k.User("a"), nil)
			header := xmatrix.Header(old, k.Name(), s.w.name, http.MethodGet, target, nil)
			return exchange{w: s.w, do: func(t *testing.T) *peer.Exchange { return s.w.send(t, k.Peer, http.MethodGet, target, nil, header) }}
		}, 401, "M_UNAUTHORIZED", nothing},
		{"15 expired valid_until_ts, and again when fetched anew", expiredKeys(2*time.Hour, 2*time.Hour), 401, "M_UNAUTHORIZED", nothing},
		{"15 expired valid_until_ts, and renewed", expiredKeys(2*time.Hour, 24*time.Hour), 200, "", decision},
		{"16 valid until the year 3000, believed for 7 days", yearThreeThousand, 401, "M_UNAUTHORIZED", nothing},
		{"17 keys of another server_name", document(func(body string) string {
			return replaceOnce(body, `"server_name":"127`, `"server_name":"128`)
		}), 401, "M_UNAUTHORIZED", nothing},
		{"17 properly signed keys of another server", func(t *testing.T) exchange {
			k := s.w.keyServer(t, func(_ *keyServer, w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write(serverkey.AppendDocument(nil, s.q.Name(), s.q.Key(), nil, time.Now().Add(time.Hour)))
			})
			target := peer.MakeTarget(s.room, k.User("a"), nil)
			header := xmatrix.Header(s.q.Key(), k.Name(), s.w.name, http.MethodGet, target, nil)
			return exchange{w: s.w, do: func(t *testing.T) *peer.Exchange { return s.w.send(t, k.Peer, http.MethodGet, target, nil, header) }}
		}, 401, "M_UNAUTHORIZED", nothing},
		{"18 not self-signed", document(func(body string) string {
			from, to := strings.Index(body, `"signatures":`), strings.Index(body, `,"valid_until_ts"`)
			return body[:from] + `"signatures":{}` + body[to:]
		}), 401, "M_UNAUTHORIZED", nothing},
		{"18 changed after it was signed", document(func(body string) string {
			return replaceOnce(body, `"valid_until_ts":1`, `"valid_until_ts":2`)
		}), 401, "M_UNAUTHORIZED", nothing},
		{"19 a key server that hangs", hangingKeys(s), 401, "M_UNAUTHORIZED", nothing},
		{"19 a key server without end", func(t *testing.T) exchange {
			k := s.w.keyServer(t, endlessKeys)
			e := s.makes(k.Peer, s.room, k.User("a"))
			e.check = func(t *testing.T, _ *peer.Exchange) { s.w.refusedWith(t, string(k.Name()), "too large") }
			return e
		}, 401, "M_UNAUTHORIZED", nothing},
		{"19 a key server that redirects to 169.254.169.254", keys(func(_ *keyServer, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
		}), 401, "M_UNAUTHORIZED", nothing},
		{"19 a key server that redirects to what would answer", func(t *testing.T) exchange {
			var honest *keyServer
			k := s.w.keyServer(t, func(_ *keyServer, w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://"+string(honest.Name())+r.URL.Path, http.StatusFound)
			})
			honest = s.w.keyServer(t, func(_ *keyServer, w http.ResponseWriter, _ *http.Request) { k.document(w, time.Now().Add(time.Hour)) })
			e := s.makes(k.Peer, s.room, k.User("a"))
			e.check = func(t *testing.T, _ *peer.Exchange) {
				if n := honest.asked.Load(); n != 0 || k.asked.Load() != 1 {
					t.Errorf("%d requests where the redirect leads, and %d before", n, k.asked.Load())
				}
			}
			return e
		}, 401, "M_UNAUTHORIZED", nothing},
		{"19 an origin that is 169.254.169.254", func(t *testing.T) exchange {
			target := s.makeTarget()
			g := s.signature(s.p, http.MethodGet, target, nil)
			g.origin = "169.254.169.254:80"
			e := s.raw(rawRequest(http.MethodGet, target, s.w.name, []string{"Authorization: " + g.String()}, ""))
			e.check = func(t *testing.T, _ *peer.Exchange) {
				s.w.refusedWith(t, "169.254.169.254", "not on the public internet")
			}
			return e
		}, 401, "M_UNAUTHORIZED", nothing},
		{"20 a notary server that swaps keys", notaryOfDead(true), 401, "M_UNAUTHORIZED", nothing},
		{"20 a notary server that does not", notaryOfDead(false), 200, "", decision},
		{"21 a flood of unknown key IDs: one fetch", func(t *testing.T) exchange {
			k := s.w.keyServer(t, func(k *keyServer, w http.ResponseWriter, _ *http.Request) { k.document(w, time.Now().Add(time.Hour)) })
			ask := func(t *testing.T, i int) *peer.Exchange {
				target := peer.MakeTarget(s.room, k.User("a"), nil)
				g := s.signature(k.Peer, http.MethodGet, target, nil)
				g.key = fmt.Sprintf("ed25519:k%d", i)
				return s.w.send(t, k.Peer, http.MethodGet, target, nil, g.String())
			}
			return exchange{w: s.w, do: func(t *testing.T) *peer.Exchange {
				for i := range 99 {
					if x := ask(t, i); x.Status != 401 {
						t.Fatalf("key %d: %d", i, x.Status)
					}
				}
				return ask(t, 99)
			}, check: func(t *testing.T, _ *peer.Exchange) {
				if n := k.asked.Load(); n != 1 {
					t.Errorf("100 unknown keys made %d fetches, want 1", n)
				}
			}}
		}, 401, "M_UNAUTHORIZED", nothing},
		{"21 an event with nine signatures under unknown keys", func(t *testing.T) exchange {
			event, id := s.w.signed(t, s.p, s.room, s.user(), nil)
			return s.put(s.room, id, edited(t, event, func(e map[string]any) {
				of := e["signatures"].(map[string]any)[string(s.p.Name())].(map[string]any)
				for i := range 8 {
					of[fmt.Sprintf("ed25519:0%d", i)] = encoded(64)
				}
			}))
		}, 400, "M_INVALID_PARAM", nothing},
	}
}

// expiredKeys asks with a key whose document has expired since it was fetched.
// The document is valid for first, and later for second, from the start.
func expiredKeys(first, second time.Duration) asked {
	return func(t *testing.T) exchange {
		w := newWorld(t, allowAll, nil)
		start := w.clock.Now()
		k := w.keyServer(t, func(k *keyServer, rw http.ResponseWriter, _ *http.Request) {
			until := first
			if k.asked.Load() > 1 {
				until = second
			}
			k.document(rw, start.Add(until))
		})
		target := peer.MakeTarget(w.room("11", "knock"), k.User("a"), nil)
		if x := w.do(t, k.Peer, http.MethodGet, target, nil); x.Status != 200 {
			t.Fatalf("while the keys are valid: %d %s", x.Status, x.Body)
		}
		w.clock.Advance(3 * time.Hour)
		e := signedGet(w, k.Peer, target)
		e.check = func(t *testing.T, _ *peer.Exchange) {
			if n := k.asked.Load(); n != 2 {
				t.Errorf("%d fetches, want 2", n)
			}
		}
		return e
	}
}

// yearThreeThousand asks with a key that is published until the year 3000, of
// a server that cannot be reached any more.
func yearThreeThousand(t *testing.T) exchange {
	w := newWorld(t, allowAll, nil)
	k := w.keyServer(t, func(k *keyServer, rw http.ResponseWriter, _ *http.Request) {
		if k.asked.Load() > 1 {
			http.Error(rw, "gone", http.StatusServiceUnavailable)
			return
		}
		k.document(rw, time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC))
	})
	target := peer.MakeTarget(w.room("11", "knock"), k.User("a"), nil)
	for _, ahead := range []time.Duration{0, serverkey.MaxValidity - time.Hour} {
		w.clock.Advance(ahead)
		if x := w.do(t, k.Peer, http.MethodGet, target, nil); x.Status != 200 || k.asked.Load() != 1 {
			t.Fatalf("%v after the fetch: %d after %d fetches", ahead, x.Status, k.asked.Load())
		}
	}
	w.clock.Advance(2 * time.Hour)
	e := signedGet(w, k.Peer, target)
	e.check = func(t *testing.T, _ *peer.Exchange) {
		if n := k.asked.Load(); n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
	}
	return e
}

// hangingKeys asks as a server whose key listener hangs. Meanwhile others are
// answered. How long it may hang is held in internal/serverkey, on a clock that
// a test can turn; here it hangs up when it has been waited for.
func hangingKeys(s *scene) asked {
	return func(t *testing.T) exchange {
		asked, release := make(chan struct{}), make(chan struct{})
		k := s.w.keyServer(t, func(_ *keyServer, _ http.ResponseWriter, _ *http.Request) {
			close(asked)
			<-release
			panic(http.ErrAbortHandler)
		})
		target := peer.MakeTarget(s.room, k.User("a"), nil)
		return exchange{w: s.w, do: func(t *testing.T) *peer.Exchange {
			answered := make(chan *peer.Exchange, 1)
			go func() {
				x, err := k.Do(t.Context(), s.w.name, http.MethodGet, target, nil)
				if err != nil {
					t.Error(err)
				}
				answered <- x
			}()
			<-asked
			refused := s.w.do(t, s.q, http.MethodGet, peer.MakeTarget(s.room, s.p.User("a"), nil), nil)
			if refused.Status != 403 {
				t.Errorf("another server meanwhile: %d, want 403", refused.Status)
			}
			select {
			case x := <-answered:
				t.Errorf("answered with %d before the keys came", x.Status)
			default:
			}
			close(release)
			return <-answered
		}}
	}
}

// endlessKeys sends a gigabyte of a key document that does not end.
func endlessKeys(_ *keyServer, w http.ResponseWriter, _ *http.Request) {
	block := []byte(strings.Repeat(" ", 64<<10))
	for range (1 << 30) / len(block) {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// targetCases are 22 to 28: the request-target that was signed.
func targetCases(s *scene) []adversarial {
	path := func(user string) string {
		return "/_matrix/federation/v1/make_knock/" + string(s.room) + "/" + user + "?ver=11"
	}
	// signedAs sends one target with the signature of another.
	signedAs := func(method string, change func(target string) string) asked {
		return func(t *testing.T) exchange {
			sent := peer.MakeTarget(s.room, s.p.User(s.user()), []string{"7", "11"})
			header := xmatrix.Header(s.p.Key(), s.p.Name(), s.w.name, method, change(sent), nil)
			return s.raw(rawRequest(http.MethodGet, sent, s.w.name, []string{"Authorization: " + header}, ""))
		}
	}
	rawGet := func(line, signed func() string) asked {
		return func(t *testing.T) exchange {
			header := xmatrix.Header(s.p.Key(), s.p.Name(), s.w.name, http.MethodGet, signed(), nil)
			return s.raw(rawRequest(http.MethodGet, line(), s.w.name, []string{"Authorization: " + header}, ""))
		}
	}
	same := func(target func() string) asked { return rawGet(target, target) }
	plain := func() string { return path(string(s.p.User("a"))) }
	return []adversarial{
		{"22 nothing escaped", same(plain), 200, "", decision},
		{"22 all escaped", same(func() string {
			return peer.MakeTarget(s.room, s.p.User("a"), []string{"11"})
		}), 200, "", decision},
		{"22 letters escaped, hex in lower case", same(func() string {
			return strings.ReplaceAll(plain(), ":", "%3a") + "&v%65r=%31%31"
		}), 200, "", decision},
		{"22 characters that Go would escape", same(func() string { return path("@a|^\"{}`<>:" + string(s.p.Name())) }), 200, "", decision},
		{"22 method in lower case", signedAs("get", func(target string) string { return target }), 401, "M_UNAUTHORIZED", nothing},
		{"23 signed %21, sent '!'", rawGet(plain, func() string { return replaceOnce(plain(), "!", "%21") }), 401, "M_UNAUTHORIZED", nothing},
		{"23 signed '@', sent %40", rawGet(func() string { return replaceOnce(plain(), "@", "%40") }, plain), 401, "M_UNAUTHORIZED", nothing},
		{"24 query in another order", signedAs(http.MethodGet, func(target string) string {
			return replaceOnce(target, "ver=7&ver=11", "ver=11&ver=7")
		}), 401, "M_UNAUTHORIZED", nothing},
		{"25 trailing '?' of make_knock", same(func() string { return strings.TrimSuffix(plain(), "ver=11") }), 400, "M_MISSING_PARAM", nothing},
		{"25 trailing '?' of send_knock, signed", func(t *testing.T) exchange {
			event, id := s.w.signed(t, s.p, s.room, s.user(), nil)
			target := peer.SendTarget(s.room, id) + "?"
			header := xmatrix.Header(s.p.Key(), s.p.Name(), s.w.name, http.MethodPut, target, event)
			return s.raw(rawRequest(http.MethodPut, target, s.w.name, []string{"Authorization: " + header}, string(event)))
		}, 200, "", knocked},
		{"25 trailing '?' of send_knock, not signed", func(t *testing.T) exchange {
			event, id := s.w.signed(t, s.p, s.room, s.user(), nil)
			target := peer.SendTarget(s.room, id)
			header := xmatrix.Header(s.p.Key(), s.p.Name(), s.w.name, http.MethodPut, target, event)
			return s.raw(rawRequest(http.MethodPut, target+"?", s.w.name, []string{"Authorization: " + header}, string(event)))
		}, 401, "M_UNAUTHORIZED", nothing},
		{"26 '//' in the path", same(func() string { return replaceOnce(plain(), "v1/", "v1//") }), 404, "M_UNRECOGNIZED", nothing},
		{"26 '//' for an identifier", same(func() string { return replaceOnce(plain(), string(s.room), "") }), 404, "M_UNRECOGNIZED", nothing},
		{"26 '//' in front", same(func() string { return "/" + plain() }), 404, "M_UNRECOGNIZED", nothing},
		{"26 '..' that would lead to the endpoint", same(func() string { return replaceOnce(plain(), "v1/", "v2/../v1/") }), 404, "M_UNRECOGNIZED", nothing},
		{"26 '..' as a room", same(func() string { return replaceOnce(plain(), string(s.room), "..") }), 400, "M_INVALID_PARAM", nothing},
		{"26 %2e%2e that would lead to the endpoint", same(func() string { return replaceOnce(plain(), "v1/", "v2/%2e%2e/v1/") }), 404, "M_UNRECOGNIZED", nothing},
		{"26 %2e%2e as a room", same(func() string { return replaceOnce(plain(), string(s.room), "%2e%2e") }), 400, "M_INVALID_PARAM", nothing},
		{"26 an escaped endpoint", same(func() string { return replaceOnce(plain(), "make_knock", "make%5Fknock") }), 404, "M_UNRECOGNIZED", nothing},
		{"26 %2F in a room ID", same(func() string { return replaceOnce(plain(), "!", "!a%2F") }), 404, "M_NOT_FOUND", nothing},
		{"26 %2F in a user ID", same(func() string { return replaceOnce(plain(), "@", "@a%2Fb") }), 200, "", decision},
		{"26 escaped twice", same(func() string { return replaceOnce(plain(), "!", "%2521") }), 400, "M_INVALID_PARAM", nothing},
		{"27 absolute-form target, the path signed", rawGet(func() string { return "https://" + string(s.w.name) + plain() }, plain), 200, "", decision},
		{"27 absolute-form target, signed whole", same(func() string { return "https://" + string(s.w.name) + plain() }), 401, "M_UNAUTHORIZED", nothing},
		{"27 absolute-form target of another host", rawGet(func() string { return "http://elsewhere.example" + plain() }, plain), 200, "", decision},
		{"28 GET with a body that is not signed", func(t *testing.T) exchange {
			target := s.makeTarget()
			header := xmatrix.Header(s.p.Key(), s.p.Name(), s.w.name, http.MethodGet, target, nil)
			return s.raw(rawRequest(http.MethodGet, target, s.w.name, []string{"Authorization: " + header}, `{"a":1}`))
		}, 200, "", decision},
		{"28 GET with a body that is signed", func(t *testing.T) exchange {
			target := s.makeTarget()
			header := xmatrix.Header(s.p.Key(), s.p.Name(), s.w.name, http.MethodGet, target, []byte(`{"a":1}`))
			return s.raw(rawRequest(http.MethodGet, target, s.w.name, []string{"Authorization: " + header}, `{"a":1}`))
		}, 401, "M_UNAUTHORIZED", nothing},
	}
}
