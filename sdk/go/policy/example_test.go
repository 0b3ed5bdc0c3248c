package policy_test

import (
	"fmt"

	"github.com/knockgate/knockgate/sdk/abi"
	"github.com/knockgate/knockgate/sdk/go/policy"
)

// A policy without settings. In a module, policy.Decide(askWhy) stands in an
// init function; a test calls the function with a knock.
func ExampleDecide() {
	askWhy := func(k *policy.Knock) policy.Verdict {
		if k.Phase() == policy.SendKnock && k.Reason() == "" {
			return policy.Deny("Please say why you would like to join.")
		}
		return policy.Pass
	}
	v := askWhy(policy.NewKnock(abi.Facts{Phase: abi.SendKnock, ContentHashOK: true}))
	fmt.Println(v.Kind, v.Message)
	// Output: deny Please say why you would like to join.
}

// A policy with settings. In a module, policy.Configure(newGate) stands in an
// init function; a test gives settings to Load.
func ExampleConfigure() {
	newGate := func(s *policy.Settings) policy.DecideFunc {
		least := s.Int("min_version", 7, 7, 12)
		return func(k *policy.Knock) policy.Verdict {
			var n int64
			fmt.Sscan(k.RoomVersion(), &n)
			if n < least {
				return policy.Verdict{Kind: abi.Deny, Message: "This room is too old.", Code: "old_room"}
			}
			return policy.Pass
		}
	}
	decide, err := policy.Load(newGate, []byte(`{"min_version":10}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(decide(policy.NewKnock(abi.Facts{RoomVersion: "9"})).Code)
	fmt.Println(decide(policy.NewKnock(abi.Facts{RoomVersion: "11"})) == policy.Pass)
	// Output:
	// old_room
	// true
}

func ExampleLoad() {
	configure := func(s *policy.Settings) policy.DecideFunc {
		for _, rule := range s.Objects("rules") {
			for _, name := range rule.Texts("allow") {
				if name.Text == "" {
					name.Fail("must not be empty")
				}
			}
		}
		return func(*policy.Knock) policy.Verdict { return policy.Pass }
	}
	_, err := policy.Load(configure, []byte(`{"rules":[{"allow":["a.example",""]},{"alow":"b.example"}]}`))
	fmt.Println(err)
	// Output:
	// rules[0].allow[1]: must not be empty
	// rules[1].alow: unknown setting; known here: allow
}

func ExampleKnock_Text() {
	k := policy.NewKnock(abi.Facts{Phase: abi.SendKnock, Reason: abi.Some("")})
	reason, sent := k.Text(abi.FieldReason)
	fmt.Printf("%q %v\n", reason, sent)
	name, sent := k.Text(abi.FieldDisplayname)
	fmt.Printf("%q %v\n", name, sent)
	// Output:
	// "" true
	// "" false
}

func ExampleNewKnock() {
	k := policy.NewKnock(abi.Facts{Phase: abi.MakeKnock, Origin: "example.org:8448", SupportedVersions: []string{"10", "11"}})
	fmt.Println(k.OriginServer(), k.Supports("11"))
	// Output: example.org true
}

func ExampleStripPort() {
	fmt.Println(policy.StripPort("example.org:8448"), policy.StripPort("[::1]:8448"))
	// Output: example.org [::1]
}

func ExampleDeny() {
	v := policy.Deny("Please write to us first.")
	v.Code, v.Note = "not_listed", "no rule for this server"
	fmt.Printf("%+v\n", v)
	// Output: {Kind:deny Message:Please write to us first. Note:no rule for this server Code:not_listed Detail:}
}

func ExampleIncompatible() {
	fmt.Println(policy.Incompatible("Your server is too old for this room.").Kind)
	// Output: incompatible
}

func ExampleError() {
	fmt.Println(policy.Error("the list is empty").Kind)
	// Output: error
}

func ExampleLog() {
	policy.Log(abi.LogInfo, "seen") // a line in the host's log
	// Output:
}

func ExampleNowMS() {
	fmt.Println(policy.NowMS() > 1_600_000_000_000)
	// Output: true
}

func ExampleVerdict_DetailText() {
	v := policy.Deny("Please write to us first.").DetailText("rule", `"strict"`).DetailNumber("tries", 3).DetailTruth("known", false)
	fmt.Println(v.Detail)
	// Output: {"rule":"\"strict\"","tries":3,"known":false}
}
