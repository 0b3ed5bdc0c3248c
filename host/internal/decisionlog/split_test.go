package decisionlog

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/plugins"
	"github.com/knockgate/knockgate/sdk/abi"
)

// FuzzDetail: what is recorded is split, and read as encoding/json reads it.
func FuzzDetail(f *testing.F) {
	f.Add(`{"a":"}\"{"}`, `{"x":[1,{"y":"\\"}]}`, "a,b", "\"]\\", true, int64(7))
	f.Add(``, ``, "", "", false, int64(-1))
	f.Add(`[]`, `{}`, "x", "é\x00", true, int64(1))
	f.Fuzz(func(t *testing.T, policys, event, fault, reason string, permitted bool, fuel int64) {
		if !utf8.ValidString(fault+reason) || !compact(policys) || !compact(event) {
			return
		}
		r := record()
		r.Detail, r.FaultText, r.Fuel = []byte(policys), fault, fuel
		r.Facts.Phase, r.Facts.Event, r.Facts.Reason = abi.SendKnock, []byte(event), abi.Some(reason)
		r.Steps[0].Trace = []byte(reason)
		if permitted {
			d := plugins.Decision{Verdict: abi.Deny, Message: reason, Detail: []byte(policys)}
			r.Permitted("permit", fuel, time.UnixMilli(fuel), &d)
		}
		text := string(appendDetail(nil, r, true))
		if _, _, facts, ok := split(text); !ok || facts == nil {
			t.Fatalf("%s was not split", text)
		}
		var want detail
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		got, err := parseDetail(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	})
}

// compact reports whether a text is JSON without spaces, or empty.
func compact(text string) bool {
	return text == "" || json.Valid([]byte(text)) && !strings.ContainsAny(text, " \t\r\n")
}

// FuzzParseDetail: whatever a store holds, what is taken is what encoding/json takes.
func FuzzParseDetail(f *testing.F) {
	for _, text := range []string{
		`{"event":{},"facts":{}}`, `{}`, ``, `{`, `{"event"`, `{"event":`, `{"event":{}`, `{"event":{}}}`, `{"event":{},}`, `{"a\"":1}`, `{"event":{x}}`, `{"facts":[1,]}`,
		`{ "event" : {} }`, `[1]`, `{"event":]}`, `{"fuel":}`, `{event":{}}`, `{"event":"}`, `{"event":"\`, `{"fuel":1,"steps":[]}`, `{"event":{},"fuel":"x"}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want := json.Unmarshal([]byte(text), &detail{})
		if _, got := parseDetail(text); (got == nil) != (want == nil) {
			t.Errorf("parseDetail(%q): %v, want %v", text, got, want)
		}
	})
}
