package plugins

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
)

// EngineOptions sets up an [Engine]. The zero value is good.
type EngineOptions struct {
	// Log gets what guests log and what happens to instances. Default: nothing.
	Log *slog.Logger
	// CacheDir keeps compiled modules between runs. It holds native code that
	// is run as it is, so it must be a directory of ours with mode 0700; it is
	// made if it is missing. With a Compiler it is kept below 512 MiB, and "" is a
	// temporary folder; without one it grows, and "" keeps them in memory only.
	CacheDir string
	// Compiler bounds what compiling a module may take. The zero value compiles in
	// this process, which a module within the scan's limits can occupy for minutes
	// and a fault of wazero's compiler can end: good for modules of one's own.
	Compiler Compiler
	// Interpreter runs modules in wazero's interpreter instead of compiling
	// them: many times slower, for platforms without a compiler and for
	// comparison. It has no use for a Compiler.
	Interpreter bool
	// KV and Lists serve the policies that are granted kv and lists. nil refuses
	// such a grant.
	KV    KV
	Lists Lists
	// Record has every decision keep what host functions answered, in
	// [Step.Trace].
	Record bool
	// Monitored gets what policies in monitor mode would have said, from few
	// goroutines of the engine at once. It must not keep its argument, nor take
	// long. nil: nobody is told.
	Monitored func(*MonitorResult)
	// Limits are the defaults of policies that set none.
	Limits Limits
}

// Engine loads chains. It is safe for concurrent use.
type Engine struct {
	log    *slog.Logger
	limits Limits
	config wazero.RuntimeConfig
	cache  wazero.CompilationCache
	// compiler is nil where modules are compiled in this process.
	compiler *compiler
	kv       KV
	lists    Lists
	record   bool
	// unmetered leaves modules as they are. Only tests and benchmarks set it, to
	// show what metering costs.
	unmetered bool
	// heapMemory has reset compare memory in Go's heap, as it does where the
	// platform cannot do better. Only tests and benchmarks set it.
	heapMemory bool
	now        func() time.Time // the breakers' clock; set once, before the first Load

	monitor monitor

	policies, instances, started, discarded, recycled atomic.Int64
}

// NewEngine returns an engine. It fails if CacheDir cannot be trusted.
func NewEngine(o EngineOptions) (*Engine, error) {
	e := &Engine{log: o.Log, limits: o.Limits.withDefaults(Limits{}), kv: o.KV, lists: o.Lists, record: o.Record, now: time.Now}
	e.monitor.report = o.Monitored
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if o.Interpreter {
		o.Compiler = Compiler{}
	}
	if err := e.openCache(o.Compiler, o.CacheDir); err != nil {
		return nil, fmt.Errorf("cache of compiled modules: %w", err)
	}
	config := wazero.NewRuntimeConfigCompiler()
	if o.Interpreter {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	e.config = runtimeConfig(config, e.cache)
	return e, nil
}

// openCache opens the cache of compiled modules, and what fills it.
func (e *Engine) openCache(c Compiler, dir string) (err error) {
	if e.compiler, err = newCompiler(c, dir, e.log); err != nil {
		return err
	}
	switch {
	case e.compiler != nil:
		dir = e.compiler.cache.dir
	case dir == "":
		e.cache = wazero.NewCompilationCache()
		return nil
	default:
		if err := trustedDir(dir); err != nil {
			return err
		}
	}
	if e.cache, err = wazero.NewCompilationCacheWithDir(dir); err != nil {
		return errors.Join(err, e.compiler.close())
	}
	return nil
}

// Close releases what the engine holds. Its chains are released before: it
// returns an error if a policy is still loaded, and then closes nothing.
func (e *Engine) Close(ctx context.Context) error {
	if n := e.policies.Load(); n > 0 {
		return fmt.Errorf("policy engine: %d policies are still loaded", n)
	}
	e.monitor.end()
	if err := errors.Join(e.cache.Close(ctx), e.compiler.close()); err != nil {
		return errors.Join(errors.New("policy engine"), err)
	}
	return nil
}

// Stats counts what an engine has made.
type Stats struct {
	Policies  int64 // loaded and not closed
	Instances int64 // live, idle or busy
	Started   int64 // instances made since the engine began
	Discarded int64 // instances closed because of a fault
	Recycled  int64 // instances closed because of age or memory
	// Monitored are the answers of policies in monitor mode; MonitorDropped
	// the knocks that they were not asked about, because the queue was full.
	Monitored, MonitorDropped int64
}

// Stats returns the engine's counts at this moment.
func (e *Engine) Stats() Stats {
	return Stats{
		Policies:  e.policies.Load(),
		Instances: e.instances.Load(),
		Started:   e.started.Load(),
		Discarded: e.discarded.Load(),
		Recycled:  e.recycled.Load(),

		Monitored:      e.monitor.evaluated.Load(),
		MonitorDropped: e.monitor.dropped.Load(),
	}
}
