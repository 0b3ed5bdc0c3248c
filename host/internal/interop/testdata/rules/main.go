// Rules is the policy of knock_rules.py, beside it, for Knockgate: it refuses knocks
// by server and by user.
package main

import (
	"github.com/knockgate/knockgate/sdk/go/glob"
	"github.com/knockgate/knockgate/sdk/go/policy"
)

func init() {
	policy.Configure(func(s *policy.Settings) policy.DecideFunc {
		servers, users := globs(s, "servers"), globs(s, "users")
		return func(k *policy.Knock) policy.Verdict {
			if servers.Match(k.UserServer()) || users.Match(k.UserID()) {
				return policy.Deny("")
			}
			return policy.Pass
		}
	})
}

func main() {}

func globs(s *policy.Settings, key string) *glob.Set {
	var list []string
	for _, item := range s.Texts(key) {
		list = append(list, item.Text)
	}
	set, err := glob.Compile(list...)
	if err != nil {
		s.Fail(key, err.Error())
	}
	return set
}
