package plugins

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"github.com/knockgate/knockgate/sdk/abi"
)

// instance is one running module. It belongs to one goroutine at a time, and
// is closed after anything but a good answer.
type instance struct {
	policy *policy
	mod    api.Module
	mem    api.Memory
	decide api.Function
	buffer uint32    // address of abi.MaxFrame bytes
	opa    *opaGuest // nil in a module for the knock ABI
	first  uint32    // bytes of memory when it was new
	calls  uint64

	gauge   gauge
	memory  *mapping // holds mem's bytes; nil: the engine does
	image   image    // what reset puts back
	context callContext
	stack   [7]uint64 // arguments and result of decide

	// guest is what host functions know of the call that is running.
	guest guestState
}

// callContext is the context of every call into an instance. It is made once
// and carries nothing but the instance: fuel bounds its time.
type callContext struct{ in *instance }

type instanceKey struct{}

func (c *callContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c *callContext) Done() <-chan struct{}       { return nil }
func (c *callContext) Err() error                  { return nil }
func (c *callContext) Value(key any) any {
	if key == (instanceKey{}) {
		return c.in
	}
	return nil
}

// startError is a failure to make an instance, with the stage it happened at.
type startError struct {
	stage Stage
	err   error
}

func (e *startError) Error() string { return e.err.Error() }
func (e *startError) Unwrap() error { return e.err }

// start makes an instance that has accepted the settings. It fails with a
// *startError.
func (p *policy) start(ctx context.Context) (in *instance, err error) {
	in = &instance{policy: p}
	in.context.in = in
	stage := StageInstantiate
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("host bug: %v", r)
			p.log.Error("panic while starting an instance", "err", err, "stack", string(debug.Stack()))
		}
		if err == nil {
			p.engine.started.Add(1)
			return
		}
		if in.mod != nil {
			in.close()
		}
		in.memory.free()
		in, err = nil, &startError{stage, err}
	}()
	ctx = context.WithValue(ctx, instanceKey{}, in)
	if p.limits.Isolation == IsolationReset && !p.engine.heapMemory {
		if in.memory = newMapping(); in.memory != nil {
			ctx = experimental.WithMemoryAllocator(ctx, in.memory)
		}
	}

	in.guest.begin(in, "", 0)
	defer in.guest.end()
	mod, err := p.runtime.InstantiateModule(ctx, p.compiled, p.config)
	if err != nil {
		return in, in.guest.startSection(err)
	}
	in.mod = mod
	p.engine.instances.Add(1)
	in.gauge.bind(mod, p.limits.StartFuel)
	if mod.IsClosed() {
		return in, errExits
	}
	if err := in.initialize(ctx); err != nil {
		return in, err
	}
	in.mem = mod.ExportedMemory(abi.ExportMemory)
	in.decide = mod.ExportedFunction(p.kind.decide)
	if err := p.kind.ready(in, ctx); err != nil {
		return in, err
	}
	stage = StageConfigure
	if err := p.kind.configure(in, ctx); err != nil {
		return in, err
	}
	in.first = in.mem.Size()
	return in, in.keep()
}

var errExits = errors.New("it exits while it starts; a policy stays and waits for calls")

// initialize runs _initialize on what fuel the start section has left. wazero
// would do it too, but then a failure takes the globals of the meter along.
func (in *instance) initialize(ctx context.Context) error {
	f := in.mod.ExportedFunction(abi.ExportInitialize)
	if f == nil {
		return nil
	}
	_, err := f.Call(ctx)
	if exit := (*sys.ExitError)(nil); errors.As(err, &exit) {
		return errExits
	} else if err != nil {
		return fmt.Errorf("%s: %w", abi.ExportInitialize, in.guest.explain(err))
	}
	return nil
}

func (in *instance) askBuffer(ctx context.Context) error {
	res, err := in.mod.ExportedFunction(abi.ExportBuffer).Call(ctx, abi.MaxFrame)
	if err != nil {
		return fmt.Errorf("%s: %w", abi.ExportBuffer, in.guest.explain(err))
	}
	in.buffer = uint32(res[0])
	if in.buffer == 0 {
		return fmt.Errorf("%s: has no room for %d bytes", abi.ExportBuffer, abi.MaxFrame)
	}
	if !inside(in.mem, in.buffer, abi.MaxFrame) {
		return fmt.Errorf("%s: %d bytes at %#x are outside its memory of %d bytes",
			abi.ExportBuffer, abi.MaxFrame, in.buffer, in.mem.Size())
	}
	return nil
}

