package discovery

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

func wantAddressError(t *testing.T, err error, addr string) {
	t.Helper()
	var refused *AddressError
	if !errors.As(err, &refused) || refused.Addr != netip.MustParseAddr(addr) {
		t.Errorf("got error %v, want *AddressError of %v", err, addr)
	}
}

func hello(rw http.ResponseWriter, r *http.Request) { fmt.Fprintf(rw, "%s %s", r.Host, r.RequestURI) }

// TestGet: a server behind well-known and SRV is reached under the delegated
// name, with the target as given.
func TestGet(t *testing.T) {
	w := newWorld(t)
	w.hosts["well.test"] = []string{"127.0.0.1"}
	w.hosts["s.test"] = []string{"127.0.0.2"}
	port := w.serve("127.0.0.2", w.certificate(false, "d.test"), hello)
	n, _ := net.LookupPort("tcp", port)
	w.srv["_matrix-fed._tcp.d.test"] = []*net.SRV{{Target: "s.test.", Port: uint16(n)}}
	c := w.client(nil)
	c.wellKnownPort = w.serve("127.0.0.1", w.certificate(false, "well.test"), func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, `{"m.server":"d.test"}`)
	})
	status, body, err := c.Get(t.Context(), "well.test", "/_matrix/key/v2/server", 1000)
	if got, want := string(body), "d.test /_matrix/key/v2/server"; status != 200 || got != want || err != nil {
		t.Errorf("Get = %d, %q, %v, want %q", status, got, err, want)
	}
}

// TestPost: the body arrives as JSON, also at the second target.
func TestPost(t *testing.T) {
	w := newWorld(t)
	port := w.serve("127.0.0.1", w.certificate(false, "a.test"), func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(rw, "%s %s %s %s", r.Method, r.RequestURI, r.Header.Get("Content-Type"), body)
	})
	n, _ := net.LookupPort("tcp", port)
	w.hosts["s.test"] = []string{"127.0.0.1"}
	w.srv["_matrix-fed._tcp.a.test"] = []*net.SRV{{Target: "nowhere.test.", Port: 1}, {Target: "s.test.", Port: uint16(n)}}
	status, answer, err := w.client(nil).Post(t.Context(), "a.test", "/q?x", []byte(`{"a":1}`), 1000)
	if got, want := string(answer), `POST /q?x application/json {"a":1}`; status != 200 || got != want || err != nil {
		t.Errorf("Post = %d, %q, %v, want %q", status, got, err, want)
	}
}

// TestReadAtMost: of a body that does not end, one byte more than the cap is
// read.
func TestReadAtMost(t *testing.T) {
	endless := &countingZeros{}
	body, err := readAtMost(endless, 1000)
	if body != nil || !errors.Is(err, ErrTooLarge) || endless.read != 1001 {
		t.Errorf("read %d bytes, returned %d, %v, want 1001 and %v", endless.read, len(body), err, ErrTooLarge)
	}
}

// countingZeros is a body of zeros that does not end.
type countingZeros struct{ read int64 }

func (z *countingZeros) Read(p []byte) (int, error) {
	clear(p)
	z.read += int64(len(p))
	return len(p), nil
}

// TestTargetBytes: the request-target arrives as it was given, byte for byte.
func TestTargetBytes(t *testing.T) {
	w := newWorld(t)
	w.hosts["a.test"] = []string{"127.0.0.1"}
	port := w.serve("127.0.0.1", w.certificate(false, "a.test"), hello)
	name := matrix.ServerName("a.test:" + port)
	c := w.client(nil)
	for _, target := range []string{
		"/", "/a?", "/a?b", "/a?b?c", "/%21r%3Aa/%40u", "/!r:a/@u", "/a%2Fb//c/../d", "/a?ver=10&ver=11&ver=10",
		"/a|^\"{}`", "/a?x=|^\"{}`%zz;+%20", "/a/é", "/a*b'()",
	} {
		path, query, hasQuery := strings.Cut(target, "?")
		req := &http.Request{Method: "GET", URL: &url.URL{Opaque: path, RawQuery: query, ForceQuery: hasQuery}}
		resp, err := c.Do(t.Context(), name, req)
		if err != nil {
			t.Errorf("Do(%q): %v", target, err)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if got, want := string(body), string(name)+" "+target; got != want || err != nil {
			t.Errorf("target %q: the server saw %q, %v, want %q", target, got, err, want)
		}
	}
	for _, target := range []string{"//a", "a", "*", "https://b.test/a"} {
		req := &http.Request{Method: "GET", URL: &url.URL{Opaque: target}}
		if _, err := c.Do(t.Context(), name, req); err == nil {
			t.Errorf("Do(%q): got nil, want an error", target)
		}
	}
}

// TestRedirectIsReturned: a federation request is not redirected, to metadata
// least of all.
func TestRedirectIsReturned(t *testing.T) {
	w := newWorld(t)
	w.hosts["a.test"] = []string{"127.0.0.1"}
	port := w.serve("127.0.0.1", w.certificate(false, "a.test"), func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "https://169.254.169.254/", http.StatusFound)
	})
	status, _, err := w.client(nil).Get(t.Context(), matrix.ServerName("a.test:"+port), "/", 1000)
	if status != http.StatusFound || err != nil {
		t.Errorf("Get = %d, %v, want 302", status, err)
	}
}

