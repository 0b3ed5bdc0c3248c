package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

func TestChainSpec(t *testing.T) {
	got := chainSpec(config.Policies{Default: "allow", Chain: []config.Policy{{
		Name: "a", Module: "/a.wasm", Settings: []byte("{}"), OnError: "pass", Phases: []string{"send_knock"},
		Rooms: []string{"!r*"}, Origins: []string{"o*"}, Fuel: plugins.MaxFuel, Isolation: "reset",
	}}})
	want := plugins.ChainSpec{Default: abi.Allow, Policies: []plugins.PolicySpec{{
		Name: "a", Module: "/a.wasm", Settings: []byte("{}"), OnError: abi.Pass, Phases: []abi.Phase{abi.SendKnock},
		Rooms: []string{"!r*"}, Origins: []string{"o*"},
		Limits: plugins.Limits{Fuel: plugins.MaxFuel, Isolation: plugins.IsolationReset},
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("specification (-want +got):\n%s", diff)
	}
}
