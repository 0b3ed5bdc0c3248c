package plugins

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/knockgate/knockgate/sdk/abi"
)

// identityJSON returns the canonical JSON of everything that can change what the
// policy answers.
func (p *policy) identityJSON() []byte {
	b := []byte(`{"abi":1,"grants":`)
	b = append(appendList(b, p.grants), `,"limits":{"calls":`...)
	b = strconv.AppendUint(b, p.limits.Calls, 10)
	number := func(key string, n int64) {
		b = append(b, ',', '"')
		b = append(b, key...)
		b = append(b, '"', ':')
		b = strconv.AppendInt(b, n, 10)
	}
	number("configure_fuel", p.limits.ConfigureFuel)
	number("fault_window_us", p.limits.FaultWindow.Microseconds())
	number("faults", int64(p.limits.Faults))
	number("fuel", p.limits.Fuel)
	number("instances", int64(p.limits.Instances))
	b = append(b, `,"isolation":`...)
	b = appendQuoted(b, string(p.limits.Isolation))
	number("memory_pages", int64(p.limits.MemoryPages))
	number("start_fuel", p.limits.StartFuel)
	number("wait_us", p.limits.Wait.Microseconds())
	b = append(b, `},"mode":`...)
	b = appendQuoted(b, string(p.mode))
	b = append(b, `,"module":`...)
	b = appendQuoted(b, p.digest)
	b = append(b, `,"name":`...)
	b = appendQuoted(b, p.name)
	b = append(b, `,"on_error":`...)
	b = appendQuoted(b, p.onError.String())
	b = append(b, `,"origins":`...)
	b = appendList(b, p.scope.origins)
	b = append(b, `,"phases":`...)
	var names []string
	for _, phase := range [...]abi.Phase{abi.MakeKnock, abi.SendKnock} {
		if p.scope.phases == 0 || p.scope.phases>>phase&1 != 0 {
			names = append(names, phase.String())
		}
	}
	b = appendList(b, names)
	b = append(b, `,"rooms":`...)
	b = appendList(b, p.scope.rooms)
	b = append(b, `,"settings":`...)
	if len(p.settings) == 0 {
		b = append(b, "{}"...)
	} else {
		b = append(b, p.settings...)
	}
	return append(b, '}')
}

// chainRevision returns the identity of policies in their order, with the
// verdict when all of them pass.
func chainRevision(policies []*policy, otherwise abi.Verdict) string {
	return digest(manifestJSON(policies, otherwise))
}

// manifestJSON returns what a chain's revision is the SHA-256 of.
func manifestJSON(policies []*policy, otherwise abi.Verdict) []byte {
	b := append([]byte(`{"default":`), '"')
	b = append(b, otherwise.String()...)
	b = append(b, `","policies":[`...)
	for i, p := range policies {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, p.identity...)
	}
	return append(b, ']', '}')
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func appendList(dst []byte, items []string) []byte {
	dst = append(dst, '[')
	for i, s := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendQuoted(dst, s)
	}
	return append(dst, ']')
}

// appendQuoted appends s, which has no control characters, as a JSON string.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}
