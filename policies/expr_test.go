package policies_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/knockgate/knockgate/policies/internal/fixture"
	"github.com/knockgate/knockgate/sdk/abi"
)

// TestExprSoup: whatever stands in an expression, it is accepted or refused with a
// column, the module does not trap, and what it accepted answers every knock.
func TestExprSoup(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	m := compile(t, "expr")
	g := m.instantiate(t)
	tokens := strings.Fields(`&& || ! == != < <= > >= in ( ( ) ) [ ] , "a" 'b' '*' 1 -2 3d 9007199254740992 true false
		reason room.members room.known supported_versions now_ms displayname lower( length( matches( contains( has( present( hour( weekday( ago(
		'+02:00' " ' \ ä 💥 = & . x 1.5 -`)
	knocks := []abi.Facts{fixture.Facts{}.ABI(), fixture.Facts{"phase": []byte(`"make_knock"`), "room": []byte("null")}.ABI()}
	accepted := 0
	for range 20_000 {
		var b strings.Builder
		for range 1 + r.IntN(12) {
			b.WriteString(tokens[r.IntN(len(tokens))])
			if r.IntN(4) > 0 {
				b.WriteByte(' ')
			}
		}
		faults := g.configure(t, exprSettings(t, b.String()))
		for _, f := range faults {
			if f.Path != "rules[0].when" || !strings.HasPrefix(f.Message, "column ") {
				t.Fatalf("%q: fault %+v, want one of rules[0].when at a column", b.String(), f)
			}
		}
		if faults != nil {
			continue
		}
		accepted++
		for i := range knocks {
			if got := g.decide(t, &knocks[i]); got.Kind != abi.Deny && got.Kind != abi.Pass {
				t.Fatalf("%q: %+v, want deny or pass", b.String(), got)
			}
		}
	}
	if accepted < 100 {
		t.Errorf("%d expressions were accepted, want at least 100", accepted)
	}
}

// TestExprMeaning: an expression that is made with its value has that value.
func TestExprMeaning(t *testing.T) {
	m := compile(t, "expr")
	g := m.instantiate(t)
	facts := fixture.Facts{"reason": []byte(`"Ab"`), "room": []byte(`{"encrypted":true,"members":7}`)}.ABI()
	e := exprMaker{rand.New(rand.NewPCG(3, 4))}
	held := 0
	for range 3000 {
		text, value := e.truth(5)
		if len(text) > 4096 {
			continue
		}
		if faults := g.configure(t, exprSettings(t, text)); faults != nil {
			t.Fatalf("%s: %v", text, faults)
		}
		want := abi.Pass
		if value {
			want = abi.Deny
			held++
		}
		if got := g.decide(t, &facts); got.Kind != want {
			t.Fatalf("%s: got %s, want %s", text, got.Kind, want)
		}
	}
	if held < 500 || held > 2500 {
		t.Errorf("%d of 3000 held; this test would say little", held)
	}
}

// TestExprTexts: what is in a text, and how long it is, are as Go has them.
func TestExprTexts(t *testing.T) {
	g := compile(t, "expr").instantiate(t)
	if faults := g.configure(t, exprSettings(t, "contains(reason, displayname) && length(reason) == room.members")); faults != nil {
		t.Fatal(faults)
	}
	r := rand.New(rand.NewPCG(5, 6))
	text := func(most int) string {
		var b strings.Builder
		for range r.IntN(most + 1) {
			b.WriteString([]string{"a", "a", "b", "ü", "💥"}[r.IntN(5)])
		}
		return b.String()
	}
	held := 0
	for range 5000 {
		reason, name := text(24), text(4)
		if r.IntN(2) == 0 { // a part of it, and more often a long one
			reason = strings.Repeat(text(3), 8)
			runes := []rune(reason)
			from := r.IntN(len(runes) + 1)
			name = string(runes[from : from+r.IntN(len(runes)-from+1)])
		}
		facts := fixture.Facts{
			"reason": quoted(t, reason), "displayname": quoted(t, name),
			"room": fmt.Appendf(nil, `{"members":%d}`, utf8.RuneCountInString(reason)),
		}.ABI()
		want := abi.Pass
		if strings.Contains(reason, name) {
			want = abi.Deny
			held++
		}
		if got := g.decide(t, &facts); got.Kind != want {
			t.Fatalf("contains(%q, %q): got %s, want %s", reason, name, got.Kind, want)
		}
	}
	if held < 2000 || held > 4500 {
		t.Errorf("%d of 5000 held; this test would say little", held)
	}
}

