// Package plugins runs knock policies: it loads WebAssembly modules, keeps
// pools of their instances, asks them in the order of a chain and swaps one
// chain for another without losing a request.
//
// An [Engine] loads a [ChainSpec] into a [Chain]; a [Gate] publishes the chain
// that is in force; [Chain.Evaluate] decides one knock. What a policy must
// export and may import is in sdk/README.md. Limits, measurements and the
// reasons behind them are in this folder's README.md.
//
// Everything here fails closed. The zero verdict is an error, an error is a
// [Fault], and a fault denies unless the policy's on_error says otherwise.
package plugins
