// Package policies holds the policies that Knockgate ships, one folder each
// with its source, its cases and the built module. README.md lists them.
package policies

//go:generate go run ./internal/build
