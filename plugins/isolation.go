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
	picture   *picture
	laid      bool // the instance's memory is laid on picture
	globals   []api.MutableGlobal
	values    []uint64
	monotonic int64
}

// pageOf is how much memory is compared, and copied, at a time where the platform
// does not say what was written to.
const pageOf = 4096

// keep takes the image, if the policy's isolation needs one. Instances of a
// policy start alike, so most of them share the first one's picture.
func (in *instance) keep() error {
	p := in.policy
	if p.limits.Isolation != IsolationReset {
		return nil
	}
	now, _ := in.mem.Read(0, in.mem.Size())
	if p.picture == nil {
		p.picture = newPicture(now)
	}
	if bytes.Equal(p.picture.bytes, now) {
		in.image.picture = p.picture
		var err error
		if in.image.laid, err = in.memory.lay(p.picture); err != nil {
			return err
		}
	} else {
		in.image.picture = &picture{bytes: bytes.Clone(now)}
	}
	for _, name := range p.globals {
		g := in.mod.ExportedGlobal(name).(api.MutableGlobal)
		in.image.globals = append(in.image.globals, g)
		in.image.values = append(in.image.values, g.Get())
	}
	in.image.monotonic = in.guest.monotonic
	return nil
}

// restore puts the image back, if there is one. It reports false if that cannot
// be done, above all because memory has grown, which no engine makes smaller.
func (in *instance) restore() bool {
	if in.policy.limits.Isolation != IsolationReset {
		return true
	}
	was := in.image.picture.bytes
	now, ok := in.mem.Read(0, in.mem.Size())
	if !ok || len(now) != len(was) {
		return false
	}
	if in.image.laid {
		if err := in.memory.undo(in.image.picture); err != nil {
			in.policy.log.Error("an instance's memory cannot be put back", "err", err)
			return false
		}
	} else {
		compareBack(now, was)
	}
	for i, g := range in.image.globals {
		g.Set(in.image.values[i])
	}
	in.guest.monotonic = in.image.monotonic
	return true
}

// compareBack makes now the same as was, which is as long, and writes only
// where they differ.
func compareBack(now, was []byte) {
	for at := 0; at < len(was); at += pageOf {
		if a, b := now[at:at+pageOf], was[at:at+pageOf]; !bytes.Equal(a, b) {
			copy(a, b)
		}
	}
}
