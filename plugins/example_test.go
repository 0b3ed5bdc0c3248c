package plugins_test

import (
	"context"
	"fmt"
	"log"

	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// A chain of two policies judges a knock: the first has no opinion, the second
// refuses.
func Example() {
	ctx := context.Background()
	engine, err := plugins.NewEngine(plugins.EngineOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close(ctx)

	chain, err := engine.Load(ctx, plugins.ChainSpec{
		Policies: []plugins.PolicySpec{
			{Name: "undecided", Module: "testdata/pass.wasm"},
			{Name: "closed", Module: "testdata/deny_message.wasm"},
		},
		Default: abi.Allow,
	}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer chain.Release()

	var d plugins.Decision
	chain.Evaluate(ctx, &abi.Facts{Phase: abi.MakeKnock, RoomID: "!room:here.example", UserID: "@alice:there.example"}, &d)
	fmt.Printf("%s by %s: %q (code %s)\n", d.Verdict, d.Policy, d.Message, d.Code)
	for _, step := range d.Steps {
		fmt.Println(step.Policy, step.Verdict)
	}
	// Output:
	// deny by closed: "not today" (code closed)
	// undecided pass
	// closed deny
}

// A gate lets a chain be replaced while decisions are made: each runs to its
// end in the chain that it began in.
func ExampleGate() {
	ctx := context.Background()
	engine, err := plugins.NewEngine(plugins.EngineOptions{})
	if err != nil {
		log.Fatal(err)
	}
	load := func(module string, previous *plugins.Chain) *plugins.Chain {
		chain, err := engine.Load(ctx, plugins.ChainSpec{
			Policies: []plugins.PolicySpec{{Name: "door", Module: module}},
		}, previous)
		if err != nil {
			log.Fatal(err)
		}
		return chain
	}

	gate := plugins.NewGate(load("testdata/allow.wasm", nil))
	decide := func() {
		chain := gate.Acquire()
		defer chain.Release()
		var d plugins.Decision
		chain.Evaluate(ctx, &abi.Facts{Phase: abi.SendKnock}, &d)
		fmt.Println(d.Verdict)
	}
	decide()
	running := gate.Acquire()
	gate.Swap(load("testdata/deny_message.wasm", running))
	running.Release()
	decide()
	if err := gate.Close(ctx); err != nil {
		log.Fatal(err)
	}
	decide()
	fmt.Println(engine.Stats().Policies, engine.Close(ctx))
	// Output:
	// allow
	// deny
	// deny
	// 0 <nil>
}

// What is wrong with a policy is told by its name, the stage of the load and
// the reason.
func ExampleEngine_Load() {
	engine, err := plugins.NewEngine(plugins.EngineOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close(context.Background())
	for _, module := range []string{"testdata/allow.wat", "testdata/unknown_import.wasm", "testdata/abi_2.wasm", "testdata/refuses_settings.wasm"} {
		_, err := engine.Load(context.Background(), plugins.ChainSpec{
			Policies: []plugins.PolicySpec{{Name: "mine", Module: module}},
		}, nil)
		fmt.Println(err)
	}
	// Output:
	// policy mine: scan: testdata/allow.wat: not a WebAssembly module (it starts with ";; Allows every ")
	// policy mine: imports: testdata/unknown_import.wasm: imports "env.abort", which is not granted; there are the modules knock_v1, wasi_snapshot_preview1
	// policy mine: exports: testdata/abi_2.wasm: built for another ABI: exports "knock_v2_decide"; this host knows knock_v1_decide: build it with the SDK of this version
	// policy mine: configure: testdata/refuses_settings.wasm: the policy refuses its settings: rules[0].min: must be a number; no rule is left
}
