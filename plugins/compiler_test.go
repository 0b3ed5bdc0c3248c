package plugins

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/knockgate/knockgate/plugins/internal/wasmbin"
)

// childOf returns a compiler whose children are this test binary.
func childOf(t testing.TB) Compiler {
	t.Helper()
	if !canBoundChild {
		t.Skip("modules are compiled in a child on Linux only")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Compiler{Command: []string{program, compileArg}}
}

// heavy is within the limits of the scan and compiles for 20 s or so; 16 MiB of
// the same would for minutes.
func heavy() []byte {
	loops := many(1000, block(0x03, constant(1), code(0x1a)))
	return hostileGuest{extra: slices.Repeat([][]byte{loops}, 300)}.build()
}

func loadBytes(ctx context.Context, e *Engine, bin []byte) error {
	c, err := e.Load(ctx, ChainSpec{Policies: []PolicySpec{{Name: "p", Bytes: bin}}}, nil)
	if err == nil {
		c.Release()
	}
	return err
}

// checkTidy holds that a cache has so many modules, and nothing of a child.
func checkTidy(t *testing.T, e *Engine, modules int) {
	t.Helper()
	dir := e.compiler.cache.dir
	links, _ := filepath.Glob(filepath.Join(dir, strings.Repeat("[0-9a-f]", 64)))
	files, _ := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	rest, _ := filepath.Glob(filepath.Join(dir, jobPrefix+"*"))
	if len(links) != modules || len(files) != modules || len(rest) != 0 {
		t.Errorf("the cache has %d links, %d files and the jobs %q; want %d, %d and none", len(links), len(files), rest, modules, modules)
	}
	if s := e.Stats(); s.Policies != 0 || s.Instances != 0 {
		t.Errorf("%d policies and %d instances are left, want none", s.Policies, s.Instances)
	}
	if children := childProcesses(t); len(children) > 0 {
		t.Errorf("children are left: %q", children)
	}
}

// childProcesses returns the state lines of this process's children, living or
// not waited for.
func childProcesses(t *testing.T) (found []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		t.Fatalf("%d processes, %v", len(stats), err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == fmt.Sprint(os.Getpid()) {
			found = append(found, string(text))
		}
	}
	return found
}

// TestHeavyIsWithinTheScan holds that the module of the tests below gets as far
// as the compiler.
func TestHeavyIsWithinTheScan(t *testing.T) {
	if _, err := wasmbin.Scan(heavy(), wasmbin.DefaultLimits()); err != nil {
		t.Errorf("Scan of heavy: %v", err)
	}
}

// TestCompilerStops: what takes too much is stopped by each of the limits, with
// the reason in words, and leaves no process and no file behind.
func TestCompilerStops(t *testing.T) {
	bin := heavy()
	tests := []struct {
		name string
		set  func(*Compiler)
		want string
	}{
		{"processor time", func(c *Compiler) { c.CPU = time.Millisecond }, "more than 1s of processor time"},
		{"the clock", func(c *Compiler) { c.Deadline = 200 * time.Millisecond }, "more than 200ms to compile"},
		{"memory", func(c *Compiler) { c.Memory = 24 << 20 }, "more than 24 MiB of memory"},
		{"memory for the module alone", func(c *Compiler) { c.Memory = 1 << 20 }, "more than 1 MiB of memory"},
		{"no such program", func(c *Compiler) { c.Command[0] = filepath.Join(t.TempDir(), "gone") }, "cannot start"},
		{"a program that is another", func(c *Compiler) { c.Command = []string{"true"} }, "true"},
		{"a program that fails", func(c *Compiler) { c.Command = []string{"false"} }, "false: exit status 1"},
		{"one argument too many", func(c *Compiler) { c.Command = append(c.Command, "x") }, "2 arguments"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if raceEnabled && strings.HasPrefix(tt.name, "memory") {
				t.Skip("the race detector takes memory of its own")
			}
			c := childOf(t)
			tt.set(&c)
			e := newEngine(t, EngineOptions{Compiler: c, CacheDir: filepath.Join(t.TempDir(), "compiled")})
			err := loadBytes(context.Background(), e, bin)
			failure, ok := errors.AsType[*LoadError](err)
			if !ok || failure.Stage != StageCompile || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Load = %v, want one line, a *LoadError at %s with %q", err, StageCompile, tt.want)
			}
			checkTidy(t, e, 0)
		})
	}
}

