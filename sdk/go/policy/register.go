package policy

import (
	"encoding/binary"

	"github.com/knockgate/knockgate/sdk/abi"
)

// DecideFunc judges one knock.
type DecideFunc = func(k *Knock) Verdict

// ConfigureFunc reads a policy's settings and returns the function that
// decides. A setting that is wrong is told with the methods of s (most do it
// themselves); the returned function is then not used and may be nil.
type ConfigureFunc = func(s *Settings) DecideFunc

// registered is what the module's init functions handed over.
var registered ConfigureFunc

// Decide registers a policy without settings. Call it from an init function.
// Settings in the configuration are then refused when the policy is loaded.
//
// It panics if the module has registered a policy already.
func Decide(f DecideFunc) {
	Configure(func(*Settings) DecideFunc { return f })
}

// Configure registers a policy with settings. Call it from an init function.
// The host calls f once for each instance, off the path of requests.
//
// It panics if the module has registered a policy already.
func Configure(f ConfigureFunc) {
	if registered != nil {
		panic("policy: a module holds one policy")
	}
	registered = f
}

// Load applies settings, a JSON object or nothing, to a policy and returns the
// function that decides. The error is a [SettingsError]. It is what the host
// does for each instance, for a policy's own tests.
func Load(f ConfigureFunc, settings []byte) (DecideFunc, error) {
	if len(settings) == 0 {
		settings = []byte("{}")
	}
	if len(settings) > abi.MaxSettings {
		return nil, SettingsError{{Message: "the settings are too large"}}
	}
	root, err := parseSettings(settings)
	if err != nil {
		return nil, SettingsError{{Message: err.Error()}}
	}
	s := newSettings(root)
	decide := f(s)
	s.finish()
	if len(s.report.errs) > 0 {
		return nil, s.report.errs
	}
	if decide == nil {
		return nil, SettingsError{{Message: "the policy returned no function that decides"}}
	}
	return decide, nil
}

// instance is one loaded policy with its buffers, which live as long as it.
type instance struct {
	decide  DecideFunc // nil until settings are accepted
	refused bool       // settings were refused
	knock   Knock
	input   [abi.MaxFrame]byte
	output  [abi.MaxResult]byte
}

// configure applies the settings in the first n bytes of the input. It returns
// nil if they are accepted, else the JSON object with the errors.
func (in *instance) configure(f ConfigureFunc, n uint32) []byte {
	in.decide = nil
	var err error
	if n > uint32(len(in.input)) {
		err = SettingsError{{Message: "the settings are too large"}}
	} else {
		in.decide, err = Load(f, in.input[:n])
	}
	if in.refused = err != nil; !in.refused {
		return nil
	}
	return appendErrors(in.output[:0], err.(SettingsError))
}

// run judges the frame in the first n bytes of the input. It returns a nil
// result if the verdict is inline.
func (in *instance) run(f ConfigureFunc, n uint32) (result []byte, kind abi.Verdict) {
	if in.decide == nil && !in.refused {
		in.configure(f, 0) // a host that gives no settings means {}
	}
	if in.decide == nil {
		return appendResult(in.output[:0], Error("the policy has not accepted its settings")), abi.Error
	}
	if n > uint32(len(in.input)) {
		return nil, abi.Error
	}
	in.knock.frame = abi.Frame(in.input[:n:n])
	if !whole(in.knock.frame) {
		return appendResult(in.output[:0], Error("the request frame is not valid")), abi.Error
	}
	v := in.decide(&in.knock)
	if v.inline() {
		return nil, v.Kind
	}
	return appendResult(in.output[:0], v), v.Kind
}

// whole reports whether a frame has its header and its table. It leaves out the
// rest of abi.Frame.Valid, which would cost as much as a simple policy: a field
// outside the frame stops the instance on Go's own bounds check.
func whole(f abi.Frame) bool {
	if len(f) < abi.FrameHeader {
		return false
	}
	le := binary.LittleEndian
	return le.Uint32(f) == abi.FrameMagic && uint64(le.Uint32(f[4:])) == uint64(len(f)) &&
		abi.FrameHeader+uint64(le.Uint32(f[12:]))*abi.FieldEntry <= uint64(len(f))
}
