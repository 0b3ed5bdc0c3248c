package plugins

import (
	"context"
	"fmt"
	"slices"

	"github.com/knockgate/knockgate/plugins/internal/wasmbin"
	"github.com/knockgate/knockgate/sdk/abi"
)

// Inspection is what a module shows without being compiled or run.
type Inspection struct {
	// Digest is what [PolicySpec.Digest] pins.
	Digest string
	// Size is in bytes.
	Size int
	// Metadata is nil if the module has none, or none that is right.
	Metadata *Metadata
	// Imports and Exports have a line each, such as
	// "knock_v1.now_ms () -> i64", in the module's order.
	Imports, Exports []string
	// Capabilities are the grants that the imports need, in order.
	Capabilities []string
	// Stage is the first stage that refuses the module under default limits and
	// with every grant, and Err its reason; nil if none does of those that look
	// at the module alone and come before compiling.
	Stage Stage
	Err   error
}

// Inspect looks at a module, which may be a stranger's.
func Inspect(module []byte) *Inspection {
	in := &Inspection{Digest: "sha256:" + digest(module), Size: len(module)}
	l := &loading{module: module, policy: &policy{grants: Capabilities, limits: Limits{}.withDefaults(Limits{})}}
	if len(module) > MaxModule {
		in.Stage, in.Err = StageSize, fmt.Errorf("larger than %d MiB, which is the most", MaxModule>>20)
		return in
	}
	for _, stage := range stages {
		if stage.name == StageSettings { // from here on it takes a policy
			break
		}
		if err := stage.run(context.Background(), l); err != nil && in.Err == nil {
			in.Stage, in.Err = stage.name, err
		}
		if l.scanned == nil {
			return in
		}
	}
	in.Metadata = l.metadata
	for _, im := range l.scanned.Imports {
		in.Imports = append(in.Imports, described(im.Module+"."+im.Name, &im.Extern))
		if need := needs[im.Name]; im.Module == abi.Module && need != "" && !slices.Contains(in.Capabilities, need) {
			in.Capabilities = append(in.Capabilities, need)
		}
	}
	slices.Sort(in.Capabilities)
	for _, e := range l.scanned.Exports {
		in.Exports = append(in.Exports, described(e.Name, &e.Extern))
	}
	return in
}

// described returns a name and what it is, in one printable line.
func described(name string, e *wasmbin.Extern) string {
	what := kindName(e.Kind)
	if e.Kind == wasmbin.KindFunc {
		what = e.Func.String()
	}
	return escaped([]byte(name)) + " " + what
}
