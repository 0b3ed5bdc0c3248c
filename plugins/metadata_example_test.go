package plugins_test

import (
	"fmt"
	"log"
	"os"

	"github.com/knockgate/knockgate/plugins"
)

// A build writes what the policy is into its module; whoever has the module
// reads it, and can check settings, without running it.
func ExampleAnnotate() {
	module, err := os.ReadFile("testdata/echo.wasm")
	if err != nil {
		log.Fatal(err)
	}
	module, err = plugins.Annotate(module, []byte(`{
		"name": "echo", "version": "1.0", "description": "Answers with its settings.",
		"settings": {"type": "object", "additionalProperties": false, "properties": {
			"verdict": {"enum": ["allow", "deny"], "default": "deny"}
		}}
	}`))
	if err != nil {
		log.Fatal(err)
	}

	m, err := plugins.ReadMetadata(module)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Name, m.Version)
	for _, s := range m.Table() {
		fmt.Println(s.Path, s.Kind, s.Allowed, s.Default)
	}
	fmt.Println(m.CheckSettings([]byte(`{"verdict":"maybe","verdcit":"allow"}`)))
	// Output:
	// echo 1.0
	// verdict a text ["allow" "deny"] "deny"
	// the policy refuses its settings: verdcit: unknown setting, set to "allow"; did you mean verdict? known here: verdict; verdict: must be one of "allow", "deny", not "maybe"
}

// What a module needs can be seen before it is trusted with anything.
func ExampleInspect() {
	module, err := os.ReadFile("testdata/kv_counter.wasm")
	if err != nil {
		log.Fatal(err)
	}
	in := plugins.Inspect(module)
	fmt.Println(in.Capabilities, in.Err)
	// Output:
	// [kv] <nil>
}
