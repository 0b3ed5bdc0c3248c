// Reason_rules is a Knockgate policy: rules on the reason that a knocker gives.
// See README.md beside it.
package main

import "github.com/knockgate/knockgate/sdk/go/policy"

func init() { policy.Configure(configure) }

func main() {}
