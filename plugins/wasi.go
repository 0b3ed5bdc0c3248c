package plugins

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"
)

// Error numbers of WASI preview 1.
const (
	wasiOK      = 0
	wasiBadF    = 8
	wasiInval   = 28
	wasiNotSupp = 58
)

// Most parts of one call, so that a number in the guest cannot keep the host
// busy. Go's runtime uses one of each.
const (
	maxIovecs        = 256
	maxSubscriptions = 64
	maxRandom        = 64 << 10
)

// wasiFunctions are the functions of WASI preview 1 that a Go guest imports,
// and no others. They are deterministic: there are no arguments, variables,
// files or directories; wall time stands still; random numbers follow from the
// request; sleeping takes no time but moves the guest's monotonic clock. What
// is written to standard output and error is logged.
//
// Spec: WASI snapshot-01, wasi_snapshot_preview1.
var wasiFunctions = map[string]hostFunction{
	"args_get":            {[]api.ValueType{i32, i32}, []api.ValueType{i32}, wasiNothing},
	"args_sizes_get":      {[]api.ValueType{i32, i32}, []api.ValueType{i32}, wasiSizes},
	"environ_get":         {[]api.ValueType{i32, i32}, []api.ValueType{i32}, wasiNothing},
	"environ_sizes_get":   {[]api.ValueType{i32, i32}, []api.ValueType{i32}, wasiSizes},
	"clock_time_get":      {[]api.ValueType{i32, i64, i32}, []api.ValueType{i32}, wasiClock},
	"random_get":          {[]api.ValueType{i32, i32}, []api.ValueType{i32}, wasiRandom},
	"poll_oneoff":         {[]api.ValueType{i32, i32, i32, i32}, []api.ValueType{i32}, wasiPoll},
	"sched_yield":         {nil, []api.ValueType{i32}, wasiNothing},
	"proc_exit":           {[]api.ValueType{i32}, nil, wasiExit},
	"fd_write":            {[]api.ValueType{i32, i32, i32, i32}, []api.ValueType{i32}, wasiWrite},
	"fd_close":            {[]api.ValueType{i32}, []api.ValueType{i32}, wasiStdOnly},
	"fd_fdstat_get":       {[]api.ValueType{i32, i32}, []api.ValueType{i32}, wasiFdstat},
	"fd_fdstat_set_flags": {[]api.ValueType{i32, i32}, []api.ValueType{i32}, wasiStdOnly},
	"fd_prestat_get":      {[]api.ValueType{i32, i32}, []api.ValueType{i32}, wasiNoFile},
	"fd_prestat_dir_name": {[]api.ValueType{i32, i32, i32}, []api.ValueType{i32}, wasiNoFile},
}

func wasiNothing(_ *guestState, _ api.Module, stack []uint64) { stack[0] = wasiOK }

func wasiNoFile(_ *guestState, _ api.Module, stack []uint64) { stack[0] = wasiBadF }

// wasiStdOnly succeeds for the three standard streams, without any effect.
func wasiStdOnly(_ *guestState, _ api.Module, stack []uint64) {
	if uint32(stack[0]) > 2 {
		stack[0] = wasiBadF
		return
	}
	stack[0] = wasiOK
}

// wasiSizes says that there are no arguments or variables.
func wasiSizes(_ *guestState, mod api.Module, stack []uint64) {
	clear(view(mod, "wasi sizes", uint32(stack[0]), 4))
	clear(view(mod, "wasi sizes", uint32(stack[1]), 4))
	stack[0] = wasiOK
}

func wasiClock(g *guestState, mod api.Module, stack []uint64) {
	out := view(mod, "clock_time_get", uint32(stack[2]), 8)
	switch uint32(stack[0]) {
	case 0: // real time
		binary.LittleEndian.PutUint64(out, uint64(g.nowMS)*1e6)
	case 1: // monotonic
		g.monotonic += monotonicStep
		binary.LittleEndian.PutUint64(out, uint64(g.monotonic))
	default:
		stack[0] = wasiInval
		return
	}
	stack[0] = wasiOK
}

