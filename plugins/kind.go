package plugins

import (
	"context"

	"github.com/knockgate/knockgate/plugins/internal/wasmbin"
	"github.com/knockgate/knockgate/sdk/abi"
)

// kind is an ABI that a policy's module is written for: where the host treats
// one otherwise than the other.
type kind struct {
	functions map[string]map[string]hostFunction // all that a module may import, by module and name
	exports   []guestFunction
	check     func(*wasmbin.Module) error // what else its exports must be; nil: nothing
	decide    string                      // the export that judges a knock
	settings  string                      // the export without which there are no settings; "": there always are

	// ready has a new instance make room for requests, and learns what it says
	// of itself. configure hands over the settings.
	ready, configure func(*instance, context.Context) error
	// put writes a request into memory, and the arguments of decide to the
	// instance's stack. It is false if there is no room. read takes the result
	// of decide apart.
	put  func(in *instance, frame []byte) bool
	args int // the most of decide's arguments and results
	read func(in *instance, result uint64, a *answer) Fault
}

// guestFunction is an export that an ABI knows.
type guestFunction struct {
	name     string
	required bool
	want     wasmbin.FuncType
}

// knockKind is the knock ABI.
var knockKind = &kind{
	functions: hostFunctions,
	exports: []guestFunction{
		{abi.ExportDecide, true, function(1, wasmbin.I64)},
		{abi.ExportBuffer, true, function(1, wasmbin.I32)},
		{abi.ExportConfigure, false, function(1, wasmbin.I64)},
		{abi.ExportInitialize, false, function(0)},
	},
	check:     checkReactor,
	decide:    abi.ExportDecide,
	settings:  abi.ExportConfigure,
	ready:     (*instance).askBuffer,
	configure: (*instance).configure,
	put:       (*instance).put,
	args:      1,
	read:      (*instance).read,
}

// function is the type of a function with so many parameters, all i32.
func function(params int, results ...wasmbin.ValueType) wasmbin.FuncType {
	t := wasmbin.FuncType{Results: results}
	for range params {
		t.Params = append(t.Params, wasmbin.I32)
	}
	return t
}

// moduleKind tells a module's kind by its exports. What looks like none is held to
// the knock ABI, whose errors name both.
func moduleKind(m *wasmbin.Module) *kind {
	if _, ok := m.Export(abi.ExportDecide); ok {
		return knockKind
	}
	for _, name := range [...]string{opaEval, opaVersion} {
		if _, ok := m.Export(name); ok {
			return opaKind
		}
	}
	return knockKind
}
