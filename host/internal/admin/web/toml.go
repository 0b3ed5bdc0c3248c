package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/knockgate/knockgate/host/internal/admin"
)

// policyTOML is a policy as the configuration has it.
type policyTOML struct {
	Name     string         `toml:"name"`
	Module   string         `toml:"module"`
	Digest   string         `toml:"digest"`
	OnError  string         `toml:"on_error,omitempty"`
	Mode     string         `toml:"mode"`
	Phases   []string       `toml:"phases,omitempty"`
	Rooms    []string       `toml:"rooms,omitempty"`
	Origins  []string       `toml:"origins,omitempty"`
	Grants   []string       `toml:"grants,omitempty"`
	Settings map[string]any `toml:"settings,omitempty"`
}

// asTOML returns a chain as the [[policy]] tables that make it. Where the modules
// lie is not known here: each is named after its policy.
func asTOML(policies []admin.PolicyState) (string, error) {
	var all struct {
		Policy []policyTOML `toml:"policy"`
	}
	for _, p := range policies {
		t := policyTOML{
			Name: p.Name, Module: p.Name + ".wasm", Digest: "sha256:" + p.Module, OnError: p.OnError, Mode: p.Mode,
			Phases: p.Phases, Rooms: p.Rooms, Origins: p.Origins, Grants: p.Grants,
		}
		if len(p.Settings) > 0 {
			decoder := json.NewDecoder(bytes.NewReader(p.Settings))
			decoder.UseNumber()
			if err := decoder.Decode(&t.Settings); err != nil {
				return "", fmt.Errorf("the settings of %s: %w", p.Name, err)
			}
			tomlObject(t.Settings)
		}
		all.Policy = append(all.Policy, t)
	}
	var b strings.Builder
	encoder := toml.NewEncoder(&b)
	encoder.Indent = ""
	if err := encoder.Encode(all); err != nil {
		return "", fmt.Errorf("the policies as TOML: %w", err)
	}
	return escaped(b.String(), true), nil
}

// tomlObject makes JSON numbers whole ones where they are, and leaves out nulls, which
// TOML does not have.
func tomlObject(m map[string]any) {
	for key, value := range m {
		if value == nil {
			delete(m, key)
			continue
		}
		m[key] = tomlValue(value)
	}
}

func tomlValue(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // was read as a number
		return f
	case map[string]any:
		tomlObject(v)
	case []any:
		kept := v[:0]
		for _, each := range v {
			if each != nil {
				kept = append(kept, tomlValue(each))
			}
		}
		return kept
	}
	return value
}
