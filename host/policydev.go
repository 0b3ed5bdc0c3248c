package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/author"
	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/policytest"
	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/plugins"
)

func newPolicyDev() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev DIR",
		Short: "Build, test and put in place a policy whenever its source changes",
		Long: `Watches the source of the policy in DIR. Each time it changes, builds it, holds it to
its fixtures, and, if all hold, replaces the module that the configuration names for
it, which a running server with policies.watch takes up at once. A build or a fixture
that fails changes nothing. Below, the decisions of that server as they come.

The policy is the configured one whose module has the name of DIR, or that of --policy.

Exit codes: 0 interrupted, 1 anything else.`,
		Example: "  knockgate policy dev policies/my_rule --config config.toml",
		Args:    cobra.ExactArgs(1),
	}
	path := configFlag(cmd)
	name := cmd.Flags().String("policy", "", "the `name` of the configured policy")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := config.Load(*path)
		if err != nil {
			return err
		}
		module, err := configuredModule(cfg, args[0], *name)
		if err != nil {
			return err
		}
		d := &developer{cmd: cmd, dir: args[0], module: module, out: &lineWriter{w: cmd.OutOrStdout()}}
		return d.run(cmd.Context(), cfg)
	}
	return cmd
}

// configuredModule returns the path of the module that the policy in dir is to be, which
// the configuration names.
func configuredModule(cfg *config.Config, dir, name string) (string, error) {
	own, err := author.Name(dir)
	if err != nil {
		return "", err
	}
	var found []string
	for _, p := range cfg.Policies.Chain {
		switch {
		case name != "" && p.Name != name, name == "" && filepath.Base(p.Module) != own+".wasm":
			continue
		case p.Digest != "":
			return "", fmt.Errorf("%s: policy %s pins its module with digest, so no other one loads; take it out while you work on the policy", cfg.Path, p.Name)
		}
		found = append(found, p.Module)
	}
	found = slices.Compact(found)
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", fmt.Errorf("%s: the modules %s could be meant; choose one with --policy", cfg.Path, strings.Join(found, ", "))
	case name != "":
		return "", fmt.Errorf("%s: there is no policy %q", cfg.Path, name)
	}
	return "", fmt.Errorf("%s: no policy has a module %s.wasm; add\n[[policy]]\nname = %q\nmodule = %q", cfg.Path, own, own, own+"/"+own+".wasm")
}

// lineWriter keeps lines of several goroutines apart.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer // guarded by mu
}

func (l *lineWriter) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, time.Now().Format(time.TimeOnly)+"  "+format+"\n", args...)
}

// Write implements io.Writer, for what a compiler says.
func (l *lineWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// developer is a running "policy dev".
type developer struct {
	cmd    *cobra.Command
	dir    string
	module string // the path that the server loads
	out    *lineWriter
}

func (d *developer) run(ctx context.Context, cfg *config.Config) error {
	d.out.printf("watching %s for %s", d.dir, d.module)
	if !cfg.Policies.Watch {
		d.out.printf("policies.watch is false: send the server SIGHUP after each change")
	}
	ctx, cancel := context.WithCancel(ctx)
	var tail sync.WaitGroup
	tail.Go(func() { d.tail(ctx, cfg) })
	err := d.watch(ctx)
	cancel()
	tail.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// watch builds once, and again after every change, until ctx is done.
func (d *developer) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		files, err := sources(d.dir)
		if err != nil {
			return err
		}
		round, stop := context.WithCancel(ctx)
		err = plugins.Watch(round, files, func() {
			d.rebuild(round)
			// A new file is watched from the next round on.
			if now, err := sources(d.dir); err != nil || !slices.Equal(now, files) {
				stop()
			}
		})
		stop()
		if err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return ctx.Err()
}

// sources returns the files that a policy is made of, and its fixtures.
func sources(dir string) (files []string, err error) {
	made := []string{"target", "node_modules"}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path != dir: // gone meanwhile
			return nil
		case err != nil:
			return err
		case path != dir && (strings.HasPrefix(e.Name(), ".") || slices.Contains(made, e.Name())):
			if e.IsDir() {
				return filepath.SkipDir
			}
		case e.Type().IsRegular() && filepath.Ext(path) != ".wasm" && e.Name() != "Cargo.lock":
			files = append(files, path)
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s: no source of a policy is there", dir)
	}
	return files, err
}

