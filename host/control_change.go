package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/knockgate/knockgate/host/internal/admin"
	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/revisions"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// Stage implements [admin.Policies].
func (c *control) Stage(_ context.Context, module, signature []byte) (*admin.Module, error) {
	cfg, err := c.config()
	if err != nil {
		return nil, err
	}
	return c.staged.add(module, signature, cfg.Policies.Signers)
}

// Staged implements [admin.Policies].
func (c *control) Staged(context.Context) ([]admin.Module, error) { return c.staged.list() }

// config returns the configuration as it stands in its file.
func (c *control) config() (*config.Config, error) {
	cfg, err := config.Load(c.cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("%w: the configuration: %w", admin.ErrInvalid, err)
	}
	return cfg, nil
}

// Apply implements [admin.Policies]. The chain is kept as the held one before it is put
// in force, so that what is in force after a crash is what a start loads.
func (c *control) Apply(ctx context.Context, change admin.Change) (revision string, err error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	running := c.gate.Acquire()
	defer running.Release()
	cfg, err := c.config()
	if err != nil {
		return "", err
	}
	l := loaded{configured: configuredDigest(cfg.Policies)}
	if l.spec, l.held, err = c.changed(cfg, running, &change); err != nil {
		return "", err
	}
	if l.chain, err = c.engine.Load(ctx, l.spec, running); err != nil {
		return "", fmt.Errorf("%w: %w", admin.ErrInvalid, err)
	}
	revision = l.chain.Revision()
	if revision == running.Revision() && l.held != "" {
		l.chain.Release()
		return "", fmt.Errorf("%w: the policies are so already", admin.ErrInvalid)
	}
	if l.held != "" {
		err = c.revisions.Hold(l.chain, l.spec, running.Revision(), l.configured, l.held)
	} else {
		err = c.revisions.Free()
	}
	if err != nil {
		l.chain.Release()
		return "", fmt.Errorf("the change is not made, as it cannot be kept: %w", err)
	}
	c.putInForce(l, running, "admin API")
	notifier{c.log}.running(c.status())
	return revision, nil
}

// changed returns the chain that a change makes of the running one, and what then
// holds it against the configuration.
func (c *control) changed(cfg *config.Config, running *plugins.Chain, change *admin.Change) (spec plugins.ChainSpec, held string, err error) {
	if err := checkChange(change); err != nil {
		return spec, "", err
	}
	if is := running.Revision(); change.Revision != is {
		return spec, "", fmt.Errorf("%w: revision %.12s is in force, and the change was thought out for %.12q: look again", admin.ErrConflict, is, change.Revision)
	}
	switch change.Do {
	case "configured":
		return chainSpec(cfg.Policies), "", nil
	case "rollback":
		active, err := c.revisions.Active()
		if err != nil {
			return spec, "", err
		}
		if active.Previous == "" {
			return spec, "", fmt.Errorf("%w: no previous revision is kept: the policies have not changed since the first start", admin.ErrConflict)
		}
		if spec, err = c.revisions.Spec(active.Previous); err != nil {
			return spec, "", fmt.Errorf("the previous revision %.12s: %w", active.Previous, err)
		}
		return spec, revisions.RolledBack, nil
	}
	if spec, err = plugins.ParseManifest(running.Manifest(), c.revisions.ModuleFile); err != nil {
		return spec, "", err
	}
	return spec, revisions.Changed, c.edit(cfg, &spec, change)
}

// checkChange refuses what does not go together, before anything is loaded.
func checkChange(c *admin.Change) error {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%w: the change: %s", admin.ErrInvalid, fmt.Sprintf(format, args...))
	}
	named := c.Do == "add" || c.Do == "replace" || c.Do == "mode" || c.Do == "remove"
	scope := len(c.Grants)+len(c.Phases)+len(c.Rooms)+len(c.Origins)+len(c.Settings) > 0
	switch {
	case !named && c.Do != "rollback" && c.Do != "configured":
		return invalid("do is %.32q; add, replace, mode, remove, rollback or configured", c.Do)
	case c.Revision == "":
		return invalid("revision is missing; it is the one in force when the change was thought out")
	case named != (c.Policy != ""):
		return invalid("policy is the name of the policy to %s, and nothing else takes one", "add, replace or remove, or whose mode changes")
	case c.Module != "" && !revisions.IsDigest(c.Module):
		return invalid("module is %.80q; the 64 hex digits of a module that was uploaded", c.Module)
	case c.Do == "add" && c.Module == "":
		return invalid("module is missing; the digest of a module that was uploaded")
	case c.Module != "" && c.Do != "add" && c.Do != "replace", scope && c.Do != "add" && c.Do != "replace":
		return invalid("module, settings, grants, phases, rooms and origins are for add and replace")
	case c.Mode != "" && (!named || c.Do == "remove"), c.Do == "mode" && c.Mode == "":
		return invalid("mode is for add, replace and mode, which needs it")
	case c.Mode != "" && c.Mode != string(plugins.Monitor) && c.Mode != string(plugins.Enforce):
		return invalid("mode is %.32q; monitor or enforce", c.Mode)
	case c.Before != "" && c.Do != "add":
		return invalid("before is for add")
	}
	return nil
}

