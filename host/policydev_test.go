package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/knockgate/knockgate/host/internal/peer"
)

// output is a command's output that a test reads while the command runs.
type output struct {
	mu sync.Mutex
	b  strings.Builder // guarded by mu
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// TestPolicyDev: a policy that is worked on is put in place at once, and again after a
// change, under a running server whose decisions are shown; what does not build or hold
// is not.
func TestPolicyDev(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a policy in Go several times")
	}
	t.Setenv("GOPROXY", "off")
	w := newWorld(t, "[policies]\ndefault = \"allow\"\n[[policy]]\nname = \"mine\"\nmodule = \"my_rule.wasm\"\n", map[string][]byte{"my_rule.wasm": doorOpen})
	dir := filepath.Join(t.TempDir(), "my_rule")
	if _, errs, code := command("policy", "new", dir); code != exitOK {
		t.Fatal(errs)
	}
	p, room := w.peer(), w.room("11", "knock")
	knock := func(user, reason string) (peer.Outcome, string) {
		t.Helper()
		k := w.knock(p, user, room)
		k.Reason = reason
		r, err := p.Knock(context.Background(), k)
		if err != nil {
			t.Fatal(err)
		}
		return r.Outcome(), lastWords(r)
	}
	if got, _ := knock("early", "hi"); got != peer.Allowed {
		t.Fatalf("before: %s", got)
	}

	ctx, cancel := context.WithCancel(context.Background())
	out := &output{}
	ended := make(chan int, 1)
	before := w.gate.Revision()
	go func() {
		ended <- runContext(ctx, []string{"policy", "dev", dir, "--config", filepath.Join(w.dir, "config.toml")}, out, out)
	}()
	defer func() {
		cancel()
		if code := <-ended; code != exitOK {
			t.Errorf("interrupted: exit code %d\n%s", code, out)
		}
	}()
	waitFor(t, "the first build", func() bool { return w.gate.Revision() != before })
	if got, words := knock("a", "hi"); got != peer.Denied || words != "Please say in 10 characters why you would like to join." {
		t.Errorf("after the first build: %s, %q", got, words)
	}
	waitFor(t, "the decision to be shown", func() bool {
		return strings.Contains(out.String(), "send_knock of @a:") && strings.Contains(out.String(), "deny by mine reason_too_short")
	})

	source := filepath.Join(dir, "policy.go")
	good, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	change := func(from, to string) {
		t.Helper()
		if err := replaceFile(source, []byte(strings.Replace(string(good), from, to, 1))); err != nil {
			t.Fatal(err)
		}
	}
	before = w.gate.Revision()
	change("policy.Pass", "policy.Past")
	waitFor(t, "the compiler's words", func() bool { return strings.Contains(out.String(), "undefined: policy.Past") })
	waitFor(t, "what became of it", func() bool { return strings.Contains(out.String(), "not built: ") })
	change("Please say", "Say")
	waitFor(t, "the fixture that fails", func() bool { return strings.Contains(out.String(), "FAIL reason: too short: message: got \"Say in 10") })
	waitFor(t, "what became of it", func() bool { return strings.Contains(out.String(), "not put in place: 2 of 8 fixtures do not hold") })
	if w.gate.Revision() != before {
		t.Error("what does not build or hold was put in place")
	}
	change(`"reason_too_short"`, `"reason_"+"too_short" // changed`)
	if err := os.WriteFile(filepath.Join(dir, "more.go"), []byte("package main\n\nfunc init() { println(\"\") }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the next build", func() bool { return w.gate.Revision() != before })
}

// TestPolicyDevRefuses: a policy that the configuration does not name is told, with what
// to write there.
func TestPolicyDevRefuses(t *testing.T) {
	s := newStarter(t, "[[policy]]\nname = \"a\"\nmodule = \"one/x.wasm\"\n[[policy]]\nname = \"b\"\nmodule = \"two/x.wasm\"\n[[policy]]\nname = \"c\"\nmodule = \"y.wasm\"\ndigest = \"sha256:"+strings.Repeat("0", 64)+"\"\n")
	s.write("config.toml", []byte(s.text))
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"z"}, []string{"no policy has a module z.wasm", "[[policy]]\nname = \"z\"\nmodule = \"z/z.wasm\""}},
		{[]string{"x"}, []string{"one/x.wasm", "two/x.wasm", "choose one with --policy"}},
		{[]string{"x", "--policy", "q"}, []string{`there is no policy "q"`}},
		{[]string{"y"}, []string{"policy c pins its module"}},
		{[]string{"x", "--policy", "a"}, []string{"no such file"}},
	} {
		out, code := s.command(append([]string{"policy", "dev"}, tt.args...)...)
		if code != exitFailed {
			t.Errorf("dev %q: exit code %d", tt.args, code)
		}
		for _, want := range tt.want {
			if !strings.Contains(out, want) {
				t.Errorf("dev %q: it does not say %q: %s", tt.args, want, out)
			}
		}
	}
}
