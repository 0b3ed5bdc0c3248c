package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"testing"
)

// part is one of an upload.
type part struct{ name, file, body string }

func (v *visitor) upload(parts ...part) *httptest.ResponseRecorder {
	v.t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for _, p := range parts {
		header := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name="%s"; filename="%s"`, p.name, p.file)}}
		w, err := m.CreatePart(header)
		if err != nil {
			v.t.Fatal(err)
		}
		if _, err := io.WriteString(w, p.body); err != nil {
			v.t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		v.t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/policies/upload", &b)
	r.Header.Set("Content-Type", m.FormDataContentType())
	return v.do(r)
}

// TestUploadName: nothing but the digest names what was uploaded.
func TestUploadName(t *testing.T) {
	v := newVisitor(t, nil)
	v.login()
	for i, name := range []string{
		"a.wasm", "../../../../etc/passwd", "..\\..\\x.wasm", "/etc/cron.d/x", "C:\\x", "", ".", "..", "%2e%2e%2fx", "<script>alert(1)</script>", "\u202emsaw.exe",
	} {
		body := fmt.Sprint("module ", i)
		w := v.upload(part{"form", "", v.form}, part{"module", name, body}, part{"signature", name, ""})
		sum := sha256.Sum256([]byte(body))
		digest := hex.EncodeToString(sum[:])
		if want := "/policies?new=" + digest + "#staged"; w.Code != http.StatusSeeOther || w.Header().Get("Location") != want {
			t.Errorf("the file name %q: %d to %q, want 303 to %q\n%s", name, w.Code, w.Header().Get("Location"), want, w.Body)
		}
	}
	checkPage(t, "/policies", v.get("/policies").Body.String())
}

func TestUploadRefused(t *testing.T) {
	v := newVisitor(t, func(o *Options) { o.MaxModule = 1 << 20 })
	v.login()
	before, err := v.fake.Staged(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	large := string(make([]byte, 1<<20+1))
	for _, test := range []struct {
		name  string
		parts []part
		want  int
	}{
		{"no form token", []part{{"module", "a", "x"}}, 403},
		{"a wrong form token", []part{{"form", "", "x"}, {"module", "a", "x"}}, 403},
		{"the form token last", []part{{"module", "a", "x"}, {"form", "", v.form}}, 403},
		{"another part", []part{{"form", "", v.form}, {"path", "a", "../x"}}, 403},
		{"a file name with a NUL", []part{{"form", "", v.form}, {"module", "a\x00b", "x"}}, 403},
		{"nothing", []part{{"form", "", v.form}}, 400},
		{"a byte too many", []part{{"form", "", v.form}, {"module", "a", large}}, 413},
		{"a long signature", []part{{"form", "", v.form}, {"module", "a", "x"}, {"signature", "a", large[:maxSignature+1]}}, 413},
		{"a long form token", []part{{"form", "", large[:maxToken+1]}}, 413},
	} {
		if w := v.upload(test.parts...); w.Code != test.want {
			t.Errorf("%s: %d, want %d\n%s", test.name, w.Code, test.want, w.Body)
		}
	}
	if w := v.post("/policies/upload", map[string][]string{}); w.Code != http.StatusForbidden {
		t.Errorf("an upload that is no multipart form: %d, want 403", w.Code)
	}
	if after, err := v.fake.Staged(t.Context()); err != nil || len(after) != len(before) {
		t.Errorf("%d modules are kept, want the %d from before (%v)", len(after), len(before), err)
	}
}

// endless counts what was read of it.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	clear(p)
	e.read += int64(len(p))
	return len(p), nil
}

// TestUploadOf100MB is refused by what it says of its size without being read, by who
// is not logged in too; and where it does not say, after little more than the most.
func TestUploadOf100MB(t *testing.T) {
	for _, test := range []struct {
		name  string
		login bool
		says  int64
		most  int64
		want  int
	}{
		{"logged in", true, 100 << 20, 0, 413},
		{"logged in, in chunks", true, -1, 17 << 20, 413},
		{"not logged in", false, 100 << 20, 0, 401},
		{"not logged in, in chunks", false, -1, 0, 401},
	} {
		v := newVisitor(t, nil)
		if test.login {
			v.login()
		}
		tail := &endless{}
		head := "--b\r\nContent-Disposition: form-data; name=\"form\"\r\n\r\n" + v.form +
			"\r\n--b\r\nContent-Disposition: form-data; name=\"module\"; filename=\"a\"\r\n\r\n"
		r := httptest.NewRequest("POST", "/policies/upload", io.MultiReader(bytes.NewReader([]byte(head)), tail))
		r.ContentLength = test.says
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		w := v.do(r)
		if w.Code != test.want || tail.read > test.most {
			t.Errorf("%s: %d after %d bytes, want %d after at most %d", test.name, w.Code, tail.read, test.want, test.most)
		}
	}
}
