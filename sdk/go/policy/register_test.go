package policy

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/knockgate/knockgate/sdk/abi"
)

func put(in *instance, b []byte) uint32 { return uint32(copy(in.input[:], b)) }

func frame(f abi.Facts) []byte { return abi.AppendFrame(nil, &f) }

// result parses what a host would read.
func result(t *testing.T, text []byte) (r struct {
	Verdict, Message, Note, Code, Error string
	Errors                              []SettingError
}) {
	t.Helper()
	if len(text) > abi.MaxResult {
		t.Fatalf("a result of %d bytes", len(text))
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return r
}

func TestInstance(t *testing.T) {
	configure := func(s *Settings) DecideFunc {
		word := s.Text("word", "sesame")
		return func(k *Knock) Verdict {
			switch k.Reason() {
			case word:
				return Allow
			case "?":
				return Verdict{}
			case "!":
				return Error("out of order")
			case "":
				return Pass
			}
			return Verdict{Kind: abi.Deny, Message: "the \"word\"\n", Note: "said " + k.Reason(), Code: "word"}
		}
	}
	in := new(instance)
	say := func(reason string) ([]byte, abi.Verdict) {
		return in.run(configure, put(in, frame(abi.Facts{Phase: abi.SendKnock, Reason: abi.Some(reason), ContentHashOK: true})))
	}
	if text, kind := say("sesame"); text != nil || kind != abi.Allow {
		t.Errorf("without settings: got %s, %v, want an inline allow", text, kind)
	}
	if text := in.configure(configure, put(in, []byte(`{"word":"open"}`))); text != nil {
		t.Fatalf("settings refused: %s", text)
	}
	for _, c := range []struct {
		reason string
		want   abi.Verdict
	}{{"open", abi.Allow}, {"", abi.Pass}, {"?", 0}} {
		if text, kind := say(c.reason); text != nil || kind != c.want {
			t.Errorf("%q: got %s, %v, want an inline %v", c.reason, text, kind, c.want)
		}
	}
	text, _ := say("close")
	if got := result(t, text); got.Verdict != "deny" || got.Message != "the \"word\"\n" || got.Note != "said close" || got.Code != "word" {
		t.Errorf("got %s", text)
	}
	text, _ = say("!")
	if got := result(t, text); got.Verdict != "error" || got.Error != "out of order" || got.Note != "" {
		t.Errorf("got %s", text)
	}
	text = in.configure(configure, put(in, []byte(`{"word":1}`)))
	if got := result(t, text); len(got.Errors) != 1 || got.Errors[0] != (SettingError{"word", "must be a text, not a number"}) {
		t.Errorf("got %s", text)
	}
	// After refused settings the instance must answer neither by the old ones
	// nor by none.
	for _, reason := range []string{"open", "sesame"} {
		if text, kind := say(reason); kind != abi.Error {
			t.Errorf("%q after refused settings: got %s, %v, want error", reason, text, kind)
		}
	}
}

func TestInstanceFrames(t *testing.T) {
	configure := func(*Settings) DecideFunc { return func(*Knock) Verdict { return Allow } }
	good := frame(abi.Facts{Phase: abi.MakeKnock})
	for _, c := range []struct {
		name  string
		frame []byte
		want  abi.Verdict
	}{
		{"good", good, abi.Allow},
		{"empty", nil, abi.Error},
		{"short", good[:len(good)-1], abi.Error},
		{"header only", good[:abi.FrameHeader], abi.Error},
		{"long", append(good[:len(good):len(good)], 0), abi.Error},
	} {
		in := new(instance)
		if _, got := in.run(configure, put(in, c.frame)); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	in := new(instance)
	if _, got := in.run(configure, abi.MaxFrame+1); got != abi.Error {
		t.Errorf("too large: got %v, want error", got)
	}
	if text := in.configure(configure, abi.MaxFrame+1); text == nil {
		t.Error("settings that are too large are accepted")
	}
}

// TestInstanceNeedsSettings: a policy that cannot do without settings says so
// where a host gave none, and does not decide.
func TestInstanceNeedsSettings(t *testing.T) {
	configure := func(s *Settings) DecideFunc {
		if !s.Has("word") {
			s.Fail("word", "must be set")
		}
		return func(*Knock) Verdict { return Allow }
	}
	in := new(instance)
	text, kind := in.run(configure, put(in, frame(abi.Facts{Phase: abi.MakeKnock})))
	if got := result(t, text); kind != abi.Error || got.Verdict != "error" {
		t.Errorf("got %s, %v, want error", text, kind)
	}
}

// TestDecidePanics: a panic stays one, so that the guest traps and the host
// answers by on_error.
func TestDecidePanics(t *testing.T) {
	in := new(instance)
	defer func() {
		if recover() == nil {
			t.Error("the panic was turned into a verdict")
		}
	}()
	in.run(func(*Settings) DecideFunc { return func(*Knock) Verdict { panic("oh") } }, put(in, frame(abi.Facts{})))
}

func TestRegisterTwice(t *testing.T) {
	defer func() { registered = nil }()
	registered = nil
	Decide(func(*Knock) Verdict { return Pass })
	if _, err := Load(registered, nil); err != nil {
		t.Error(err)
	}
	if _, err := Load(registered, []byte(`{"a":1}`)); err == nil {
		t.Error("a policy without settings accepts some")
	}
	defer func() {
		if recover() == nil {
			t.Error("a second policy was taken")
		}
	}()
	Decide(func(*Knock) Verdict { return Pass })
}

func TestAppendResultIsBounded(t *testing.T) {
	for _, unit := range []string{"a", "\x00", "é", "\"", "\xff", "🚪", "aé\\b\x01"} {
		s := strings.Repeat(unit, 20000)
		text := appendResult(nil, Verdict{Kind: abi.Deny, Message: s, Note: s, Code: s})
		got := result(t, text)
		clean := strings.ToValidUTF8(strings.ReplaceAll(s, "\xff", "\ufffd"), "")
		for _, part := range []struct {
			text string
			most int
		}{{got.Message, abi.MaxMessage}, {got.Note, maxNote}, {got.Code, maxCode}} {
			if n := len(part.text); n > part.most || n < part.most-utf8.UTFMax || !strings.HasPrefix(clean, part.text) {
				t.Errorf("%q: got %d bytes, want about %d of the beginning", unit, n, part.most)
			}
		}
	}
}

func TestAppendErrorsIsBounded(t *testing.T) {
	var errs SettingsError
	for range 5000 {
		errs = append(errs, SettingError{strings.Repeat("p", 300), strings.Repeat("\x00", 2000)})
	}
	got := result(t, appendErrors(nil, errs)).Errors
	if len(got) < 2 || !strings.HasSuffix(got[len(got)-1].Message, " more settings are wrong") {
		t.Errorf("got %d errors, the last %+v", len(got), got[len(got)-1])
	}
}

func TestRunDoesNotAllocate(t *testing.T) {
	verdict := Pass
	configure := func(*Settings) DecideFunc { return func(*Knock) Verdict { return verdict } }
	in := new(instance)
	n := put(in, frame(abi.Facts{Phase: abi.MakeKnock, Origin: "example.org"}))
	in.run(configure, n)
	for _, v := range []Verdict{Pass, Allow, Deny("no"), {Kind: abi.Deny, Message: "a \"b\" é", Note: "n", Code: "c"}} {
		verdict = v
		if got := testing.AllocsPerRun(100, func() { in.run(configure, n) }); got != 0 {
			t.Errorf("%+v: %v allocations, want 0", v, got)
		}
	}
}

// FuzzAppendQuoted: the result is JSON, within its bounds, and the beginning of
// what went in.
func FuzzAppendQuoted(f *testing.F) {
	f.Add("plain text that is longer than eight", 100)
	f.Add("\"quoted\\\" \x00\x1f\x7f é\xff🚪", 12)
	f.Add("1234567\"", 8)
	f.Fuzz(func(t *testing.T, s string, most int) {
		most = min(max(most, 0), 4096)
		text := appendQuoted(nil, s, most)
		var got string
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		var clean strings.Builder
		for _, r := range s {
			clean.WriteRune(r)
		}
		if len(got) > most || len(text) > 6*most+2 || !strings.HasPrefix(clean.String(), got) {
			t.Errorf("%q, most %d: got %q", s, most, got)
		}
		if clean.Len() <= most && got != clean.String() {
			t.Errorf("%q, most %d: got %q, want all of it", s, most, got)
		}
	})
}
