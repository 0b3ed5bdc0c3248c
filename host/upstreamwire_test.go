package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// dial connects to the gateway, or to what stands before it, for HTTP/1.1.
func (f *front) dial(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := tls.Dial("tcp", string(f.name), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

// raw sends bytes as they stand to the gateway, over HTTP/1.1, and returns the
// answer with its body.
func (f *front) raw(t *testing.T, request string) (*http.Response, []byte) {
	t.Helper()
	conn, answers := f.dial(t)
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	response, err := http.ReadResponse(answers, &http.Request{Method: method})
	for err == nil && response.StatusCode == http.StatusContinue {
		response, err = http.ReadResponse(answers, &http.Request{Method: method})
	}
	if err != nil {
		t.Fatalf("%.200q: %v", request, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, body
}

// ok answers as a homeserver with nothing to say.
var ok = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"room_version":"11","event":{}}`)
})

// TestFrontByteIdentity: every request-target and body reaches the homeserver as
// it came, whether it is passed through or was decided on.
func TestFrontByteIdentity(t *testing.T) {
	f := newFront(t, ok, allowAll)
	p := f.peer()
	segments := []string{
		"!r:a.example", "%21r%3Aa.example", "%21r%3aa.example", "!a%2Fb:x", "@u:a", "%40u", "a+b", "a%20b", "a|b", "%22q%22", "a;b", "a;b=c", "~", "%7E", "%7e",
		"a'b(c)*", "a,b&c=d$", "[::1]", "%E2%80%A8", "\xe2\x80\xa8", "%25", "%2525", `a"b`, "a^b", "a{b}", "a`b", "a<b>", "a#b", "a:b", "..", "%2e%2e", ".", "",
	}
	queries := []string{"", "?", "?ver=1&ver=1&ver=11", "?ver=11;ver=12", "?ver=%31+%20", "?a=%zz", "?&&=", "?x|y\"^{}", "?q=?/?", "?\xc3\xa9"}
	var targets []string
	for _, s := range segments {
		targets = append(targets, "/_matrix/federation/v1/query/"+s+"/end", "/_matrix/federation/v1/query/"+s)
	}
	for _, q := range queries {
		targets = append(targets, "/_matrix/federation/v1/state_ids/!r:a"+q)
	}
	targets = append(targets, "/_matrix//federation/x", "/a/../b", "/", "/?", "/_matrix/client/v3/profile/@make_knock:a.example", "/_matrix/federation/v1/query/x?y=make_knock")
	for _, target := range targets {
		if response, body := f.raw(t, "GET "+target+" HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"); response.StatusCode != 200 {
			t.Errorf("%q: %s %s", target, response.Status, body)
			continue
		}
		if seen := f.take(); len(seen) != 1 || seen[0].target != target || seen[0].host != "a.example" {
			t.Errorf("%q reached the homeserver as %+v", target, seen)
		}
	}

	// A knock's target is signed, and holds no byte that a request-target may not.
	user := strings.NewReplacer("@", "%40", ":", "%3A").Replace(string(p.User("ada")))
	for _, room := range []string{"!r:a.example", "%21r%3Aa.example", "%21r%3aa.example", "!r%2Fs:a.example", "!r+s:a.example", "!r%20s:a.example", "!r%7Cs:a.example", "!%22r%22:a.example", "!r;s:a.example", "!r%25s:a.example", "!r~*'():a.example", "!r|s:a.example"} {
		for _, name := range []string{string(p.User("ada")), user} {
			for _, query := range []string{"?ver=11", "?ver=11&ver=11&ver=1", "?ver=", "?ver=11;x", "?ver=11&x=%zz", "?ver=1%31&", "?x&ver=11?"} {
				target := "/_matrix/federation/v1/make_knock/" + room + "/" + name + query
				x := f.do(t, p, http.MethodGet, target, nil)
				seen := f.take()
				if strings.Contains(query, "%zz") {
					if x.Status != 400 || len(seen) != 0 { // nobody can say what it asks for
						t.Errorf("%q: %d, %+v", target, x.Status, seen)
					}
					continue
				}
				if x.Status != 200 || len(seen) != 1 || seen[0].target != target || seen[0].header.Get("Authorization") != x.Authorization {
					t.Errorf("%q: %d %s, reached the homeserver as %+v", target, x.Status, x.Body, seen)
				}
			}
		}
	}

	// The absolute form is for a proxy; the homeserver gets what was signed.
	target := "/_matrix/federation/v1/make_knock/!r:a.example/" + user + "?ver=11"
	authorization := xmatrix.Header(p.Key(), p.Name(), f.name, http.MethodGet, target, nil)
	response, body := f.raw(t, "GET https://a.example"+target+" HTTP/1.1\r\nHost: a.example\r\nAuthorization: "+authorization+"\r\nConnection: close\r\n\r\n")
	if seen := f.take(); response.StatusCode != 200 || len(seen) != 1 || seen[0].target != target {
		t.Errorf("absolute form: %s %s, reached the homeserver as %+v", response.Status, body, seen)
	}
}

// TestFrontBodyIdentity: the body of a knock reaches the homeserver as it came,
// with its white space, escapes and unsigned, also in chunks and after a wait for
// 100.
func TestFrontBodyIdentity(t *testing.T) {
	f := newFrontOfRooms(t, allowAll)
	p := f.peer()
	room := f.homeserver.room("11", "knock")
	for i, headers := range []string{"", "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n"} {
		event, id := f.sign(p, room, fmt.Sprintf("user%d", i), "\u2028 \U0001F6AA <&>")
		body := append([]byte("{ \"unsigned\" : {\"age\": 3 },\n\t"), event[1:]...)
		body = bytes.Replace(body, []byte("hello"), []byte(`\u0068ello`), 1)
		target := peer.SendTarget(room, id)
		doc, err := canonicaljson.Parse(body)
		if err != nil {
			t.Fatal(err)
		}
		sent := "Content-Length: " + fmt.Sprint(len(body)) + "\r\n" + headers + "\r\n" + string(body)
		if strings.HasPrefix(headers, "Transfer") {
			sent = headers + fmt.Sprintf("\r\n5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", body[:5], len(body)-5, body[5:])
		}
		f.take()
		response, answer := f.raw(t, "PUT "+target+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: "+
			xmatrix.Header(p.Key(), p.Name(), f.name, http.MethodPut, target, doc.Bytes())+"\r\n"+sent)
		if seen := f.take(); response.StatusCode != 200 || len(seen) != 1 || !bytes.Equal(seen[0].body, body) {
			t.Errorf("%q: %s %s, reached the homeserver as %+v, want\n%s", headers, response.Status, answer, seen, body)
		}
	}
}

// spellings are ways to write the knock endpoints and Synapse's admin API.
func spellings() []string {
	const tail = "/!r:a.example/@u:b.example?ver=11"
	const base = "/_matrix/federation/v1/"
	return []string{
		base + "make_knock" + tail, base + "send_knock/!r:a.example/$x",
		base + "%6dake_knock" + tail, base + "make%5Fknock" + tail, base + "make%5fknock" + tail, base + "%256dake_knock" + tail, base + "%25256dake_knock" + tail,
		base + "MAKE_KNOCK" + tail, base + "Make_Knock" + tail, "/_MATRIX/federation/v1/make_knock" + tail,
		"//_matrix/federation/v1/make_knock" + tail, "/_matrix//federation/v1/make_knock" + tail, base + "/make_knock" + tail, base + "make_knock/" + tail, base + "make_knock//!r:a/@u:b",
		base + "x/../make_knock" + tail, base + "%2e%2e/v1/make_knock" + tail, base + "x/%2E%2e/make_knock" + tail, base + "./make_knock" + tail, base + "make_knock/." + tail,
		base + "make_knock/x/../!r:a.example/@u:b.example", base + "make_knock/!r%2F..%2Fs:a/@u:b", base + "make_knock/..%2f..%2fmake_knock/@u:b",
		base + "make_knock;x" + tail, base + "make_knock%3bx=1" + tail, base + "make_knock%00" + tail, base + "%00make_knock" + tail, base + "%20.make_knock" + tail, base + "make_knock%20" + tail, base + "make_knock." + tail, base + "make_knock%23" + tail,
		base + `..\v1\make_knock` + tail, base + "%5cmake_knock" + tail, base + "x%2f..%2fmake_knock" + tail, "/_matrix/federation%2Fv1%2Fmake_knock" + tail,
		base + "make_knock" + strings.Replace(tail, "?", "/?", 1), base + "make_knock", base + "make_knock/!r:a", "/_matrix/federation/unstable/make_knock" + tail, "/_matrix/federation/v2/send_knock/!r:a/$x",
		"http://a.example" + base + "make_knock" + tail, "HTTPS://a.example" + base + "make_knock" + tail, "https://a.example//_matrix/federation/v1/make_knock" + tail,
		base + "make_knock" + tail + "#x", base + "make_knock#" + tail, base + "%" + strings.Repeat("25", 30) + "6dake_knock" + tail,
		"/_synapse/admin/v1/rooms", "/_synapse//admin/v1/rooms", "/_synapse/%61dmin/v1/rooms", "/x/../_synapse/admin/v1/rooms", "/_synapse/x/../admin/v1/rooms", "/_SYNAPSE/admin/v1/rooms",
	}
}

// TestFrontSpellings: no way to write the knock endpoints reaches the homeserver
// without the policies, nor does its admin API.
func TestFrontSpellings(t *testing.T) {
	f := newFront(t, ok, "[policies]\ndefault = \"deny\"\n")
	for _, target := range spellings() {
		for _, method := range []string{"GET", "PUT", "POST", "HEAD", "OPTIONS", "DELETE", "get"} {
			response, body := f.raw(t, method+" "+target+" HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			if s := response.StatusCode; s != 401 && s != 404 && s != 405 && s != 400 {
				t.Errorf("%s %q: %s %s", method, target, response.Status, body)
			}
			if seen := f.take(); len(seen) > 0 {
				t.Errorf("%s %q reached the homeserver: %+v", method, target, seen)
			}
		}
	}
	// Other protocols, and forms that are for proxies, lead nowhere.
	for _, request := range []string{"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "GET ftp://a.example/x HTTP/1.1\r\nHost: a\r\n\r\n"} {
		if f.raw(t, request); len(f.take()) > 0 {
			t.Errorf("%q reached the homeserver", request)
		}
	}
}

// TestFrontHeaders: headers of one connection stay behind, another protocol than
// WebSocket is not asked for, and who sent the request is said by us.
func TestFrontHeaders(t *testing.T) {
	for _, tt := range []struct {
		name, proxies, sent, from, scheme string
	}{
		{"nobody is trusted", "", "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: gopher\r\n", "127.0.0.1", "https"},
		{"one proxy", "127.0.0.0/8", "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n", "192.0.2.1", "http"},
		{"what the sender forged", "127.0.0.0/8", "X-Forwarded-For: 10.1.1.1\r\nX-Forwarded-For: 192.0.2.1, 127.0.0.9\r\n", "192.0.2.1", "https"},
		{"nothing that is an address", "127.0.0.0/8", "X-Forwarded-For: 192.0.2.1, unknown\r\nX-Forwarded-Proto: x\r\n", "127.0.0.1", "https"},
		{"nothing", "127.0.0.0/8", "", "127.0.0.1", "https"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFront(t, ok, fmt.Sprintf("trusted_proxies = [%s]\n", quoted(tt.proxies))+allowAll)
			p := f.peer()
			knock := "/_matrix/federation/v1/make_knock/!r:a.example/" + string(p.User("ada")) + "?ver=11"
			for _, target := range []string{"/_matrix/federation/v1/version", knock} {
				response, body := f.raw(t, "GET "+target+" HTTP/1.1\r\nHost: a.example\r\nConnection: close, x-hop, Upgrade\r\nX-Hop: 1\r\nX-Stays: 2\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"+
					"Keep-Alive: 5\r\nX-Real-IP: 192.0.2.9\r\nForwarded: for=192.0.2.9\r\nX-Forwarded-Host: evil\r\nAccept-Encoding: gzip\r\n"+tt.sent+
					"Authorization: "+xmatrix.Header(p.Key(), p.Name(), f.name, http.MethodGet, target, nil)+"\r\n\r\n")
				seen := f.take()
				if response.StatusCode != 200 || len(seen) != 1 {
					t.Fatalf("%s: %s %s, %d requests", target, response.Status, body, len(seen))
				}
				h := seen[0].header
				for _, name := range []string{"X-Hop", "Upgrade", "Connection", "Keep-Alive", "X-Real-Ip", "Forwarded", "X-Forwarded-Host", "User-Agent"} {
					if v := h.Values(name); len(v) > 0 {
						t.Errorf("%s: %s: %q reached the homeserver", target, name, v)
					}
				}
				if h.Get("X-Stays") != "2" {
					t.Errorf("%s: a header of no hop is lost: %v", target, h)
				}
				if got := h.Values("X-Forwarded-For"); len(got) != 1 || got[0] != tt.from {
					t.Errorf("%s: X-Forwarded-For %q, want %s", target, got, tt.from)
				}
				if got := h.Values("X-Forwarded-Proto"); len(got) != 1 || got[0] != tt.scheme {
					t.Errorf("%s: X-Forwarded-Proto %q, want %s", target, got, tt.scheme)
				}
			}
		})
	}
}

func quoted(s string) string {
	if s == "" {
		return ""
	}
	return fmt.Sprintf("%q", s)
}

// TestFrontStreams: what is passed through is of any size, both ways, over
// HTTP/2, as it came; the answer begins before the request has ended; and a
// redirect is handed back and not followed.
func TestFrontStreams(t *testing.T) {
	const size = 16 << 20
	f := newFront(t, ok, allowAll)
	f.streams(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			http.Redirect(w, r, "/_matrix/federation/v1/version", http.StatusTemporaryRedirect)
			return
		}
		w.Header().Set("Content-Encoding", "made-up")
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		w.WriteHeader(http.StatusCreated)
		_ = rc.Flush()
		_, _ = io.Copy(w, r.Body)
	})
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	reader, writer := io.Pipe()
	request, err := http.NewRequest(http.MethodPost, "https://"+string(f.name)+"/_matrix/media/v3/upload", reader)
	if err != nil {
		t.Fatal(err)
	}
	response, err := tr.RoundTrip(request) // returns while the body is not yet written
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.ProtoMajor != 2 || response.StatusCode != http.StatusCreated || response.Header.Get("Content-Encoding") != "made-up" {
		t.Errorf("%s %s %v", response.Proto, response.Status, response.Header)
	}
	sent, got := sha256.New(), sha256.New()
	go func() {
		_, err := io.CopyN(io.MultiWriter(sent, writer), rand.Reader, size)
		writer.CloseWithError(err)
	}()
	n, err := io.Copy(got, response.Body)
	if err != nil || n != size || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
		t.Errorf("%d bytes came back, %v, want the %d that were sent", n, err, size)
	}
	if response, _ := f.raw(t, "GET /elsewhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); response.StatusCode != http.StatusTemporaryRedirect {
		t.Errorf("a redirect: %s", response.Status)
	}
}
