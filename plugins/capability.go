package plugins

import (
	"fmt"
	"slices"

	"github.com/knockgate/knockgate/sdk/abi"
)

// Capabilities are what [PolicySpec.Grants] may hold, in order.
var Capabilities = []string{"kv", "lists"}

// needs is the capability that an import of abi.Module needs; every policy may
// import what is not in it.
var needs = map[string]string{
	abi.ImportKVGet:   "kv",
	abi.ImportKVPut:   "kv",
	abi.ImportKVIncr:  "kv",
	abi.ImportListHas: "lists",
}

// checkGrants refuses capabilities that there are none of, or that this host
// does not have.
func (e *Engine) checkGrants(spec *PolicySpec) error {
	for _, g := range spec.Grants {
		switch {
		case !slices.Contains(Capabilities, g):
			return fmt.Errorf("the grant %q; there are %q", g, Capabilities)
		case g == "kv" && e.kv == nil, g == "lists" && e.lists == nil:
			return fmt.Errorf("the grant %q, which this host does not have", g)
		}
	}
	return nil
}

// sortedGrants returns grants in order, each once.
func sortedGrants(grants []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(grants)))
}