func wasiRandom(g *guestState, mod api.Module, stack []uint64) {
	if uint32(stack[1]) > maxRandom {
		stack[0] = wasiInval
		return
	}
	out := view(mod, "random_get", uint32(stack[0]), uint32(stack[1]))
	g.in.gauge.charge(ticksPerSeed + len(out)/randomPerTick)
	g.fill(out)
	stack[0] = wasiOK
}

// wasiExit ends the call and closes the instance, as proc_exit must not return.
func wasiExit(_ *guestState, mod api.Module, stack []uint64) {
	code := uint32(stack[0])
	_ = mod.CloseWithExitCode(context.Background(), code)
	panic(sys.NewExitError(code))
}

// wasiPoll lets every clock of the list run out at once: the monotonic clock
// moves by the longest wait. Files cannot be waited for.
func wasiPoll(g *guestState, mod api.Module, stack []uint64) {
	const subscription, event = 48, 32
	n := uint32(stack[2])
	if n == 0 || n > maxSubscriptions {
		stack[0] = wasiInval
		return
	}
	g.in.gauge.charge(int(n) * ticksPerClock)
	in := view(mod, "poll_oneoff", uint32(stack[0]), n*subscription)
	out := view(mod, "poll_oneoff", uint32(stack[1]), n*event)
	count := view(mod, "poll_oneoff", uint32(stack[3]), 4)
	le := binary.LittleEndian
	now, latest := g.monotonic, g.monotonic
	var events [maxSubscriptions * event]byte // in and out may overlap
	for i := range n {
		s, e := in[i*subscription:], events[i*event:]
		copy(e, s[:8]) // user data
		e[10] = s[8]   // kind
		if s[8] != 0 {
			le.PutUint16(e[8:], wasiNotSupp)
			continue
		}
		clock, timeout, absolute := le.Uint32(s[16:]), le.Uint64(s[24:]), le.Uint16(s[40:])&1 != 0
		wait := int64(min(timeout, 1<<62))
		if absolute && clock == 0 {
			wait -= min(wait, g.nowMS*1e6)
		} else if absolute {
			wait -= min(wait, now)
		}
		latest = max(latest, now+min(wait, 1<<61-now/2))
	}
	g.monotonic = latest
	copy(out, events[:n*event])
	le.PutUint32(count, n)
	stack[0] = wasiOK
}

// wasiWrite logs what is written to standard output and error.
func wasiWrite(g *guestState, mod api.Module, stack []uint64) {
	fd, ptr, n := uint32(stack[0]), uint32(stack[1]), uint32(stack[2])
	if fd != 1 && fd != 2 {
		stack[0] = wasiBadF
		return
	}
	if n > maxIovecs {
		stack[0] = wasiInval
		return
	}
	var written uint64
	g.in.gauge.charge(int(n) * ticksPerByte)
	vectors := view(mod, "fd_write", ptr, n*8)
	for i := range n {
		le := binary.LittleEndian
		b := view(mod, "fd_write", le.Uint32(vectors[i*8:]), le.Uint32(vectors[i*8+4:]))
		written += uint64(len(b))
		g.in.gauge.charge(min(len(b), maxWritten)*ticksPerByte + len(b)/writtenPerTick)
		g.write(int(fd-1), b)
	}
	if written > 1<<31-1 {
		panic(guestError(fmt.Sprintf("fd_write: %d bytes at once", written)))
	}
	binary.LittleEndian.PutUint32(view(mod, "fd_write", uint32(stack[3]), 4), uint32(written))
	stack[0] = wasiOK
}

// wasiFdstat says that the standard streams are character devices.
func wasiFdstat(_ *guestState, mod api.Module, stack []uint64) {
	if uint32(stack[0]) > 2 {
		stack[0] = wasiBadF
		return
	}
	const characterDevice = 2
	out := view(mod, "fd_fdstat_get", uint32(stack[1]), 24)
	clear(out)
	out[0] = characterDevice
	stack[0] = wasiOK
}