// TestPrivateAddresses: names and literals that lead to addresses which are not
// public end before a connection, also if DNS says something else each time.
func TestPrivateAddresses(t *testing.T) {
	w := newWorld(t)
	var reached atomic.Bool
	port := w.serve("127.0.0.1", w.certificate(false, "a.test", "127.0.0.1"), func(http.ResponseWriter, *http.Request) {
		reached.Store(true)
	})
	w.hosts["a.test"] = []string{"127.0.0.1"}
	w.hosts["mapped.test"] = []string{"::ffff:127.0.0.1"}
	w.hosts["meta.test"] = []string{"169.254.169.254"}
	c := w.client(func(o *Options) { o.AllowPrivate = nil; o.LoopbackSelfSigned = true })
	for name, addr := range map[string]string{
		"a.test": "127.0.0.1", "127.0.0.1": "127.0.0.1", "mapped.test": "127.0.0.1", "[::ffff:127.0.0.1]": "127.0.0.1",
		"[::1]": "::1", "meta.test": "169.254.169.254", "10.0.0.1": "10.0.0.1", "0.0.0.0": "0.0.0.0",
	} {
		_, _, err := c.Get(t.Context(), matrix.ServerName(name+":"+port), "/", 1000)
		wantAddressError(t, err, addr)
	}
	if reached.Load() {
		t.Error("the server was reached")
	}
}

// TestRebinding: the address that is judged is the one that is dialled; what
// DNS said before plays no part.
func TestRebinding(t *testing.T) {
	w := newWorld(t)
	port := w.serve("127.0.0.1", w.certificate(false, "a.test"), hello)
	w.hosts["a.test"] = []string{"127.0.0.1"}
	c := w.client(func(o *Options) { o.AllowPrivate = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")} })
	name := matrix.ServerName("a.test:" + port)
	if _, _, err := c.Get(t.Context(), name, "/", 1000); err != nil {
		t.Fatal(err)
	}
	c.transports.clear()
	w.hosts["a.test"] = []string{"127.0.0.3"}
	_, _, err := c.Get(t.Context(), name, "/", 1000)
	wantAddressError(t, err, "127.0.0.3")
}

// TestSecondAddress: a host is reached though its first address refuses.
func TestSecondAddress(t *testing.T) {
	w := newWorld(t)
	port := w.serve("127.0.0.2", w.certificate(false, "a.test"), hello)
	w.hosts["a.test"] = []string{"127.0.0.3", "10.0.0.1", "fd00::1", "127.0.0.2"}
	if _, _, err := w.client(nil).Get(t.Context(), matrix.ServerName("a.test:"+port), "/", 1000); err != nil {
		t.Error(err)
	}
}

// TestNextTarget: the second SRV record is used if nothing listens at the
// first, with the body sent once.
func TestNextTarget(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().(*net.TCPAddr).Port
	l.Close()
	port := w.serve("127.0.0.1", w.certificate(false, "a.test"), func(rw http.ResponseWriter, r *http.Request) {
		io.Copy(rw, r.Body)
	})
	n, _ := net.LookupPort("tcp", port)
	w.hosts["s.test"] = []string{"127.0.0.1"}
	w.srv["_matrix-fed._tcp.a.test"] = []*net.SRV{{Target: "s.test.", Port: uint16(nobody)}, {Target: "s.test.", Port: uint16(n)}}
	req, err := http.NewRequest("PUT", "/x", strings.NewReader("the body"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.client(nil).Do(t.Context(), "a.test", req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); string(body) != "the body" || err != nil {
		t.Errorf("got %q, %v, want the body that was sent", body, err)
	}
}

// TestHostileServer: a server that hangs or never ends is left alone in time.
func TestHostileServer(t *testing.T) {
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    error
	}{
		{"hangs before the header", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil},
		{"hangs in the body", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Length", "10")
			rw.WriteHeader(200)
			rw.(http.Flusher).Flush()
			<-r.Context().Done()
		}, nil},
		{"endless body", func(rw http.ResponseWriter, r *http.Request) {
			for {
				if _, err := rw.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}, ErrTooLarge},
		{"one byte too many", func(rw http.ResponseWriter, r *http.Request) { rw.Write(make([]byte, 1001)) }, ErrTooLarge},
		{"compressed", func(rw http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") == "" {
				rw.Write(make([]byte, 1001))
			}
		}, ErrTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.hosts["a.test"] = []string{"127.0.0.1"}
			port := w.serve("127.0.0.1", w.certificate(false, "a.test"), tt.handler)
			limits := shortTimeouts
			limits.request = time.Second
			c := w.clientWithin(limits, nil)
			_, body, err := c.Get(t.Context(), matrix.ServerName("a.test:"+port), "/", 1000)
			if err == nil || body != nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Get = %d bytes, %v, want error %v", len(body), err, tt.want)
			}
		})
	}
}

