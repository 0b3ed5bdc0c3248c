// Server_rules is a Knockgate policy: ordered rules on the server that knocks.
// See README.md beside it.
package main

import "github.com/knockgate/knockgate/sdk/go/policy"

func init() { policy.Configure(configure) }

func main() {}
