package plugins

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestCodeCache: what one engine has had compiled, a later one takes from
// the folder without a child, and a damaged or missing file is made anew.
func TestCodeCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "compiled")
	engine := func(c Compiler) *Engine { return newEngine(t, EngineOptions{Compiler: c, CacheDir: dir}) }
	allow := readModule(t, "allow")
	first := engine(childOf(t))
	if err := loadBytes(context.Background(), first, allow); err != nil {
		t.Fatal(err)
	}
	checkTidy(t, first, 1)

	none := Compiler{Command: []string{filepath.Join(t.TempDir(), "gone")}}
	for range 2 {
		if err := loadBytes(context.Background(), engine(none), allow); err != nil {
			t.Errorf("with the code in the cache, Load = %v, want no child", err)
		}
	}
	if err := loadBytes(context.Background(), engine(none), readModule(t, "trap")); err == nil {
		t.Error("a module that is not in the cache loads without a child")
	}

	files, err := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %q, %v; want one", files, err)
	}
	for name, spoil := range map[string]func() error{
		"damaged": func() error {
			text, err := os.ReadFile(files[0])
			text[len(text)/2]++
			return errors.Join(err, os.WriteFile(files[0], text, 0o600))
		},
		"cut short":                 func() error { return os.Truncate(files[0], 40) },
		"removed":                   func() error { return os.Remove(files[0]) },
		"with the folder":           func() error { return os.RemoveAll(filepath.Dir(files[0])) },
		"under the name of another": func() error { return os.Rename(files[0], files[0][:len(files[0])-4]+"0000") },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if err := loadBytes(context.Background(), engine(none), allow); err == nil {
			t.Errorf("%s: the module loads without a child", name)
		}
		if err := loadBytes(context.Background(), engine(childOf(t)), allow); err != nil {
			t.Errorf("%s: Load = %v, want the code made anew", name, err)
		}
	}
}

// TestCodeCacheBound: what was not used for longest goes, never what was used
// just now; links to what is gone go too.
func TestCodeCacheBound(t *testing.T) {
	e := newEngine(t, EngineOptions{Compiler: childOf(t), CacheDir: filepath.Join(t.TempDir(), "compiled")})
	cache := e.compiler.cache
	link := map[string]string{}
	names := []string{"allow", "pass", "trap", "exits"}
	for _, name := range names {
		if err := loadBytes(context.Background(), e, readModule(t, name)); err != nil {
			t.Fatal(err)
		}
		links, err := filepath.Glob(filepath.Join(cache.dir, strings.Repeat("[0-9a-f]", 64)))
		if err != nil || len(links) != len(link)+1 {
			t.Fatalf("links %q, %v; want one more than %d", links, err, len(link))
		}
		known := slices.Collect(maps.Values(link))
		link[name] = links[slices.IndexFunc(links, func(l string) bool { return !slices.Contains(known, l) })]
	}
	var size int64
	for i, name := range names {
		at := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(link[name], at, at); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(link[name])
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	// Used again, so no longer the one that was not used for longest.
	if err := loadBytes(context.Background(), e, readModule(t, "allow")); err != nil {
		t.Fatal(err)
	}
	cache.max = size
	if err := loadBytes(context.Background(), e, readModule(t, "logs")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"allow": true, "pass": false, "exits": true} {
		if _, err := os.Lstat(link[name]); (err == nil) != want {
			t.Errorf("%s is kept %t, want %t", name, err == nil, want)
		}
	}
	cache.max = 1
	if err := loadBytes(context.Background(), e, readModule(t, "echo")); err != nil {
		t.Fatal(err)
	}
	checkTidy(t, e, 3) // allow, logs and echo are of the last minute
}

// TestCodeCacheFolder: a folder that others can enter or that is another's is
// refused, also when it becomes so; what a dead process left there goes, what a
// living one may work in stays; a temporary one goes with its engine.
func TestCodeCacheFolder(t *testing.T) {
	c := childOf(t)
	dir := filepath.Join(t.TempDir(), "compiled")
	e := newEngine(t, EngineOptions{Compiler: c, CacheDir: dir})
	refused := func(want string) {
		t.Helper()
		if other, err := NewEngine(EngineOptions{Compiler: c, CacheDir: dir}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("NewEngine = %v, %v; want an error with %q", other, err, want)
		}
		err := loadBytes(context.Background(), e, readModule(t, "allow"))
		if failure, ok := errors.AsType[*LoadError](err); !ok || failure.Stage != StageCompile || !strings.Contains(err.Error(), want) {
			t.Errorf("Load = %v, want a *LoadError at %s with %q", err, StageCompile, want)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	refused("0755")
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(dir, 1234, -1); err != nil {
			t.Fatal(err)
		}
		refused("another user")
		if err := os.Chown(dir, 0, -1); err != nil {
			t.Fatal(err)
		}
	}

	dead, living := filepath.Join(dir, jobPrefix+"dead"), filepath.Join(dir, jobPrefix+"living")
	for _, job := range []string{dead, living} {
		if err := os.MkdirAll(filepath.Join(job, "wazero"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(dead, old, old); err != nil {
		t.Fatal(err)
	}
	newEngine(t, EngineOptions{Compiler: c, CacheDir: dir})
	if _, err := os.Stat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a dead process left is there: %v", err)
	}
	if _, err := os.Stat(living); err != nil {
		t.Errorf("what a living process works in: %v", err)
	}

	temporary, err := NewEngine(EngineOptions{Compiler: c})
	if err != nil {
		t.Fatal(err)
	}
	if err := loadBytes(context.Background(), temporary, readModule(t, "allow")); err != nil {
		t.Error(err)
	}
	if err := temporary.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(temporary.compiler.cache.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the temporary cache is there after Close: %v", err)
	}
}
