package policies

import "embed"

// FS holds the built modules, each at NAME/NAME.wasm.
//
//go:embed server_rules/server_rules.wasm reason_rules/reason_rules.wasm
var FS embed.FS