// edit makes a change in a chain.
func (c *control) edit(cfg *config.Config, spec *plugins.ChainSpec, change *admin.Change) error {
	find := func(name string) int {
		return slices.IndexFunc(spec.Policies, func(p plugins.PolicySpec) bool { return p.Name == name })
	}
	at := find(change.Policy)
	if change.Do != "add" && at < 0 {
		return fmt.Errorf("%w: no policy in force has the name %.80q", admin.ErrNotFound, change.Policy)
	}
	switch change.Do {
	case "mode":
		spec.Policies[at].Mode = plugins.Mode(change.Mode)
		return nil
	case "remove":
		spec.Policies = slices.Delete(spec.Policies, at, at+1)
		return nil
	case "replace":
		p := spec.Policies[at]
		if change.Mode != "" {
			p.Mode = plugins.Mode(change.Mode)
		}
		if err := c.fill(cfg, spec, &p, change); err != nil {
			return err
		}
		spec.Policies[at] = p
		return nil
	}
	if at >= 0 {
		return fmt.Errorf("%w: a policy in force has the name %.80q already", admin.ErrConflict, change.Policy)
	}
	at = len(spec.Policies)
	if change.Before != "" {
		if at = find(change.Before); at < 0 {
			return fmt.Errorf("%w: no policy in force has the name %.80q", admin.ErrNotFound, change.Before)
		}
	}
	p := plugins.PolicySpec{Name: change.Policy, Mode: cmp.Or(plugins.Mode(change.Mode), plugins.Monitor)}
	if err := c.fill(cfg, spec, &p, change); err != nil {
		return err
	}
	spec.Policies = slices.Insert(spec.Policies, at, p)
	return nil
}

// fill sets what a change says of a policy, and leaves what it does not say. A list
// that is given and empty is no restriction.
func (c *control) fill(cfg *config.Config, spec *plugins.ChainSpec, p *plugins.PolicySpec, change *admin.Change) error {
	if change.Module != "" {
		if err := c.module(cfg, spec, p, change.Module); err != nil {
			return err
		}
	}
	if len(change.Settings) > 0 {
		doc, err := canonicaljson.Parse(change.Settings)
		if err == nil && !doc.Root().IsObject() {
			err = errors.New("must be an object")
		}
		if err != nil {
			return fmt.Errorf("%w: settings: %w", admin.ErrInvalid, err)
		}
		p.Settings = slices.Clone(doc.Bytes())
	}
	for _, list := range []struct{ from, to *[]string }{{&change.Grants, &p.Grants}, {&change.Rooms, &p.Rooms}, {&change.Origins, &p.Origins}} {
		if *list.from != nil {
			*list.to = *list.from
		}
	}
	if change.Phases != nil {
		p.Phases = nil
	}
	for _, name := range change.Phases {
		phase, ok := plugins.ParsePhase(name)
		if !ok {
			return fmt.Errorf("%w: the phase %.32q; %s or %s", admin.ErrInvalid, name, abi.MakeKnock, abi.SendKnock)
		}
		p.Phases = append(p.Phases, phase)
	}
	return nil
}

// module has a policy use a module that is staged, or that another policy in force
// uses. Where the configuration names signers, its signature is looked at again.
func (c *control) module(cfg *config.Config, spec *plugins.ChainSpec, p *plugins.PolicySpec, digest string) error {
	p.Digest = "sha256:" + digest
	if !c.staged.has(digest) {
		for _, other := range spec.Policies {
			if other.Digest == p.Digest {
				p.Module = other.Module
				return nil
			}
		}
		return fmt.Errorf("%w: no module %.12s is staged: upload it", admin.ErrNotFound, digest)
	}
	p.Module = c.staged.file(digest)
	if signers := cfg.Policies.Signers; len(signers) > 0 {
		p.Verify = func(path string, module []byte) error { return verifyModule(path, module, signers) }
	}
	return nil
}

// Reload implements [admin.Server]: it is done by who watches the files, as on SIGHUP.
func (c *control) Reload(ctx context.Context) (string, error) {
	ended := make(chan admin.Reloaded, 1)
	select {
	case c.reloads <- ended:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	select {
	case r := <-ended:
		if !r.OK {
			return "", fmt.Errorf("%w: %s", admin.ErrInvalid, r.Text)
		}
		return r.Text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
