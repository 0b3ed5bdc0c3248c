package plugins

import (
	"fmt"
	"strings"
)

// Stage is a step of the load pipeline.
type Stage string

// The stages, in their order.
const (
	StageSpec        Stage = "spec"        // names, on_error, scope, limits, the settings' shape
	StageRead        Stage = "read"        // the file
	StageSize        Stage = "size"        // at most MaxModule bytes
	StageDigest      Stage = "digest"      // the module that the configuration pins
	StageSignature   Stage = "signature"   // who vouches for the module
	StageScan        Stage = "scan"        // a Wasm module within limits that keep the compiler safe
	StageImports     Stage = "imports"     // nothing asked for that was not granted
	StageExports     Stage = "exports"     // what the ABI asks for, and memory within its limit
	StageMetadata    Stage = "metadata"    // what the module says of itself
	StageSettings    Stage = "settings"    // the settings against the module's schema
	StageMeter       Stage = "meter"       // the rewriting that bounds it
	StageCompile     Stage = "compile"     // validation and native code
	StageInstantiate Stage = "instantiate" // start section, _initialize, buffer; in OPA's ABI builtins and entrypoints
	StageConfigure   Stage = "configure"   // the settings, by the policy itself
)

// LoadError says why a policy cannot be loaded.
type LoadError struct {
	Policy string // its name; "" if the fault is the chain's
	Stage  Stage
	Err    error
}

// Error returns the policy, the stage and the reason in one line.
func (e *LoadError) Error() string {
	if e.Policy == "" {
		return fmt.Sprintf("policies: %v", e.Err)
	}
	return fmt.Sprintf("policy %s: %s: %v", e.Policy, e.Stage, e.Err)
}

// Unwrap returns e.Err.
func (e *LoadError) Unwrap() error { return e.Err }

// SettingsError is what a module's schema, or the policy's configure, found wrong
// with its settings. It has at least one entry.
type SettingsError struct{ Errors []SettingError }

// SettingError is one setting that is wrong.
type SettingError struct {
	// Path names the setting, such as "rules[2].message"; "" is the whole.
	Path string
	// Message says what is wrong and what would be right.
	Message string
}

// Error returns every path with its message, in one line.
func (e *SettingsError) Error() string {
	var b strings.Builder
	b.WriteString("the policy refuses its settings: ")
	for i, s := range e.Errors {
		if i > 0 {
			b.WriteString("; ")
		}
		if s.Path != "" {
			b.WriteString(s.Path)
			b.WriteString(": ")
		}
		b.WriteString(s.Message)
	}
	return b.String()
}
