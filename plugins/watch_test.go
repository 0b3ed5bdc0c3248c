package plugins

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// watching starts a watcher on paths and returns a channel that gets a value
// for every call of changed. The watcher has ended when the test has.
func watching(t *testing.T, w watcher, paths ...string) <-chan struct{} {
	t.Helper()
	calls := make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	w.started = make(chan struct{})
	go func() { done <- w.run(ctx, paths, func() { calls <- struct{}{} }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-w.started
	return calls
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, calls <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-calls:
	case <-time.After(30 * time.Second):
		t.Fatalf("nothing is told of: %s", what)
	}
}

// TestWatch makes each kind of change to a real file, by notification and by
// looking alone. Every one must be told.
func TestWatch(t *testing.T) {
	for name, w := range map[string]watcher{
		"notified": {quiet: 20 * time.Millisecond, patience: time.Second, poll: time.Hour, notify: true},
		"polled":   {quiet: 20 * time.Millisecond, patience: time.Second, poll: 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "policy.wasm")
			calls := watching(t, w, path, filepath.Join(dir, ".", "config.toml"))

			write(t, path, "one")
			await(t, calls, "a file is made")
			write(t, path, "three")
			await(t, calls, "a file is written")
			write(t, filepath.Join(dir, "tmp"), "third")
			if err := os.Rename(filepath.Join(dir, "tmp"), path); err != nil {
				t.Fatal(err)
			}
			await(t, calls, "a file is replaced by a rename")
			if err := os.Rename(path, path+"~"); err != nil {
				t.Fatal(err)
			}
			write(t, path, "fourth")
			await(t, calls, "an editor moves the file away and writes a new one")
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			await(t, calls, "a file is removed")
			if err := os.Symlink(filepath.Join(dir, "policy.wasm~"), path); err != nil {
				t.Fatal(err)
			}
			await(t, calls, "a link to a file is made")
			write(t, filepath.Join(dir, "config.toml"), "x")
			await(t, calls, "the second file is made")
		})
	}
}

func TestWatchMissingFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "policies")
	path := filepath.Join(dir, "policy.wasm")
	w := watcher{quiet: 20 * time.Millisecond, patience: time.Second, poll: 10 * time.Millisecond, notify: true}
	calls := watching(t, w, path)
	for range 2 {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, path, "one")
		await(t, calls, "a file in a folder that was missing")
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		await(t, calls, "the folder is removed")
	}
}

// TestWatchOthers: a file beside the watched one is nobody's business. That
// nothing was told of it is known when the next change is told, once.
func TestWatchOthers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "policy.wasm")
	write(t, path, "one")
	w := watcher{quiet: time.Second, patience: time.Minute, poll: time.Hour, notify: true}
	calls := watching(t, w, path)
	for range 20 {
		write(t, filepath.Join(dir, "other"), "x")
	}
	for _, content := range []string{"a", "bb", "ccc", "dddd"} {
		write(t, path, content)
	}
	await(t, calls, "four writes")
	write(t, filepath.Join(dir, "other"), "xx")
	write(t, path, "last")
	await(t, calls, "the last write")
	if n := len(calls); n != 0 {
		t.Errorf("%d more calls of changed, want none", n)
	}
}

// TestWatchBegins: one call says that watching has begun, so that a change
// from before it is not missed.
func TestWatchBegins(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	calls := 0
	err := Watch(ctx, []string{filepath.Join(t.TempDir(), "none")}, func() {
		calls++
		cancel()
	})
	if err != nil || calls != 1 {
		t.Errorf("%d calls, %v; want one", calls, err)
	}
}

func TestWatchNothing(t *testing.T) {
	if err := Watch(context.Background(), nil, func() {}); err == nil {
		t.Error("Watch of no files waits for ever")
	}
}
