package abi_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/knockgate/knockgate/sdk/abi"
)

func TestParseVerdict(t *testing.T) {
	for _, v := range []abi.Verdict{abi.Allow, abi.Deny, abi.Incompatible, abi.Pass, abi.Error} {
		if got, ok := abi.ParseVerdict(v.String()); got != v || !ok {
			t.Errorf("%s: got %v, %v", v, got, ok)
		}
	}
	for _, s := range []string{"", "Allow", "no verdict", "allow "} {
		if got, ok := abi.ParseVerdict(s); ok || got != 0 {
			t.Errorf("%q: got %v, %v, want none", s, got, ok)
		}
	}
	for _, v := range []abi.Verdict{0, 5, 254, 256} {
		if got := v.String(); got != "no verdict" {
			t.Errorf("%d: got %q", v, got)
		}
	}
}

func TestPhaseString(t *testing.T) {
	for p, want := range map[abi.Phase]string{0: "no phase", 1: "make_knock", 2: "send_knock", 3: "no phase"} {
		if got := p.String(); got != want {
			t.Errorf("%d: got %q, want %q", p, got, want)
		}
	}
}

func TestPack(t *testing.T) {
	for _, c := range []struct{ ptr, size uint32 }{{0, 0}, {0, 255}, {1 << 31, 16384}, {1<<32 - 1, 1<<32 - 1}} {
		if ptr, size := abi.Unpack(abi.Pack(c.ptr, c.size)); ptr != c.ptr || size != c.size {
			t.Errorf("got %d, %d, want %d, %d", ptr, size, c.ptr, c.size)
		}
	}
}

// TestAppendJSON: every text of the facts survives, and no key stands twice.
func TestAppendJSON(t *testing.T) {
	for _, c := range frames {
		text := abi.AppendJSON([]byte("before"), &c.facts)[len("before"):]
		var got map[string]any
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v in %s", c.name, err, text)
		}
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var back map[string]any
		if err := json.Unmarshal(again, &back); err != nil || len(back) != len(got) {
			t.Errorf("%s: %v", c.name, err)
		}
		if got["phase"] != c.facts.Phase.String() || got["origin"] != c.facts.Origin {
			t.Errorf("%s: got %s", c.name, text)
		}
		if reason, ok := got["reason"]; ok != c.facts.Reason.Present || ok && reason != c.facts.Reason.Value {
			t.Errorf("%s: reason %v, %v, want %+v", c.name, reason, ok, c.facts.Reason)
		}
	}
}

func ExampleFrame() {
	frame := abi.Frame(abi.AppendFrame(nil, &abi.Facts{
		Phase: abi.SendKnock, Origin: "example.org", Reason: abi.Some("hello"), ContentHashOK: true,
	}))
	if !frame.Valid() {
		return
	}
	reason, ok := frame.Field(abi.FieldReason)
	fmt.Printf("%s: %q %v\n", frame.Phase(), reason, ok)
	name, ok := frame.Field(abi.FieldDisplayname)
	fmt.Printf("%q %v\n", name, ok)
	// Output:
	// send_knock: "hello" true
	// "" false
}
