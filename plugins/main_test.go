package plugins

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/knockgate/knockgate/sdk/abi"
)

// What makes the test binary a child: one that compiles, and one that says what
// it was given.
const (
	compileArg  = "compile-module"
	describeArg = "describe"
)

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) < 2:
	case os.Args[1] == compileArg:
		os.Exit(CompileChild(os.Args[2:], os.Stdin, os.Stdout))
	case os.Args[1] == describeArg:
		stat, _ := os.ReadFile("/proc/self/stat") // pid (name) state parent group ...
		_, rest, _ := strings.Cut(string(stat), ") ")
		group := strings.Fields(rest)[2]
		fmt.Printf(`{"fault":"environment %s, leads its group %t"}`, os.Environ(), group == fmt.Sprint(os.Getpid()))
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// testModule returns the path of a module in testdata.
func testModule(name string) string { return filepath.Join("testdata", name+".wasm") }

func readModule(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(testModule(name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// newEngine returns an engine that is closed, with nothing left in it, when the
// test ends.
func newEngine(t testing.TB, o EngineOptions) *Engine {
	t.Helper()
	e, err := NewEngine(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if n := e.Stats().Instances; n != 0 {
			t.Errorf("%d instances are open at the end, want 0", n)
		}
	})
	return e
}

// load loads a chain that is released when the test ends.
func load(t testing.TB, e *Engine, spec ChainSpec) *Chain {
	t.Helper()
	c, err := e.Load(context.Background(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Release)
	return c
}

// policy returns the specification of a module in testdata under its own name.
func policyOf(name string) PolicySpec { return PolicySpec{Name: name, Module: testModule(name)} }

// says returns a policy that answers with the given JSON object.
func says(name, result string) PolicySpec {
	return PolicySpec{Name: name, Module: testModule("echo"), Settings: []byte(result)}
}

func knockFacts() *abi.Facts {
	return &abi.Facts{
		Phase: abi.SendKnock, RoomID: "!room:here.example", RoomVersion: "11",
		UserID: "@alice:peer.example", UserLocalpart: "alice", UserServer: "peer.example",
		Origin: "peer.example:8448", Reason: abi.Some("let me in, I know bob"),
		Event: []byte(`{"type":"m.room.member"}`), RequestID: "req-1", NowMS: 1_700_000_000_123, ContentHashOK: true,
	}
}

// slow are limits that leave a busy machine the time it takes.
var slow = Limits{Wait: time.Minute}

// lockedBuffer is a log for tests.
type lockedBuffer struct {
	ch  chan struct{}
	buf bytes.Buffer
}

func newLog() (*slog.Logger, *lockedBuffer) {
	b := &lockedBuffer{ch: make(chan struct{}, 1)}
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug})), b
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.ch <- struct{}{}
	defer func() { <-b.ch }()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.ch <- struct{}{}
	defer func() { <-b.ch }()
	return b.buf.String()
}

// TestModulesAreBuilt holds that every .wasm of testdata is what its .wat makes.
func TestModulesAreBuilt(t *testing.T) {
	tool, err := exec.LookPath("wat2wasm")
	if err != nil {
		t.Skip("wat2wasm is not installed (Debian: wabt); the .wasm files are taken as they are")
	}
	sources, err := filepath.Glob("testdata/*.wat")
	if err != nil || len(sources) < 30 {
		t.Fatalf("%d sources in testdata, err %v", len(sources), err)
	}
	for _, source := range sources {
		built := filepath.Join(t.TempDir(), "out.wasm")
		args := []string{source, "-o", built}
		if strings.Contains(source, "invalid_body") {
			args = append(args, "--no-check")
		}
		if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", source, err, out)
			continue
		}
		want, err := os.ReadFile(built)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(strings.TrimSuffix(source, ".wat") + ".wasm")
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s: the .wasm beside it is another; run: wat2wasm %s", source, strings.Join(args[:1], " "))
		}
	}
}
