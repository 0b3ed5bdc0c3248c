package plugins

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/tetratelabs/wazero"

	"github.com/knockgate/knockgate/plugins/internal/wasmbin"
	"github.com/knockgate/knockgate/sdk/abi"
)

// Load reads, checks, compiles and configures every policy of spec and
// returns their chain, which has one reference: the caller's. It is slow (a Go
// policy compiles for a second or more) and touches nothing that is running.
//
// A policy with the revision of one in previous is taken over with its pool.
// The caller holds a reference to previous, which may be nil, during the call.
//
// The error is a [*LoadError]; it wraps that of ctx if that ended the load.
func (e *Engine) Load(ctx context.Context, spec ChainSpec, previous *Chain) (*Chain, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	for i := range spec.Policies {
		if err := e.checkGrants(&spec.Policies[i]); err != nil {
			return nil, &LoadError{spec.Policies[i].Name, StageSpec, err}
		}
	}
	c := &Chain{engine: e, log: e.log, monitor: &e.monitor, otherwise: abi.Deny, closed: make(chan struct{})}
	if spec.Default == abi.Allow {
		c.otherwise = abi.Allow
	}
	c.refs.Store(1)
	for i := range spec.Policies {
		p, err := e.load(ctx, &spec.Policies[i], previous)
		if err != nil {
			c.Release()
			return nil, err
		}
		c.policies = append(c.policies, p)
		if p.mode == Monitor {
			c.monitored = append(c.monitored, p)
			e.monitor.begin(e)
		} else {
			c.enforced = append(c.enforced, p)
		}
	}
	c.revision = chainRevision(c.policies, c.otherwise)
	return c, nil
}

// loading is a policy on its way through the stages.
type loading struct {
	spec    *PolicySpec
	policy  *policy
	module  []byte          // replaced by meter
	scanned *wasmbin.Module // set by scan
	file    string          // how the module is called in errors

	metadata *Metadata // set by readMetadata, nil if there is none
}

// stages is the load pipeline. Each stage leaves what it made in the loading's
// policy, which is closed if a later one fails.
var stages = []struct {
	name Stage
	run  func(context.Context, *loading) error
}{
	{StageScan, scan},
	{StageImports, checkImports},
	{StageExports, checkExports},
	{StageMetadata, readMetadata},
	{StageSettings, checkSettings},
	{StageMeter, meter},
	{StageCompile, compile},
	{StageInstantiate, instantiate}, // and StageConfigure, by its *startError
}

func (e *Engine) load(ctx context.Context, spec *PolicySpec, previous *Chain) (*policy, error) {
	l := &loading{spec: spec, file: spec.Module}
	if l.file == "" {
		l.file = "the module"
	}
	if stage, err := l.read(); err != nil {
		return nil, &LoadError{spec.Name, stage, err}
	}
	p := e.newPolicy(spec, l.module)
	if pin := "sha256:" + p.digest; spec.Digest != "" && spec.Digest != pin {
		return nil, &LoadError{spec.Name, StageDigest, fmt.Errorf("%s: its digest is %s, pinned is %s; put the pinned module back, or pin this one", l.file, pin, spec.Digest)}
	}
	if spec.Verify != nil {
		if err := spec.Verify(spec.Module, l.module); err != nil {
			return nil, &LoadError{spec.Name, StageSignature, err}
		}
	}
	if old := previous.find(p.revision); old != nil {
		old.retain()
		return old, nil
	}
	l.policy = p
	p.refs.Store(1)
	e.policies.Add(1)
	for _, stage := range stages {
		name := stage.name
		err := ctx.Err()
		if err == nil {
			err = stage.run(ctx, l)
		}
		if start, ok := errors.AsType[*startError](err); ok {
			name, err = start.stage, start.err
		}
		if err != nil {
			p.release()
			return nil, &LoadError{spec.Name, name, fmt.Errorf("%s: %w", l.file, err)}
		}
	}
	return p, nil
}

// read fills in the module's bytes.
func (l *loading) read() (Stage, error) {
	l.module = l.spec.Bytes
	if l.spec.Module != "" {
		// Before it is opened: a named pipe would wait for a writer.
		if info, err := os.Stat(l.spec.Module); err != nil {
			return StageRead, missing(err)
		} else if !info.Mode().IsRegular() {
			return StageRead, fmt.Errorf("%s: not a file; name the .wasm file itself", l.file)
		}
		f, err := os.Open(l.spec.Module)
		if err != nil {
			return StageRead, missing(err)
		}
		defer f.Close()
		// One byte more than allowed is read, so that a file that grows under
		// our hands is caught like one that is too large.
		if l.module, err = io.ReadAll(io.LimitReader(f, MaxModule+1)); err != nil {
			return StageRead, err
		}
	}
	if len(l.module) > MaxModule {
		return StageSize, fmt.Errorf("%s: larger than %d MiB, which is the most", l.file, MaxModule>>20)
	}
	return "", nil
}

func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; build the policy, or correct the path", err)
	}
	return err
}

func (e *Engine) newPolicy(spec *PolicySpec, module []byte) *policy {
	p := &policy{
		engine:   e,
		log:      e.log.With("policy", spec.Name),
		name:     spec.Name,
		settings: slices.Clone(spec.Settings),
		onError:  spec.OnError,
		mode:     cmp.Or(spec.Mode, Enforce),
		scope:    scope{rooms: slices.Clone(spec.Rooms), origins: slices.Clone(spec.Origins)},
		grants:   sortedGrants(spec.Grants),
		limits:   spec.Limits.withDefaults(e.limits),
	}
	if p.onError == 0 {
		p.onError = abi.Deny
	}
	p.breaker.init(p.limits, e.now)
	for _, phase := range spec.Phases {
		p.scope.phases |= 1 << phase
	}
	sum := sha256.Sum256(module)
	p.digest = hex.EncodeToString(sum[:])
	p.identity = p.identityJSON()
	p.revision = digest(p.identity)
	return p
}

// compile validates the module and makes native code of it.
func compile(ctx context.Context, l *loading) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the compiler gave up: %v", r)
		}
	}()
	p := l.policy
	config := p.engine.config.WithMemoryLimitPages(p.limits.MemoryPages)
	p.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	if err := addHostModules(ctx, p.runtime, p.kind.functions); err != nil {
		return err
	}
	if p.compiled, err = p.engine.compiler.compile(ctx, p.runtime, l.module, p.limits.MemoryPages); err != nil {
		return err
	}
	p.config = wazero.NewModuleConfig().WithName("").WithStartFunctions() // see start
	return nil
}

// instantiate makes the first instance, which is the one that the pool keeps
// warm.
func instantiate(ctx context.Context, l *loading) error {
	p := l.policy
	if name := p.kind.settings; name != "" && p.compiled.ExportedFunctions()[name] == nil && len(p.settings) > len("{}") {
		return &startError{StageConfigure, fmt.Errorf("the policy takes no settings (it exports no %s); leave them out", name)}
	}
	in, err := p.start(ctx)
	if err != nil {
		return err
	}
	p.pool.open(p)
	p.pool.push(in)
	return nil
}
