package plugins

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/sdk/abi"
)

func TestParseAnswer(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	tests := []struct {
		name, in string
		err      string
		want     answer
	}{
		{name: "all keys", in: ` { "verdict" : "deny" , "message":"m","note":"n","code":"c","detail":{"x":[1,-0.5e3,true,null,"y"]}} `,
			want: answer{verdict: abi.Deny, message: "m", note: "n", code: "c", detail: []byte(`{"x":[1,-0.5e3,true,null,"y"]}`)}},
		{name: "escapes", in: `{"verdict":"allow","note":"\u0041\ud83d\ude00\/\\\"\n"}`, want: answer{verdict: abi.Allow, note: "A😀/\\\"\n"}},
		{name: "escaped key", in: `{"\u0076erdict":"pass"}`, want: answer{verdict: abi.Pass}},
		{name: "control characters leave the message", in: `{"verdict":"deny","message":"a\u0000b\nc\u007fd\u0085e"}`, want: answer{verdict: abi.Deny, message: "abcde"}},
		{name: "message is cut between characters", in: `{"verdict":"deny","message":"` + strings.Repeat("x", 510) + `€€"}`,
			want: answer{verdict: abi.Deny, message: strings.Repeat("x", 510)}},
		{name: "error", in: `{"verdict":"error","error":"e","note":"n"}`, want: answer{verdict: abi.Error, note: "n", errorText: "e"}},
		{name: "detail of 32 levels", in: `{"verdict":"pass","detail":` + deep(32) + `}`, want: answer{verdict: abi.Pass, detail: []byte(deep(32))}},

		{name: "detail of 33 levels", in: `{"verdict":"pass","detail":` + deep(33) + `}`, err: "deeper than 32"},
		{name: "empty", in: ``, err: "no JSON object"},
		{name: "array", in: `["deny"]`, err: "no JSON object"},
		{name: "cut short", in: `{"verdict":"deny"`, err: "ends where"},
		{name: "two values", in: `{"verdict":"deny"}{}`, err: "more after"},
		{name: "zero byte after", in: "{\"verdict\":\"deny\"}\x00", err: "more after"},
		{name: "comma at the end", in: `{"verdict":"deny",}`, err: "is due"},
		{name: "no comma", in: `{"verdict":"deny" "note":"x"}`, err: "is due"},
		{name: "upper case", in: `{"Verdict":"deny"}`, err: `"Verdict"`},
		{name: "key twice", in: `{"verdict":"deny","note":"","note":""}`, err: `"note" stands twice`},
		{name: "no verdict", in: `{"note":"x"}`, err: "no verdict"},
		{name: "message is null", in: `{"verdict":"deny","message":null}`, err: "is due"},
		{name: "bad number", in: `{"verdict":"deny","detail":{"a":01}}`, err: "is due"},
		{name: "number without digits", in: `{"verdict":"deny","detail":{"a":-}}`, err: "without digits"},
		{name: "bad word", in: `{"verdict":"deny","detail":{"a":nul}}`, err: "no JSON value"},
		{name: "control character", in: "{\"verdict\":\"deny\",\"note\":\"a\nb\"}", err: "control character"},
		{name: "not UTF-8 in detail", in: "{\"verdict\":\"deny\",\"detail\":{\"a\":\"\xc3\"}}", err: "UTF-8"},
		{name: "lone surrogate", in: `{"verdict":"deny","note":"\udc00x"}`, err: "surrogate"},
		{name: "high surrogate twice", in: `{"verdict":"deny","note":"\ud800\ud800"}`, err: "surrogate"},
		{name: "bad escape", in: `{"verdict":"deny","note":"\x41"}`, err: "escape"},
		{name: "bad hexadecimal", in: `{"verdict":"deny","note":"\u00g0"}`, err: "hexadecimal"},
		{name: "escape at the end", in: `{"verdict":"deny","note":"\u00`, err: "does not end"},
	}
	var got answer
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := parseAnswer([]byte(tt.in), &got)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("parseAnswer(%q) = %v, want an error with %q", tt.in, err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatalf("parseAnswer(%q): %v", tt.in, err)
			}
			got.text = nil
			if len(got.detail) == 0 {
				got.detail = nil
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(answer{})); diff != "" {
				t.Errorf("parseAnswer(%q) (-want +got):\n%s", tt.in, diff)
			}
		})
	}
}

// FuzzParseAnswer: what is accepted is JSON for the standard library too, with
// the same values; the message is clean and short; detail is an object. Every
// accepted object is accepted again when it is written anew.
func FuzzParseAnswer(f *testing.F) {
	for _, s := range []string{
		`{"verdict":"deny","message":"m","note":"n","code":"c","detail":{"x":[1,-0.5e3,true,null,"y"]}}`,
		`{"verdict":"error","error":"\ud83d\ude00"}`, `{"verdict":"allow"}`, "{\"verdict\":\"deny\",\"message\":\"\xff\"}", `[1]`, `{"verdict":"pass","detail":{}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var a answer
		if parseAnswer(b, &a) != nil {
			return
		}
		var want struct {
			Verdict, Message, Note, Code, Error string
			Detail                              json.RawMessage
		}
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatalf("%q is accepted, but: %v", b, err)
		}
		if a.verdict.String() != want.Verdict || a.note != want.Note || a.code != want.Code || !bytes.Equal(a.detail, want.Detail) {
			t.Errorf("%q is read as %+v, want %+v", b, a, want)
		}
		if got := string(cleanMessage([]byte(want.Message))); a.message != got {
			t.Errorf("%q has message %q, want %q", b, a.message, got)
		}
		if len(a.message) > abi.MaxMessage || !utf8.ValidString(a.message) || strings.ContainsAny(a.message, "\x00\n\r\x1b\x7f") {
			t.Errorf("%q has the unclean message %q", b, a.message)
		}
		if len(a.detail) > 0 && a.detail[0] != '{' {
			t.Errorf("%q has detail %q", b, a.detail)
		}
	})
}

// FuzzParseSettingsErrors: it never panics, and what it returns is printable
// and not empty.
func FuzzParseSettingsErrors(f *testing.F) {
	f.Add([]byte(`{"errors":[{"path":"a.b[0]","message":"no"}]}`))
	f.Add([]byte(`{"errors":[]}`))
	f.Add([]byte(`{"errors":[{"message":"x"}],"errors":[]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		refused, err := parseSettingsErrors(b)
		if (refused == nil) != (err != nil) {
			t.Fatalf("parseSettingsErrors(%q) = %v, %v", b, refused, err)
		}
		if err != nil {
			return
		}
		if len(refused.Errors) == 0 || strings.ContainsAny(refused.Error(), "\n\x00\x1b") || !utf8.ValidString(refused.Error()) {
			t.Errorf("parseSettingsErrors(%q) = %q", b, refused)
		}
		if !json.Valid(b) {
			t.Errorf("%q is accepted and is no JSON", b)
		}
	})
}
