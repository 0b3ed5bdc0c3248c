package plugins

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/knockgate/knockgate/sdk/abi"
)

// factsTexts are facts of every kind, as they are recorded.
func factsTexts() [][]byte {
	escapes := *everyFact()
	escapes.Reason, escapes.Displayname = abi.Some("\\\"é<>&\u2028\x00\n"), abi.Some(`\`)
	escapes.Room.ACL = abi.Some(`{"allow":["}\"{"],"deny":{}}`)
	noACL := *everyFact()
	noACL.Room = abi.RoomFacts{Known: true, Members: -1 << 63, ACL: abi.Some("")}
	var texts [][]byte
	for _, f := range []*abi.Facts{
		knockFacts(), everyFact(), &escapes, &noACL, {Phase: abi.MakeKnock}, {Phase: abi.SendKnock},
		{Phase: abi.MakeKnock, SupportedVersions: []string{"", "11", `"`}, Room: abi.RoomFacts{Known: true, JoinRule: abi.Some("")}},
	} {
		texts = append(texts, abi.AppendJSON(nil, f))
	}
	return texts
}

// TestReadFacts: what was written is read the quick way, as the general one reads it.
func TestReadFacts(t *testing.T) {
	for _, text := range factsTexts() {
		got := readFacts(string(text), []byte("{}"))
		want, err := DecodeFacts(text, []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

// FuzzReadFacts: facts are taken if, and only if, the general way takes them and writes
// them as they stand.
func FuzzReadFacts(f *testing.F) {
	for _, text := range factsTexts() {
		f.Add(text)
		for i := range text {
			f.Add(text[:i])
			f.Add(append(append(bytes.Clone(text[:i]), text[i]^1), text[i+1:]...))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		want, err := DecodeFacts(text, nil)
		taken := err == nil && bytes.Equal(abi.AppendJSON(nil, want), text)
		got, err := ParseFacts(text, nil)
		if (err == nil) != taken {
			t.Fatalf("ParseFacts(%q): %v, want it taken: %v", text, err, taken)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); taken && diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	})
}
