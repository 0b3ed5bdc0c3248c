package plugins

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
)

// Compiler says how an engine compiles modules in a child process, so that one
// that takes too much time or memory, or breaks wazero's compiler, ends that
// process and not this one. It needs Linux; elsewhere the engine compiles by
// itself and logs so.
type Compiler struct {
	// Command is a program and its first arguments, such as our own binary with a
	// subcommand. The engine adds one argument, and the program passes that on to
	// [CompileChild]. The path is absolute, or a name to look up in PATH. Empty:
	// modules are compiled in this process, with nothing but the scan to bound it.
	Command []string
	// Memory is what the child may take beside what it begins with, in bytes.
	// Default 1 GiB.
	Memory int64
	// CPU is the processor time it may take, rounded up to seconds. Default 60 s.
	CPU time.Duration
	// Deadline is the time that it may take by the clock, also on a machine that is
	// busy. Default 5 min.
	Deadline time.Duration
}

// withDefaults returns c with every zero field set.
func (c Compiler) withDefaults() Compiler {
	c.Memory = cmp.Or(max(c.Memory, 0), 1<<30)
	c.CPU = cmp.Or(max(c.CPU, 0), time.Minute)
	c.Deadline = cmp.Or(max(c.Deadline, 0), 5*time.Minute)
	c.CPU = (c.CPU + time.Second - 1).Truncate(time.Second)
	return c
}

// compiler compiles the modules of an engine: in child processes, or in this
// one if it is nil.
type compiler struct {
	Compiler
	cache *codeCache
	log   *slog.Logger
	// turn is held by the load that has a child: one at a time, so that they take
	// the memory of one, and that a module is not compiled twice.
	turn chan struct{}
}

// newCompiler returns an engine's compiler, nil if it has none. dir is where
// code is kept; "" makes a folder that close removes.
func newCompiler(c Compiler, dir string, log *slog.Logger) (*compiler, error) {
	if len(c.Command) == 0 {
		return nil, nil
	}
	if !canBoundChild {
		log.Warn("modules are compiled in this process, bounded by the scan alone: a child process with limits needs Linux", "os", runtime.GOOS)
		return nil, nil
	}
	c = c.withDefaults()
	cache, err := openCodeCache(dir, max(time.Hour, 2*c.Deadline))
	if err != nil {
		return nil, err
	}
	return &compiler{Compiler: c, cache: cache, log: log, turn: make(chan struct{}, 1)}, nil
}

// compile validates a module and makes native code of it, or takes what was made
// before. It returns ctx's error if that ended it.
//
// With a child, wazero sees no module in this process before a child has
// come through it alive, and compiles none here whatever happens.
func (c *compiler) compile(ctx context.Context, r wazero.Runtime, module []byte, pages uint32) (wazero.CompiledModule, error) {
	if c == nil {
		// With workers, the end of ctx is seen between two functions.
		compiled, err := r.CompileModule(experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0)), module)
		if err != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil && strings.Contains(err.Error(), "compilationcache: ") {
			return nil, fmt.Errorf("the cache of compiled modules is damaged; empty it: %w", err)
		}
		return compiled, invalid(err)
	}
	sum := sha256.Sum256(module)
	name := hex.EncodeToString(sum[:])
	if compiled := c.kept(ctx, r, module, name); compiled != nil {
		return compiled, nil
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	// Another load may have had the same module compiled meanwhile.
	if compiled := c.kept(ctx, r, module, name); compiled != nil {
		return compiled, nil
	}
	dir, err := c.cache.newJob()
	if err != nil {
		return nil, err
	}
	defer c.cache.endJob(dir)
	if err := c.runChild(ctx, dir, module, pages); err != nil {
		return nil, err
	}
	if err := c.cache.keep(dir, name); err != nil {
		return nil, err
	}
	compiled, err := cachedOnly(ctx, r, module)
	if errors.Is(err, errNotCached) {
		c.cache.drop(name)
		return nil, fmt.Errorf("the code that %s made is not what this program looks for; is that another version of it? Then restart this one", c.Command[0])
	}
	return compiled, invalid(err)
}

// kept returns the module from the cache, nil if it is not there. What cannot
// be read is dropped: a child makes it anew.
func (c *compiler) kept(ctx context.Context, r wazero.Runtime, module []byte, name string) wazero.CompiledModule {
	if !c.cache.has(name) {
		return nil
	}
	compiled, err := cachedOnly(ctx, r, module)
	if err != nil {
		c.log.Debug("compiled module is made anew", "module", name, "err", err)
		c.cache.drop(name)
		return nil
	}
	return compiled
}

func invalid(err error) error {
	if err != nil {
		return fmt.Errorf("not a valid module: %w", err)
	}
	return nil
}

// close removes what the compiler keeps on disk, if that is its own.
func (c *compiler) close() error {
	if c == nil {
		return nil
	}
	return c.cache.close()
}

// errNotCached ends a compilation that was not to begin.
var errNotCached = errors.New("not in the cache of compiled modules")

// cachedOnly returns a module whose code is in r's cache, and errNotCached if it
// is not: wazero's workers look at their context before each function, and
// this one is done from the start (TestCachedOnly).
func cachedOnly(ctx context.Context, r wazero.Runtime, module []byte) (wazero.CompiledModule, error) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	cancel(errNotCached)
	return r.CompileModule(experimental.WithCompilationWorkers(ctx, 2), module)
}
