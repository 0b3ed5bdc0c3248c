package metrics

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/knockgate/knockgate/host/internal/gateway"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/upstream"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// refusals are requests that the protocol refused, and what they count to.
var refusals = []struct {
	name, endpoint string
	err            *matrix.Error
	want           []string
}{
	{"a wrong signature", "make_knock", matrix.Unauthorized("no").Of(xmatrix.FailSignature), []string{
		`refused_total{errcode="M_UNAUTHORIZED",phase="make_knock"}`, `xmatrix_failures_total{reason="wrong_signature"}`}},
	{"a reason nobody knows", "make_knock", matrix.Unauthorized("no").Of("of evil.example"), []string{
		`refused_total{errcode="M_UNAUTHORIZED",phase="make_knock"}`, `xmatrix_failures_total{reason="other"}`}},
	{"not in the federation list", "send_knock", matrix.Forbidden("no").Of(gateway.OriginNotListed), []string{
		`refused_total{errcode="M_FORBIDDEN",phase="send_knock"}`, `origins_refused_total{reason="not_listed"}`}},
	{"too often", "send_leave", matrix.LimitExceeded(time.Second).Of(gateway.OriginTooOften), []string{
		`refused_total{errcode="M_LIMIT_EXCEEDED",phase="send_leave"}`, `origins_refused_total{reason="too_often"}`}},
	{"the join rule", "make_knock", matrix.Forbidden("no"), []string{`refused_total{errcode="M_FORBIDDEN",phase="make_knock"}`}},
	{"our own fault", "send_knock", matrix.Internal(errors.New("disk")), []string{`refused_total{errcode="M_UNKNOWN",phase="send_knock"}`}},
	{"an errcode nobody knows", "send_knock", &matrix.Error{Status: 400, Code: "EVIL"}, []string{`refused_total{errcode="other",phase="other"}`}},
	{"an endpoint nobody knows", "evil.example", matrix.Forbidden("no"), []string{`refused_total{errcode="other",phase="other"}`}},
}

func TestRefused(t *testing.T) {
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			m := New("")
			before := values(t, m)
			m.Refused(tt.endpoint, tt.err)
			want := map[string]float64{}
			for _, name := range tt.want {
				want[name] = 1
			}
			changed(t, m, before, want)
		})
	}
}

// answers is a fetcher that answers the same to everything.
type answers struct {
	status int
	err    error
}

func (a answers) Get(context.Context, matrix.ServerName, string, int64) (int, []byte, error) {
	return a.status, []byte("got"), a.err
}

func (a answers) Post(context.Context, matrix.ServerName, string, []byte, int64) (int, []byte, error) {
	return a.status, []byte("posted"), a.err
}

// TestFetcher: fetches count by who was asked and how it went, and are handed on.
func TestFetcher(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name   string
		next   answers
		result string
	}{
		{"200", answers{200, nil}, "ok"},
		{"404", answers{404, nil}, "failed"},
		{"no answer", answers{0, broken}, "failed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := New("")
			before := values(t, m)
			f := m.Fetcher(tt.next)
			status, body, err := f.Get(t.Context(), "a.example", "/x", 1)
			if status != tt.next.status || string(body) != "got" || err != tt.next.err {
				t.Errorf("Get = %d, %q, %v, want %+v", status, body, err, tt.next)
			}
			status, body, err = f.Post(t.Context(), "a.example", "/x", nil, 1)
			if status != tt.next.status || string(body) != "posted" || err != tt.next.err {
				t.Errorf("Post = %d, %q, %v, want %+v", status, body, err, tt.next)
			}
			changed(t, m, before, map[string]float64{
				`key_fetches_total{result="` + tt.result + `",source="server"}`: 1,
				`key_fetches_total{result="` + tt.result + `",source="notary"}`: 1,
			})
		})
	}
}

// TestUpstream: how a homeserver fares, for knocks and for what is passed through.
// A peer that leaves is no fault of the homeserver's.
func TestUpstream(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hangs":
			<-hang
		case "/breaks":
			panic(http.ErrAbortHandler)
		case "/errs":
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = io.WriteString(w, `{}`)
	}))
	defer server.Close()
	defer close(hang)
	where, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	left, leave := context.WithCancel(context.Background())
	leave()
	for _, tt := range []struct {
		name, method, path string
		ctx                context.Context
		want               []string
	}{
		{"answered", http.MethodGet, "/", context.Background(), []string{`upstream_seconds{phase="make_knock"}`}},
		{"answered, send_knock", http.MethodPut, "/", context.Background(), []string{`upstream_seconds{phase="send_knock"}`}},
		{"hangs", http.MethodGet, "/hangs", context.Background(), []string{
			`upstream_seconds{phase="make_knock"}`, `upstream_faults_total{reason="timeout",request="knock"}`}},
		{"breaks off", http.MethodPut, "/breaks", context.Background(), []string{
			`upstream_seconds{phase="send_knock"}`, `upstream_faults_total{reason="unreachable",request="knock"}`}},
		{"answers 500", http.MethodGet, "/errs", context.Background(), []string{
			`upstream_seconds{phase="make_knock"}`, `upstream_faults_total{reason="bad_answer",request="knock"}`}},
		{"the peer has left", http.MethodGet, "/", left, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := New("")
			u := upstream.New(upstream.Options{URL: where, ConnectTimeout: time.Minute, AnswerTimeout: 50 * time.Millisecond})
			if tt.path != "/hangs" {
				u.AnswerTimeout = time.Minute
			}
			defer u.Close()
			before := values(t, m)
			// The answers are upstream's own tests' to judge.
			_, _ = m.Upstream(u).Exchange(tt.ctx, httptest.NewRequest(tt.method, tt.path, nil), tt.path, nil)
			want := map[string]float64{}
			for _, name := range tt.want {
				want[name] = 1
			}
			changed(t, m, before, want)
		})
	}
	for _, tt := range []struct {
		name, path string
		ctx        context.Context
		want       map[string]float64
	}{
		{"passed through", "/", context.Background(), nil},
		{"passed through, breaks off", "/breaks", context.Background(), map[string]float64{`upstream_faults_total{reason="unreachable",request="other"}`: 1}},
		{"passed through, the peer has left", "/", left, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := New("")
			u := upstream.New(upstream.Options{URL: where, ConnectTimeout: time.Minute, AnswerTimeout: time.Minute})
			defer u.Close()
			before := values(t, m)
			failed := 0
			r := httptest.NewRequest(http.MethodGet, tt.path, nil).WithContext(tt.ctx)
			m.Upstream(u).Stream(httptest.NewRecorder(), r, tt.path, func(*matrix.Error) { failed++ })
			changed(t, m, before, tt.want)
			if want := len(tt.want); tt.ctx == context.Background() && failed != want {
				t.Errorf("%d faults told, want %d", failed, want)
			}
		})
	}
}
