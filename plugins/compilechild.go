package plugins

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
)

// compileOrder is what a child is told: its last argument, as JSON.
type compileOrder struct {
	// Size is the module's, which comes on standard input.
	Size        int    `json:"size"`
	MemoryPages uint32 `json:"memory_pages"`
	// Memory is in bytes, CPU in seconds.
	Memory int64 `json:"memory"`
	CPU    int64 `json:"cpu"`
}

// compileResult is the line that a child answers with. One that says nothing
// has compiled nothing.
type compileResult struct {
	Done bool `json:"done,omitempty"`
	// Invalid says what is wrong with the module, Fault what else went wrong.
	Invalid string `json:"invalid,omitempty"`
	Fault   string `json:"fault,omitempty"`
}

// A metered module is at most twice as long as the file it is made of.
const maxMetered = 2 * MaxModule

// CompileChild is the whole work of the process that a [Compiler] starts: main
// calls it with the argument that the engine added, and exits with what it
// returns. It sets limits on the process, reads a module from stdin, leaves the
// native code in the working directory and writes one line to stdout.
func CompileChild(args []string, stdin io.Reader, stdout io.Writer) int {
	var result compileResult
	err := compileOrdered(args, stdin)
	var wrong *invalidModule
	switch {
	case err == nil:
		result.Done = true
	case errors.As(err, &wrong):
		result.Invalid = wrong.err.Error()
	default:
		result.Fault = err.Error()
	}
	if err := json.NewEncoder(stdout).Encode(result); err != nil {
		return 1
	}
	return 0
}

// invalidModule is what wazero says of a module that it refuses.
type invalidModule struct{ err error }

func (e *invalidModule) Error() string { return e.err.Error() }

func compileOrdered(args []string, stdin io.Reader) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the compiler gave up: %v", r)
		}
	}()
	if len(args) != 1 {
		return fmt.Errorf("%d arguments; this command is for the policy engine, which gives it one", len(args))
	}
	var o compileOrder
	d := json.NewDecoder(bytes.NewReader([]byte(args[0])))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return fmt.Errorf("the order: %w", err)
	}
	if o.Size < 1 || o.Size > maxMetered || o.Memory < 1 || o.CPU < 1 {
		return fmt.Errorf("the order %+v: size is 1 to %d, memory and cpu are at least 1", o, maxMetered)
	}
	if err := boundSelf(o); err != nil {
		return err
	}
	module := make([]byte, o.Size)
	if _, err := io.ReadFull(stdin, module); err != nil {
		return fmt.Errorf("the module: %w", err)
	}
	cache, err := wazero.NewCompilationCacheWithDir(".")
	if err != nil {
		return err
	}
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, runtimeConfig(wazero.NewRuntimeConfigCompiler(), cache).WithMemoryLimitPages(o.MemoryPages))
	ctx = experimental.WithCompilationWorkers(ctx, runtime.GOMAXPROCS(0))
	// The process ends with the call, so nothing of this is closed.
	if _, err := r.CompileModule(ctx, module); err != nil {
		if ours(err) {
			return err
		}
		return &invalidModule{err}
	}
	return nil
}

// runtimeConfig is what an engine and its children have in common, so that code
// made by one fits the other.
func runtimeConfig(base wazero.RuntimeConfig, cache wazero.CompilationCache) wazero.RuntimeConfig {
	return base.WithCoreFeatures(features).WithCompilationCache(cache)
}
