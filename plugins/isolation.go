package plugins

import (
	"bytes"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/knockgate/knockgate/plugins/internal/wasmbin"
)

// Isolation says what a policy can remember from one knock to the next.
type Isolation string

// The ways to isolate one knock from another. A policy that was cut off, or
// that failed, never answers again in any of them.
const (
	// IsolationReuse keeps instances as the last call left them. What a guest
	// remembers is up to it, and up to which instance the next knock meets.
	IsolationReuse Isolation = "reuse"
	// IsolationReset puts memory and globals back, after each call, to what they
	// were after configure. It is refused for a module that changes what cannot
	// be put back.
	IsolationReset Isolation = "reset"
	// IsolationFresh makes an instance for each call. It costs the start of the
	// guest, which for Go is milliseconds.
	IsolationFresh Isolation = "fresh"
)

// checkIsolation refuses reset for a module with state that is in neither
// memory nor globals, or in globals that the engine cannot set whole.
func checkIsolation(i Isolation, m *wasmbin.Module) error {
	if i != IsolationReset {
		return nil
	}
	if m.Hidden {
		return fmt.Errorf("isolation %q: the code changes tables or drops segments, which cannot be put back; use %q", IsolationReset, IsolationFresh)
	}
	for n, g := range m.Globals {
		switch g.Type {
		case wasmbin.I32, wasmbin.I64, wasmbin.F32, wasmbin.F64:
		default:
			if g.Mutable {
				return fmt.Errorf("isolation %q: global %d is a mutable %s, which cannot be put back; use %q", IsolationReset, n, g.Type, IsolationFresh)
			}
		}
	}
	return nil
}

// image is what an instance was after configure.
type image struct {
	memory    []byte
	globals   []api.MutableGlobal
	values    []uint64
	monotonic int64
}

// pageOf is how much memory is compared, and copied, at a time: most of a
// guest's memory is not touched by a call.
const pageOf = 4096

// keep takes the image, if the policy's isolation needs one. Instances of a
// policy start alike, so most of them share the first one's memory.
func (in *instance) keep() {
	p := in.policy
	if p.limits.Isolation != IsolationReset {
		return
	}
	now, _ := in.mem.Read(0, in.mem.Size())
	if first := p.image.Load(); first != nil && bytes.Equal(*first, now) {
		in.image.memory = *first
	} else {
		in.image.memory = bytes.Clone(now)
		p.image.CompareAndSwap(nil, &in.image.memory)
	}
	for _, name := range p.globals {
		g := in.mod.ExportedGlobal(name).(api.MutableGlobal)
		in.image.globals = append(in.image.globals, g)
		in.image.values = append(in.image.values, g.Get())
	}
	in.image.monotonic = in.guest.monotonic
}

// restore puts the image back, if there is one. It reports false if that cannot
// be done: memory has grown, and an engine cannot make it smaller.
func (in *instance) restore() bool {
	was := in.image.memory
	if in.policy.limits.Isolation != IsolationReset {
		return true
	}
	now, ok := in.mem.Read(0, in.mem.Size())
	if !ok || len(now) != len(was) {
		return false
	}
	for at := 0; at < len(was); at += pageOf {
		if a, b := now[at:at+pageOf], was[at:at+pageOf]; !bytes.Equal(a, b) {
			copy(a, b)
		}
	}
	for i, g := range in.image.globals {
		g.Set(in.image.values[i])
	}
	in.guest.monotonic = in.image.monotonic
	return true
}