func quoted(t *testing.T, text string) []byte {
	t.Helper()
	b, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func exprSettings(t *testing.T, when string) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"rules": []any{map[string]any{"when": when, "verdict": "deny"}}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// exprMaker makes expressions with what they are worth for one knock: the reason is "Ab",
// the display name absent, the room encrypted and of 7 members.
type exprMaker struct{ *rand.Rand }

func (e exprMaker) truth(depth int) (string, bool) {
	if depth == 0 {
		return e.atom()
	}
	a, x := e.truth(depth - 1 - e.IntN(depth))
	b, y := e.truth(depth - 1 - e.IntN(depth))
	switch e.IntN(6) {
	case 0:
		return "(" + a + ")", x
	case 1:
		return "!(" + a + ")", !x
	case 2: // && binds more than ||
		c, z := e.truth(0)
		return "(" + a + ") || " + c + " && (" + b + ")", x || z && y
	case 3:
		return "(" + a + ")&&(" + b + ")", x && y
	case 4:
		return "(" + a + ") == (" + b + ")", x == y
	}
	return "(" + a + ") != (" + b + ")", x != y
}

func (e exprMaker) atom() (string, bool) {
	n := int64(e.IntN(5) + 5)
	atoms := []struct {
		text  string
		value bool
	}{
		{"true", true}, {"false", false}, {"room.encrypted", true}, {"content_hash_ok != true", false},
		{fmt.Sprintf("room.members < %d", n), 7 < n}, {fmt.Sprintf("room.members>=%d", n), 7 >= n}, {fmt.Sprintf("%d <= room.members", n), n <= 7},
		{fmt.Sprintf("%d > room.members", n), n > 7}, {fmt.Sprintf("room.members in [%d, %d]", n, n+1), n == 7 || n+1 == 7},
		{fmt.Sprintf("length(reason) == %d", n-5), n-5 == 2}, {"reason == 'Ab'", true}, {"reason == 'ab'", false}, {"lower(reason) == \"ab\"", true},
		{"matches(reason, ['x', 'a?'])", true}, {"matches(reason, 'b*')", false}, {"contains(reason, 'b')", true}, {"starts_with(reason, 'b')", false},
		{"ends_with(lower(reason), ['b', 'c'])", true}, {"has(['Ab'], reason)", true}, {"present(displayname)", false}, {"displayname == displayname", false},
		{"displayname != displayname", true}, {"length(displayname) < 1", false}, {"hour() == 22", true}, {"weekday() == 2", true},
	}
	a := atoms[e.IntN(len(atoms))]
	return a.text, a.value
}

// TestExprReadme: the README names every fact and function that the source has.
func TestExprReadme(t *testing.T) {
	words, err := os.ReadFile("expr/src/words.rs")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("expr/README.md")
	if err != nil {
		t.Fatal(err)
	}
	sdk, err := os.ReadFile("../sdk/README.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(words)) {
		_, rest, ok := strings.Cut(line, `    ("`)
		name, kind, ok2 := strings.Cut(rest, `", `)
		if !ok || !ok2 {
			continue
		}
		n++
		if strings.HasPrefix(kind, "Function::") {
			if !strings.Contains(string(readme), "`"+name+"(") && !strings.Contains(string(readme), "`"+name+"`") {
				t.Errorf("README.md does not have the function %s", name)
			}
		} else if key := strings.TrimPrefix(name, "room."); !strings.Contains(string(sdk), "`"+key+"`") && !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("neither README has the fact %s", name)
		}
	}
	if n < 40 {
		t.Errorf("%d words in words.rs, want at least 40", n)
	}
}