// rebuild builds and tests the policy and puts it in place if all is well. It says what
// became of it; the next change is another try.
func (d *developer) rebuild(ctx context.Context) {
	begin := time.Now()
	temp, err := os.MkdirTemp("", "knockgate-dev-")
	if err != nil {
		d.out.printf("%v", err)
		return
	}
	defer os.RemoveAll(temp)
	built := filepath.Join(temp, filepath.Base(d.module))
	_, _, in, err := buildPolicy(ctx, d.out, d.dir, built)
	if err == nil && in.Err != nil {
		err = fmt.Errorf("a host refuses it: %s: %w", in.Stage, in.Err)
	}
	if err != nil {
		if ctx.Err() == nil {
			d.out.printf("not built: %v", err)
		}
		return
	}
	held, err := d.test(ctx, built)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		d.out.printf("not put in place: %v", err)
		return
	}
	module, err := readWhole(built, plugins.MaxModule)
	if err == nil {
		err = replaceModule(d.module, module)
	}
	if err != nil {
		d.out.printf("not put in place: %v", err)
		return
	}
	d.out.printf("put in place: %d bytes, %.19s, %s, %s", in.Size, in.Digest, held, time.Since(begin).Round(10*time.Millisecond))
}

// test holds a module to the fixtures of the policy, if it has any.
func (d *developer) test(ctx context.Context, module string) (held string, err error) {
	folder := filepath.Join(d.dir, "testdata")
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return "no fixtures", nil
	}
	files, err := policytest.Load(folder)
	if err != nil {
		return "", err
	}
	r, err := policytest.Run(ctx, module, files, policytest.Options{Compiler: childCompiler()})
	if err != nil {
		return "", err
	}
	for _, x := range r.Results {
		for _, diff := range x.Differences {
			d.out.printf("FAIL %s: %s: %s: got %s, want %s", printable(x.File), printable(x.Name), diff.What, strings.ToValidUTF8(diff.Got, "\ufffd"), diff.Want)
		}
	}
	if n := r.Failed(); n > 0 {
		return "", fmt.Errorf("%d of %d fixtures do not hold", n, len(r.Results))
	}
	return fmt.Sprintf("%d fixtures hold", len(r.Results)), nil
}

// tailEvery is how often new decisions are looked for.
const tailEvery = 300 * time.Millisecond

// tail prints decisions as they come, until ctx is done.
func (d *developer) tail(ctx context.Context, cfg *config.Config) {
	file := filepath.Join(cfg.StateDir, storeFile)
	if _, err := os.Stat(file); err != nil {
		d.out.printf("no decisions are shown: there is no store at %s yet; start the server, then this again", file)
		return
	}
	err := func() (err error) {
		st, err := store.Open(ctx, file)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, st.Close()) }()
		newest, err := st.Decisions(ctx, store.DecisionFilter{Limit: 1})
		if err != nil {
			return err
		}
		last := int64(0)
		if len(newest) > 0 {
			last = newest[0].ID
		}
		every := time.NewTicker(tailEvery)
		defer every.Stop()
		for {
			list, err := st.DecisionsAfter(ctx, last, time.Time{})
			if err != nil {
				return err
			}
			for i := range list {
				x := &list[i]
				last = x.ID
				d.out.printf("%s of %s on %s: %s by %s %s %s", x.Phase, printable(x.User), printable(x.Room), verdictAndFault(*x), orDefault(x.Policy), printable(x.Code), printable(x.Message))
			}
			select {
			case <-ctx.Done():
				return nil
			case <-every.C:
			}
		}
	}()
	if err != nil && ctx.Err() == nil {
		d.out.printf("decisions are shown no more: %v", err)
	}
}