// TestCompilerInterrupted: the end of ctx ends the child, and the end of the
// child by someone else ends the load.
func TestCompilerInterrupted(t *testing.T) {
	for name, tt := range map[string]struct {
		interrupt func(child int, cancel func()) error
		want      func(error) bool
	}{
		"ctx": {
			func(_ int, cancel func()) error { cancel(); return nil },
			func(err error) bool { return errors.Is(err, context.Canceled) },
		},
		"kill": {
			func(child int, _ func()) error {
				p, err := os.FindProcess(child)
				return errors.Join(err, p.Kill())
			},
			func(err error) bool { return err != nil && strings.Contains(err.Error(), "was killed") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, EngineOptions{Compiler: childOf(t)})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			done := make(chan error)
			go func() { done <- loadBytes(ctx, e, heavy()) }()
			var children []string
			for len(children) == 0 {
				select {
				case err := <-done:
					t.Fatalf("Load = %v, want a child", err)
				default:
					runtime.Gosched()
				}
				children = childProcesses(t)
			}
			var child int
			if _, err := fmt.Sscan(children[0], &child); err != nil {
				t.Fatal(err)
			}
			if err := tt.interrupt(child, cancel); err != nil {
				t.Error(err)
			}
			if err := <-done; !tt.want(err) {
				t.Errorf("Load = %v", err)
			}
			checkTidy(t, e, 0)
		})
	}
}

// TestChildHasLittle: a child has no environment of ours and no place in our
// process group.
func TestChildHasLittle(t *testing.T) {
	t.Setenv("KNOCKGATE_SECRET", "x")
	c := childOf(t)
	c.Command[1] = describeArg
	e := newEngine(t, EngineOptions{Compiler: c})
	err := loadBytes(context.Background(), e, readModule(t, "allow"))
	const want = "environment [GOTRACEBACK=none], leads its group true"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Load = %v, want %q", err, want)
	}
	checkTidy(t, e, 0)
}

// TestCachedOnly holds what the bound in this process stands on: wazero
// compiles nothing under such a context, and takes what is there.
func TestCachedOnly(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	runtimeIn := func() wazero.Runtime {
		cache, err := wazero.NewCompilationCacheWithDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		r := wazero.NewRuntimeWithConfig(ctx, runtimeConfig(wazero.NewRuntimeConfigCompiler(), cache))
		t.Cleanup(func() { errors.Join(r.Close(ctx), cache.Close(ctx)) })
		return r
	}
	for _, name := range []string{"allow", "echo"} {
		module := readModule(t, name)
		if _, err := cachedOnly(ctx, runtimeIn(), module); !errors.Is(err, errNotCached) {
			t.Fatalf("%s: cachedOnly without the code = %v, want errNotCached", name, err)
		}
		if _, err := runtimeIn().CompileModule(ctx, module); err != nil {
			t.Fatal(err)
		}
		if _, err := cachedOnly(ctx, runtimeIn(), module); err != nil {
			t.Errorf("%s: cachedOnly with the code = %v", name, err)
		}
	}
}

// TestCompilerTogether loads the same and different modules at once, on two
// engines that share a cache.
func TestCompilerTogether(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "compiled")
	engines := []*Engine{
		newEngine(t, EngineOptions{Compiler: childOf(t), CacheDir: dir}),
		newEngine(t, EngineOptions{Compiler: childOf(t), CacheDir: dir}),
	}
	names := []string{"allow", "trap", "pass", "echo"}
	var group sync.WaitGroup
	for i := range 32 {
		group.Go(func() {
			if i%8 == 7 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				defer cancel()
				loadBytes(ctx, engines[i/8%2], readModule(t, "logs"))
				return
			}
			if err := loadBytes(context.Background(), engines[i%2], readModule(t, names[i/2%4])); err != nil {
				t.Errorf("%s: %v", names[i/2%4], err)
			}
		})
	}
	group.Wait()
	rest, err := filepath.Glob(filepath.Join(dir, jobPrefix+"*"))
	if err != nil || len(rest) > 0 {
		t.Errorf("jobs are left: %q, %v", rest, err)
	}
	if children := childProcesses(t); len(children) > 0 {
		t.Errorf("children are left: %q", children)
	}
}

// TestCompilerInvalid: what the child says of a module is what the compiler says
// in this process.
func TestCompilerInvalid(t *testing.T) {
	bin := readModule(t, "invalid_body")
	want := loadBytes(context.Background(), newEngine(t, EngineOptions{}), bin)
	e := newEngine(t, EngineOptions{Compiler: childOf(t)})
	if got := loadBytes(context.Background(), e, bin); got == nil || got.Error() != want.Error() {
		t.Errorf("with a child: %v\nwithout:      %v", got, want)
	}
	checkTidy(t, e, 0)
}

// TestCompileChildRefuses: the child compiles nothing without a whole order, and
// says so in its one line.
func TestCompileChildRefuses(t *testing.T) {
	for _, args := range [][]string{
		nil, {"a", "b"}, {""}, {"{}"}, {`{"size":1,"memory":1}`}, {`{"size":100000000,"memory":1,"cpu":1}`},
		{`{"size":1,"memory":1,"cpu":1,"more":1}`}, {`{"size":-1,"memory":1,"cpu":1}`},
	} {
		var out strings.Builder
		if code := CompileChild(args, strings.NewReader("\x00"), &out); code != 0 || !strings.HasPrefix(out.String(), `{"fault":"`) || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("CompileChild(%q) = %d with %q, want 0 with a line that says a fault", args, code, &out)
		}
	}
}
