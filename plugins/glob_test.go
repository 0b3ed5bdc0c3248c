package plugins

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestGlobMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true},
		{"", "", true},
		{"", "a", false},
		{"?", "", false},
		{"?", "é", true},
		{"??", "é", false},
		{"*.example.org", "a.b.EXAMPLE.org", true},
		{"*.example.org", "example.org", false},
		{"a*b*c", "aXbXbXc", true},
		{"a*b*c", "aXcXb", false},
		{"[a]", "a", false},
		{strings.Repeat("*a", 200) + "b", strings.Repeat("a", 2000), false},
	} {
		if got := globMatch(tt.pattern, tt.text); got != tt.want {
			t.Errorf("globMatch(%.20q, %.20q) = %v, want %v", tt.pattern, tt.text, got, tt.want)
		}
	}
}

// TestGlobIsARegexp: a glob is the regular expression that one would write for
// it, without regard to case.
func TestGlobIsARegexp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOfN(rapid.RuneFrom([]rune("*?abA.é")), 0, 8, -1).Draw(t, "pattern")
		text := rapid.StringOfN(rapid.RuneFrom([]rune("aAbB.éx")), 0, 10, -1).Draw(t, "text")
		expr := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
		want := regexp.MustCompile("(?is)^" + expr + "$").MatchString(text)
		if got := globMatch(pattern, text); got != want {
			t.Errorf("globMatch(%q, %q) = %v, want %v", pattern, text, got, want)
		}
	})
}

func TestWithoutPort(t *testing.T) {
	for in, want := range map[string]string{
		"a.example": "a.example", "a.example:8448": "a.example", "1.2.3.4:1": "1.2.3.4",
		"[::1]": "[::1]", "[::1]:8448": "[::1]", "": "",
	} {
		if got := withoutPort(in); got != want {
			t.Errorf("withoutPort(%q) = %q, want %q", in, got, want)
		}
	}
}
