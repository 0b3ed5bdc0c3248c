// Package policy is the Go SDK for Knockgate policies: a policy author writes
// one function and nothing of the ABI.
//
//	package main
//
//	import "github.com/knockgate/knockgate/sdk/go/policy"
//
//	func init() { policy.Decide(decide) }
//
//	func main() {}
//
//	func decide(k *policy.Knock) policy.Verdict {
//		if k.Phase() == policy.SendKnock && k.Reason() == "" {
//			return policy.Deny("Please say why you would like to join.")
//		}
//		return policy.Pass
//	}
//
// It is built with
//
//	GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 go build -trimpath -buildvcs=false -buildmode=c-shared -ldflags='-s -w' -o my_policy.wasm .
//
// A policy with settings registers a [ConfigureFunc] with [Configure] instead:
// it reads the settings once and returns the function that decides.
//
// The same package builds natively, so a policy's tests are plain Go tests:
// [NewKnock] makes the knock, [Load] applies the settings.
//
// # What a policy may rely on
//
// One instance serves one knock at a time, and may serve many: what it keeps
// between knocks is a cache at best, since the host starts and drops instances
// as it likes. A panic stops the instance for good, and the host answers by the
// policy's on_error (deny unless the configuration says otherwise). So does
// [Error], and so does the zero [Verdict], which is what a forgotten return
// gives.
//
// Getters of [Knock] do no parsing and no allocation. The text they return is a
// view of the request and lasts until decide returns: strings.Clone what must
// be kept.
//
// The normative text of the ABI is sdk/README.md.
package policy
