package main

import (
	"strconv"
	"unicode/utf8"

	"github.com/knockgate/knockgate/sdk/go/policy"
)

func init() { policy.Configure(configure) }

func main() {}

func configure(s *policy.Settings) policy.DecideFunc {
	least := int(s.Int("min", 10, 0, 500))
	refusal := policy.Deny("Please say in " + strconv.Itoa(least) + " characters why you would like to join.")
	refusal.Code = "reason_too_short"
	return func(k *policy.Knock) policy.Verdict {
		if k.Phase() != policy.SendKnock || utf8.RuneCountInString(k.Reason()) >= least {
			return policy.Pass
		}
		return refusal
	}
}
