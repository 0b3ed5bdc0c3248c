package revisions

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/knockgate/knockgate/plugins"
)

// module returns a policy module that passes, of its own digest.
func module(t *testing.T, i int) []byte {
	t.Helper()
	text, err := os.ReadFile("../../../plugins/testdata/pass.wasm")
	if err != nil {
		t.Fatal(err)
	}
	// A custom section: id, size, name, one byte.
	name := fmt.Sprintf("%03d", i)
	return append(slices.Clone(text), append([]byte{0, 5, 3}, name+"."...)...)
}

type kit struct {
	t      *testing.T
	engine *plugins.Engine
	store  *Store
}

func newKit(t *testing.T) *kit {
	e, err := plugins.NewEngine(plugins.EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &kit{t, e, Open(t.TempDir())}
}

// activate puts a chain of the given modules in force and returns its revision.
func (k *kit) activate(configured string, modules ...int) string {
	k.t.Helper()
	var spec plugins.ChainSpec
	for _, i := range modules {
		spec.Policies = append(spec.Policies, plugins.PolicySpec{Name: fmt.Sprint("p", i), Bytes: module(k.t, i)})
	}
	c, err := k.engine.Load(context.Background(), spec, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	defer c.Release()
	if err := k.store.Activate(c, spec, configured); err != nil {
		k.t.Fatal(err)
	}
	return c.Revision()
}

func (k *kit) active() Active {
	k.t.Helper()
	a, err := k.store.Active()
	if err != nil {
		k.t.Fatal(err)
	}
	return a
}

func (k *kit) files(pattern string) []string {
	list, err := filepath.Glob(filepath.Join(k.store.dir, pattern))
	if err != nil {
		k.t.Fatal(err)
	}
	return list
}

func TestActivate(t *testing.T) {
	k := newKit(t)
	if a := k.active(); a != (Active{}) {
		t.Errorf("at first: %+v", a)
	}
	one := k.activate("c1", 1, 2)
	if a := k.active(); a != (Active{Current: one}) {
		t.Errorf("after one: %+v", a)
	}
	k.activate("c1", 1, 2)
	two := k.activate("c2", 2, 3)
	if a := k.active(); a != (Active{Current: two, Previous: one}) {
		t.Errorf("after two: %+v", a)
	}
	if n := len(k.files("modules/*.wasm")); n != 3 {
		t.Errorf("%d modules, want 3: one is shared", n)
	}
	spec, err := k.store.Spec(one)
	if err != nil {
		t.Fatal(err)
	}
	c, err := k.engine.Load(context.Background(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Revision() != one {
		t.Errorf("revision %.12s comes back as %.12s", one, c.Revision())
	}
	c.Release()

	// A rollback against c2 outlives a server that is about to note c2.
	rolled := Active{Current: one, Previous: two, RolledBack: "c2"}
	if err := k.store.SetActive(rolled); err != nil {
		t.Fatal(err)
	}
	k.activate("c2", 2, 3)
	if a := k.active(); a != rolled {
		t.Errorf("a rollback was overwritten: %+v", a)
	}
	// Another configuration ends it, even if it makes the same chain.
	k.activate("c3", 1, 2)
	if a := k.active(); a != (Active{Current: one, Previous: two}) {
		t.Errorf("after the rollback: %+v", a)
	}
	for _, file := range append(k.files("*/*"), k.files("*/*/*")...) {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v; others may not read it", file, info.Mode())
		}
	}
}

// TestPrune: the oldest revisions go past the bounds, never the current one,
// and with them their modules and what a crash left, but not what another
// process is writing.
func TestPrune(t *testing.T) {
	k := newKit(t)
	k.store.revisions = 3
	revisions := []string{}
	for i := range 6 {
		if i == 4 {
			for _, name := range []string{"modules/.new-1", "revisions/.new-2", "revisions/.new-young"} {
				path := filepath.Join(k.store.dir, name)
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				if old := time.Now().Add(-2 * abandoned); !strings.HasSuffix(name, "young") {
					if err := os.Chtimes(path, old, old); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		revisions = append(revisions, k.activate("c", i, 100))
	}
	if n := len(k.files("revisions/*/manifest.json")); n != 3 {
		t.Errorf("%d revisions, want 3", n)
	}
	if n := len(k.files("modules/*")); n != 4 {
		t.Errorf("%d files of modules, want 4: of each revision its own, and the one they share", n)
	}
	left := append(k.files("*/.new-*"), k.files("*/*/.new-*")...)
	if len(left) != 1 || filepath.Base(left[0]) != ".new-young" {
		t.Errorf("left: %v; want only what another process may be about to rename", left)
	}
	a := k.active()
	if a != (Active{Current: revisions[5], Previous: revisions[4]}) {
		t.Errorf("%+v", a)
	}

	// By size: there is room for the current one alone.
	k.store.bytes = 2 * int64(len(module(t, 0)))
	last := k.activate("c", 7, 8)
	if a := k.active(); a != (Active{Current: last}) {
		t.Errorf("with room for one: %+v", a)
	}
	if n := len(k.files("modules/*")); n != 2 {
		t.Errorf("%d modules, want 2", n)
	}
}

func TestDamage(t *testing.T) {
	k := newKit(t)
	r := k.activate("c", 1)
	path := k.store.ManifestFile(r)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(text, ' '), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := k.store.Spec(r); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a changed manifest: %v", err)
	}
	for _, bad := range []string{"{", `{"current":"../../etc"}`} {
		if err := os.WriteFile(k.store.ActiveFile(), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if a, err := k.store.Active(); err == nil {
			t.Errorf("%s: %+v, no error", bad, a)
		}
	}
}

// TestReplacedModule: a file that is another by now is not kept as the one
// that was loaded.
func TestReplacedModule(t *testing.T) {
	k := newKit(t)
	path := filepath.Join(t.TempDir(), "m.wasm")
	if err := os.WriteFile(path, module(t, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := plugins.ChainSpec{Policies: []plugins.PolicySpec{{Name: "p", Module: path}}}
	c, err := k.engine.Load(context.Background(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	if err := os.WriteFile(path, module(t, 2), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.store.Activate(c, spec, "c"); err == nil || !strings.Contains(err.Error(), "replaced while") {
		t.Errorf("err = %v", err)
	}
	if a := k.active(); a != (Active{}) {
		t.Errorf("%+v; want nothing kept", a)
	}
}

// TestHold: a change holds as a rollback does, and is told from it, until it is freed
// or another chain is configured.
func TestHold(t *testing.T) {
	k := newKit(t)
	first := k.activate("A", 1)
	hold := func(by string, i int, was string) string {
		t.Helper()
		spec := plugins.ChainSpec{Policies: []plugins.PolicySpec{{Name: "h", Bytes: module(t, i)}}}
		c, err := k.engine.Load(t.Context(), spec, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
		if err := k.store.Hold(c, spec, was, "A", by); err != nil {
			t.Fatal(err)
		}
		return c.Revision()
	}
	changed := hold(Changed, 2, first)
	want := Active{Current: changed, Previous: first, RolledBack: "A", Held: Changed}
	if a := k.active(); a != want || a.HeldBy("A") != Changed || a.HeldBy("B") != "" {
		t.Errorf("after a change: %+v, want %+v", a, want)
	}
	if spec, err := k.store.Spec(changed); err != nil || len(spec.Policies) != 1 {
		t.Errorf("the chain that is held: %+v, %v", spec, err)
	}
	if k.activate("A", 1); k.active() != want {
		t.Errorf("a reload of what is configured ends the change: %+v", k.active())
	}
	rolled := hold(RolledBack, 3, "none that is kept")
	want = Active{Current: rolled, Previous: changed, RolledBack: "A", Held: RolledBack}
	if a := k.active(); a != want || a.HeldBy("A") != RolledBack {
		t.Errorf("after a rollback: %+v, want %+v", a, want)
	}
	if err := k.store.Free(); err != nil || k.active() != (Active{Current: rolled, Previous: changed}) {
		t.Errorf("freed: %+v, %v", k.active(), err)
	}
	hold(Changed, 2, rolled)
	if r := k.activate("B", 1); k.active() != (Active{Current: r, Previous: changed}) {
		t.Errorf("another chain is configured: %+v", k.active())
	}
	if by := (Active{Current: "x", RolledBack: "A"}).HeldBy("A"); by != RolledBack {
		t.Errorf("what another version has written is held by %q, want %q", by, RolledBack)
	}
}
