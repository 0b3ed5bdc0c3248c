package plugins

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/knockgate/knockgate/sdk/abi"
)

// ChainSpec says which policies are asked, in which order.
type ChainSpec struct {
	Policies []PolicySpec
	// Default is the verdict when every policy passes: allow or deny. The zero
	// value is deny.
	Default abi.Verdict
}

// PolicySpec is one configured use of a module.
type PolicySpec struct {
	// Name stands in decisions and logs, and is unique in its chain.
	Name string
	// Module is the path of the .wasm file.
	Module string
	// Bytes is the module itself, used when Module is "".
	Bytes []byte
	// Digest pins the module: "sha256:" and 64 hex digits. "" takes any.
	Digest string
	// Verify says who vouches for the module, from its bytes and, if it has one, its
	// path; an error refuses it. It is no part of the policy's revision. nil takes any
	// module.
	Verify func(path string, module []byte) error
	// Settings is a canonical JSON object, or nil for none.
	Settings []byte
	// OnError is the verdict when the policy is at fault: deny, allow or pass.
	// The zero value is deny.
	OnError abi.Verdict
	// Mode is Enforce or Monitor; "" is Enforce.
	Mode Mode
	// Phases, Rooms and Origins are the policy's scope: a knock outside it is
	// not shown to the policy. Empty is no restriction. Rooms and Origins are
	// globs for the whole of a room id and of an origin without its port: * is
	// any text, ? any one character, and ASCII letters match in either case.
	Phases  []abi.Phase
	Rooms   []string
	Origins []string
	// Grants are the capabilities that the policy gets, of Capabilities: its
	// module fails to load if it imports a function of another.
	Grants []string
	// Limits bounds what the policy may use; zero fields are the engine's.
	Limits Limits
}

const (
	maxName   = 64
	maxGlob   = 512
	maxGlobs  = 256
	maxPages  = 65535 // one less than Wasm's own: a size in bytes fits 32 bits
	maxActive = 1024
	maxFaults = 10_000
)

// check returns the first fault of a chain's own values.
func (s *ChainSpec) check() error {
	switch s.Default {
	case 0, abi.Allow, abi.Deny:
	default:
		return &LoadError{Stage: StageSpec, Err: fmt.Errorf("the default is %s; it must be allow or deny", s.Default)}
	}
	if len(s.Policies) > MaxPolicies {
		return &LoadError{Stage: StageSpec, Err: fmt.Errorf("%d policies; at most %d", len(s.Policies), MaxPolicies)}
	}
	seen := map[string]bool{}
	for i := range s.Policies {
		p := &s.Policies[i]
		err := p.check()
		if err == nil && seen[p.Name] {
			err = errors.New("the name stands twice; each policy of a chain has its own")
		}
		if err != nil {
			return &LoadError{Policy: p.Name, Stage: StageSpec, Err: err}
		}
		seen[p.Name] = true
	}
	return nil
}

func (s *PolicySpec) check() error {
	if s.Name == "" || len(s.Name) > maxName || !plain(s.Name) {
		return fmt.Errorf("the name %q; it must be 1 to %d bytes of printable text", s.Name, maxName)
	}
	switch s.OnError {
	case 0, abi.Deny, abi.Allow, abi.Pass:
	default:
		return fmt.Errorf("on_error is %s; it must be deny, allow or pass", s.OnError)
	}
	switch s.Mode {
	case "", Enforce, Monitor:
	default:
		return fmt.Errorf("the mode %q; it must be enforce or monitor", s.Mode)
	}
	if s.Digest != "" && !isDigest(s.Digest) {
		return fmt.Errorf("the digest %q; it must be \"sha256:\" and 64 hex digits in lower case", s.Digest)
	}
	for _, phase := range s.Phases {
		if phase != abi.MakeKnock && phase != abi.SendKnock {
			return fmt.Errorf("the phase %d; there are make_knock (%d) and send_knock (%d)", phase, abi.MakeKnock, abi.SendKnock)
		}
	}
	for _, list := range [][]string{s.Rooms, s.Origins} {
		if len(list) > maxGlobs {
			return fmt.Errorf("%d globs in a scope; at most %d", len(list), maxGlobs)
		}
		for _, g := range list {
			if g == "" || len(g) > maxGlob || !plain(g) {
				return fmt.Errorf("the glob %q; it must be 1 to %d bytes of printable text", g, maxGlob)
			}
		}
	}
	if len(s.Settings) > abi.MaxSettings {
		return fmt.Errorf("%d bytes of settings; at most %d", len(s.Settings), abi.MaxSettings)
	}
	if len(s.Settings) > 0 && (s.Settings[0] != '{' || !json.Valid(s.Settings)) {
		return errors.New("the settings are no JSON object")
	}
	if l := s.Limits; l.MemoryPages > maxPages || l.Instances < 0 || l.Instances > maxActive ||
		l.Faults < 0 || l.Faults > maxFaults || l.FaultWindow < 0 ||
		l.Wait < 0 {
		return fmt.Errorf("the limits %+v; none is negative, memory is at most %d pages, instances at most %d, faults at most %d", l, maxPages, maxActive, maxFaults)
	}
	if l := s.Limits; l.Fuel < 0 || l.Fuel > MaxFuel || min(l.StartFuel, l.ConfigureFuel) < 0 || max(l.StartFuel, l.ConfigureFuel) > MaxStartFuel {
		return fmt.Errorf("the limits %+v; fuel is 0 to %d ticks, that of start and configure 0 to %d", l, MaxFuel, MaxStartFuel)
	}
	switch s.Limits.Isolation {
	case "", IsolationReuse, IsolationReset, IsolationFresh:
	default:
		return fmt.Errorf("the isolation %q; it must be reuse, reset or fresh", s.Limits.Isolation)
	}
	return nil
}

// ParsePhase returns the phase that a word names, "make_knock" or "send_knock".
func ParsePhase(word string) (abi.Phase, bool) {
	for _, phase := range [...]abi.Phase{abi.MakeKnock, abi.SendKnock} {
		if word == phase.String() {
			return phase, true
		}
	}
	return 0, false
}

func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// isDigest reports whether s is "sha256:" and 64 hex digits in lower case.
func isDigest(s string) bool {
	hex, ok := strings.CutPrefix(s, "sha256:")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}
