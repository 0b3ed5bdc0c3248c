package plugins

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/knockgate/knockgate/sdk/abi"
)

// Manifest returns the canonical JSON of everything that can change one of the
// chain's decisions. The chain's revision is its SHA-256. With the modules, by
// their digests, it is enough to load the chain again.
func (c *Chain) Manifest() []byte {
	if c == nil {
		return nil
	}
	return manifestJSON(c.policies, c.otherwise)
}

// manifest is the shape of manifestJSON.
type manifest struct {
	Default  string `json:"default"`
	Policies []struct {
		ABI    int      `json:"abi"`
		Grants []string `json:"grants"`
		Limits struct {
			Calls         uint64    `json:"calls"`
			ConfigureFuel int64     `json:"configure_fuel"`
			Fuel          int64     `json:"fuel"`
			StartFuel     int64     `json:"start_fuel"`
			Isolation     Isolation `json:"isolation"`
			FaultWindowUS int64     `json:"fault_window_us"`
			Faults        int       `json:"faults"`
			Instances     int       `json:"instances"`
			MemoryPages   uint32    `json:"memory_pages"`
			WaitUS        int64     `json:"wait_us"`
		} `json:"limits"`
		Mode     Mode            `json:"mode"`
		Module   string          `json:"module"`
		Name     string          `json:"name"`
		OnError  string          `json:"on_error"`
		Origins  []string        `json:"origins"`
		Phases   []string        `json:"phases"`
		Rooms    []string        `json:"rooms"`
		Settings json.RawMessage `json:"settings"`
	} `json:"policies"`
}

// ParseManifest returns the chain that a manifest describes. module returns
// the path of the module with a digest of 64 hex digits, to which the policy is
// pinned. It refuses what it does not know, which a later version may have
// written.
func ParseManifest(b []byte, module func(digest string) string) (ChainSpec, error) {
	var m manifest
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	err := dec.Decode(&m)
	if err == nil && dec.Decode(new(any)) != io.EOF {
		err = errors.New("text after the object")
	}
	if err != nil {
		return ChainSpec{}, fmt.Errorf("manifest: %w", err)
	}
	var spec ChainSpec
	var ok bool
	if spec.Default, ok = abi.ParseVerdict(m.Default); !ok {
		return ChainSpec{}, fmt.Errorf("manifest: the default %q", m.Default)
	}
	for _, p := range m.Policies {
		us := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
		policy := PolicySpec{
			Name: p.Name, Digest: "sha256:" + p.Module, Settings: p.Settings, Mode: p.Mode,
			Rooms: p.Rooms, Origins: p.Origins, Grants: p.Grants,
			Limits: Limits{
				MemoryPages: p.Limits.MemoryPages, Instances: p.Limits.Instances, Calls: p.Limits.Calls,
				Wait: us(p.Limits.WaitUS), Fuel: p.Limits.Fuel, StartFuel: p.Limits.StartFuel,
				ConfigureFuel: p.Limits.ConfigureFuel, Isolation: p.Limits.Isolation,
				Faults: p.Limits.Faults, FaultWindow: us(p.Limits.FaultWindowUS),
			},
		}
		if p.ABI != 1 {
			return ChainSpec{}, fmt.Errorf("manifest: policy %q: ABI %d; this version knows 1", p.Name, p.ABI)
		}
		if !isDigest(policy.Digest) {
			return ChainSpec{}, fmt.Errorf("manifest: policy %q: the digest %q", p.Name, p.Module)
		}
		policy.Module = module(p.Module)
		if policy.OnError, ok = abi.ParseVerdict(p.OnError); !ok {
			return ChainSpec{}, fmt.Errorf("manifest: policy %q: on_error %q", p.Name, p.OnError)
		}
		for _, name := range p.Phases {
			phase, ok := ParsePhase(name)
			if !ok {
				return ChainSpec{}, fmt.Errorf("manifest: policy %q: the phase %q", p.Name, name)
			}
			policy.Phases = append(policy.Phases, phase)
		}
		if len(policy.Phases) == 0 {
			return ChainSpec{}, fmt.Errorf("manifest: policy %q: no phases", p.Name)
		}
		spec.Policies = append(spec.Policies, policy)
	}
	return spec, spec.check()
}