// configure hands over the settings. A policy that was given none gets {}.
func (in *instance) configure(ctx context.Context) error {
	f := in.mod.ExportedFunction(abi.ExportConfigure)
	if f == nil {
		return nil
	}
	settings := in.policy.settings
	if len(settings) == 0 {
		settings = []byte("{}")
	}
	if !in.mem.Write(in.buffer, settings) {
		return fmt.Errorf("%d bytes of settings have no room", len(settings))
	}
	in.gauge.set(in.policy.limits.ConfigureFuel)
	res, err := f.Call(ctx, uint64(len(settings)))
	if err != nil {
		return fmt.Errorf("%s: %w", abi.ExportConfigure, in.guest.explain(err))
	}
	if res[0] == 0 {
		return nil
	}
	b, err := in.result(abi.Unpack(res[0]))
	if err == nil {
		var refused *SettingsError
		if refused, err = parseSettingsErrors(b); err == nil {
			return refused
		}
	}
	return fmt.Errorf("%s: %w", abi.ExportConfigure, err)
}

// ask has the guest judge a frame. With a fault, a is not to be used.
func (in *instance) ask(frame []byte, f *abi.Facts, a *answer) (fault Fault) {
	defer func() {
		if r := recover(); r != nil {
			in.policy.log.Error("panic in host code", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			fault = Fault{FaultHost, fmt.Sprint(r)}
		}
	}()
	in.calls++
	kind := in.policy.kind
	if !kind.put(in, frame) {
		return Fault{FaultHost, "the request frame has no room in a buffer that was checked"}
	}
	in.guest.begin(in, f.RequestID, f.NowMS)
	in.gauge.set(in.policy.limits.Fuel)
	err := in.decide.CallWithStack(&in.context, in.stack[:kind.args])
	in.guest.end()
	switch {
	case in.guest.bug != nil:
		return Fault{FaultHost, fmt.Sprint(in.guest.bug)}
	case err != nil:
		if stopped := in.gauge.stopped(); stopped.Class != FaultNone {
			return stopped
		}
		var exit *sys.ExitError
		if errors.As(err, &exit) {
			return Fault{FaultExit, fmt.Sprintf("the guest exited with code %d", exit.ExitCode())}
		}
		in.policy.log.Warn("guest trapped", "request", f.RequestID, "err", err)
		return Fault{FaultTrap, in.guest.explain(err).Error()}
	}
	return kind.read(in, in.stack[0], a)
}

// put writes a request frame for decide.
func (in *instance) put(frame []byte) bool {
	in.stack[0] = uint64(len(frame))
	return in.mem.Write(in.buffer, frame)
}

// read takes the result of decide apart.
func (in *instance) read(result uint64, a *answer) Fault {
	ptr, size := abi.Unpack(result)
	if ptr == 0 {
		switch v := abi.Verdict(size); v {
		case abi.Allow, abi.Deny, abi.Incompatible, abi.Pass:
			a.reset()
			a.verdict = v
			return Fault{}
		case abi.Error:
			return Fault{FaultError, "the policy answered error and gave no reason"}
		case 0:
			return Fault{FaultResult, "inline verdict 0, which is what a decide that returns nothing gives"}
		}
		return Fault{FaultResult, fmt.Sprintf("inline verdict %d; there are 1 to 4 and 255", size)}
	}
	b, err := in.result(ptr, size)
	if err != nil {
		return Fault{FaultResult, err.Error()}
	}
	if err := parseAnswer(b, a); err != nil {
		return Fault{FaultResult, err.Error()}
	}
	if a.verdict == abi.Error {
		return Fault{FaultError, a.errorText}
	}
	return Fault{}
}

// result returns the bytes of a result in linear memory: a view, good until
// the next call.
func (in *instance) result(ptr, size uint32) ([]byte, error) {
	if size > abi.MaxResult {
		return nil, fmt.Errorf("a result of %d bytes; at most %d", size, abi.MaxResult)
	}
	if ptr == 0 || !inside(in.mem, ptr, size) {
		return nil, fmt.Errorf("a result of %d bytes at %#x, outside memory of %d bytes", size, ptr, in.mem.Size())
	}
	b, ok := in.mem.Read(ptr, size)
	if !ok {
		return nil, errors.New("a result outside memory")
	}
	return b, nil
}

// inside reports whether size bytes at ptr are in memory. The sum does not fit
// 32 bits.
func inside(mem api.Memory, ptr, size uint32) bool {
	return uint64(ptr)+uint64(size) <= uint64(mem.Size())
}

// worn reports whether the instance has served long enough: many calls, or
// memory that has grown past three quarters of its limit, or any call at all
// where each gets a fresh instance.
func (in *instance) worn() bool {
	if in.policy.limits.Isolation == IsolationFresh || in.calls >= in.policy.limits.Calls {
		return true
	}
	size := in.mem.Size()
	return size > in.first && uint64(size) > uint64(in.policy.limits.MemoryPages)*pageSize/4*3
}

const pageSize = 65536

func (in *instance) close() {
	// Closing a module that is closed already is no error; there is no other.
	_ = in.mod.Close(context.Background())
	in.memory.free()
	in.policy.engine.instances.Add(-1)
}

// firstLine returns what wazero says of a trap without the stack below it.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	line = strings.TrimSuffix(line, " (recovered by wazero)")
	return strings.TrimPrefix(line, "wasm error: ")
}
