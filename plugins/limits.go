package plugins

import (
	"cmp"
	"runtime"
	"time"
)

// MaxModule is the largest module file, in bytes. The largest real policy seen
// (Go with encoding/json) is 3.3 MB.
const MaxModule = 16 << 20

// The most fuel that limits may set, in ticks. A guest that burns it holds up
// the host's garbage collector for as long.
const (
	MaxFuel      = 5_000_000
	MaxStartFuel = 1_000_000_000
)

// MaxPolicies is the most policies of one chain.
const MaxPolicies = 64

// Limits bounds what one policy may use. The zero value of a field is its
// default.
type Limits struct {
	// MemoryPages caps each instance's linear memory, in pages of 65,536
	// bytes. Default 512, which is 32 MiB.
	MemoryPages uint32
	// Instances is the most instances of the policy at a time. Default twice
	// GOMAXPROCS.
	Instances int
	// Wait is how long a decision waits for an instance before it is a fault
	// of class [FaultOverloaded]. Default 50 ms.
	Wait time.Duration
	// Fuel bounds one call of decide, in ticks: about a nanosecond each, and the
	// same count on every machine. README.md says what a tick is. Default
	// 200,000, at most [MaxFuel].
	Fuel int64
	// StartFuel bounds what comes before the settings in the making of an
	// instance: start section, _initialize and buffer together. Default
	// 10,000,000, at most [MaxStartFuel].
	StartFuel int64
	// ConfigureFuel bounds configure. Default 50,000,000, at most
	// [MaxStartFuel].
	ConfigureFuel int64
	// Isolation says what a policy can remember from one knock to the next.
	// Default [IsolationReuse].
	Isolation Isolation
	// Calls is after how many decisions an instance is replaced by a new one.
	// Default 100,000.
	Calls uint64
	// Faults is after how many faults of its own within FaultWindow the policy
	// rests: its on_error applies at once, with the class [FaultResting], and
	// one knock at a growing interval tries a fresh instance. Defaults 20 and
	// one minute. README.md says what counts.
	Faults      int
	FaultWindow time.Duration
}

// DefaultLimits returns what a policy may use that sets nothing.
func DefaultLimits() Limits { return Limits{}.withDefaults(Limits{}) }

// withDefaults returns l with every zero field set, first from d, then from
// the package's defaults.
func (l Limits) withDefaults(d Limits) Limits {
	return Limits{
		MemoryPages:   cmp.Or(l.MemoryPages, d.MemoryPages, 512),
		Instances:     cmp.Or(l.Instances, d.Instances, 2*runtime.GOMAXPROCS(0)),
		Wait:          cmp.Or(l.Wait, d.Wait, 50*time.Millisecond),
		Fuel:          cmp.Or(l.Fuel, d.Fuel, 200_000),
		StartFuel:     cmp.Or(l.StartFuel, d.StartFuel, 10_000_000),
		ConfigureFuel: cmp.Or(l.ConfigureFuel, d.ConfigureFuel, 50_000_000),
		Isolation:     cmp.Or(l.Isolation, d.Isolation, IsolationReuse),
		Calls:         cmp.Or(l.Calls, d.Calls, 100_000),
		Faults:        cmp.Or(l.Faults, d.Faults, 20),
		FaultWindow:   cmp.Or(l.FaultWindow, d.FaultWindow, time.Minute),
	}
}
