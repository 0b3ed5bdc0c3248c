// Package wasmbin reads WebAssembly binaries (core specification 2.0) and
// rewrites them. Scan is the check that stands before the engine's own
// decoder; Meter bounds what the code may use while it runs.
package wasmbin