// TestSilentTLS: a server that accepts and says nothing is bounded too.
func TestSilentTLS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := newWorld(t)
	limits := shortTimeouts
	limits.tls = 50 * time.Millisecond
	c := w.clientWithin(limits, nil)
	if _, _, err := c.Get(t.Context(), matrix.ServerName(l.Addr().String()), "/", 1000); err == nil {
		t.Error("Get: got nil, want an error")
	}
}

func TestCertificates(t *testing.T) {
	w := newWorld(t)
	self := func(o *Options) { o.LoopbackSelfSigned = true }
	insecure := func(o *Options) { o.InsecureSkipVerify = true }
	w.hosts["a.test"] = []string{"127.0.0.1"}
	tests := []struct {
		name       string
		selfSigned bool
		certFor    string
		server     string
		change     func(*Options)
		ok         bool
	}{
		{"of a name", false, "a.test", "a.test", nil, true},
		{"of an IP", false, "127.0.0.1", "127.0.0.1", nil, true},
		{"of another name", false, "b.test", "a.test", nil, false},
		{"of a name, asked as an IP", false, "a.test", "127.0.0.1", nil, false},
		{"self-signed name", true, "a.test", "a.test", nil, false},
		{"self-signed IP", true, "127.0.0.1", "127.0.0.1", nil, false},
		{"self-signed IP, opened", true, "127.0.0.1", "127.0.0.1", self, true},
		{"self-signed anything on the loopback IP, opened", true, "b.test", "127.0.0.1", self, true},
		{"a name on loopback is no literal", true, "a.test", "a.test", self, false},
		{"anything", true, "b.test", "a.test", insecure, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			port := w.serve("127.0.0.1", w.certificate(tt.selfSigned, tt.certFor), hello)
			_, _, err := w.client(tt.change).Get(t.Context(), matrix.ServerName(tt.server+":"+port), "/", 1000)
			if got := err == nil; got != tt.ok {
				t.Errorf("Get: %v, want success %v", err, tt.ok)
			}
		})
	}
}

// TestDelegatedToLoopback: the exception is for the server's own name, not for
// a loopback address that a well-known file names.
func TestDelegatedToLoopback(t *testing.T) {
	w := newWorld(t)
	w.hosts["well.test"] = []string{"127.0.0.1"}
	port := w.serve("127.0.0.1", w.certificate(true, "127.0.0.1"), hello)
	c := w.client(func(o *Options) { o.LoopbackSelfSigned = true })
	c.wellKnownPort = w.serve("127.0.0.1", w.certificate(false, "well.test"), func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(rw, `{"m.server":"127.0.0.1:%s"}`, port)
	})
	if _, _, err := c.Get(t.Context(), matrix.ServerName("127.0.0.1:"+port), "/", 1000); err != nil {
		t.Errorf("by its own name: %v", err)
	}
	if _, _, err := c.Get(t.Context(), "well.test", "/", 1000); err == nil {
		t.Error("by a delegating name: got nil, want a certificate error")
	}
}

// TestConnectionReuse: the second request to a server uses the connection of
// the first.
func TestConnectionReuse(t *testing.T) {
	w := newWorld(t)
	w.hosts["a.test"] = []string{"127.0.0.1"}
	port := w.serve("127.0.0.1", w.certificate(false, "a.test"), hello)
	c := w.client(nil)
	for i := range 3 {
		reused := false
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
		})
		if _, _, err := c.Get(ctx, matrix.ServerName("a.test:"+port), "/", 1000); err != nil {
			t.Fatal(err)
		}
		if got, want := reused, i > 0; got != want {
			t.Errorf("request %d: connection reused %v, want %v", i, got, want)
		}
	}
}
