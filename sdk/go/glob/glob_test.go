package glob

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestMatch(t *testing.T) {
	long := strings.Repeat("a", 200)
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "anything", true},
		{"**", "", true},
		{"?", "", false},
		{"?", "a", true},
		{"?", "é", true},
		{"?", "ab", false},
		{"a", "a", true},
		{"a", "A", true},
		{"A", "a", true},
		{"a", "ab", false},
		{"a", "ba", false},
		{"example.org", "Example.ORG", true},
		{"example.org", "example.org.", false},
		{"exampleXorg", "example.org", false},
		{"*.org", "example.org", true},
		{"*.org", ".org", true},
		{"*.org", "org", false},
		{"*.org", "example.org.net", false},
		{"a*", "a", true},
		{"a*", "abc", true},
		{"a*", "ba", false},
		{"a*a", "a", false},
		{"a*a", "aa", true},
		{"ab*ba", "aba", false},
		{"ab*ba", "abba", true},
		{"*a*", "bab", true},
		{"*a*", "bbb", false},
		{"*ab*ba*", "xabxbax", true},
		{"*ab*ba*", "xabax", false},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"a?c*", "aécd", true},
		{"*?", "", false},
		{"*?", "a", true},
		{"?*?", "a", false},
		{"?*?", "ab", true},
		{"*.evil-?.example", "a.evil-1.example", true},
		{"*.evil-?.example", "a.evil-12.example", false},
		{"[a-z]", "b", false},
		{"[a-z]", "[a-z]", true},
		{`\*`, `\anything`, true},
		{"STRAßE", "straße", true},
		{"straße", "strasse", false},
		{"ΣΟΦΟΣ", "σοφος", true},
		{"kelvin", "\u212aelvin", true},
		{"*ſ*", "S", true},
		{"é", "e\u0301", false},
		{long, long, true},
		{long + "?", long + "b", true},
		{long + "?", long, false},
		{"*" + long + "?*", "b" + long + "bb", true},
		{"*" + long + "?*", "b" + long, false},
		{strings.Repeat("*a", 100) + "*", strings.Repeat("a", 99), false},
		{strings.Repeat("*a", 100) + "*", strings.Repeat("a", 100), true},
		{strings.Repeat("?", 64), strings.Repeat("a", 64), true},
		{strings.Repeat("?", 64), strings.Repeat("a", 63), false},
		{strings.Repeat("?", 63) + "*", strings.Repeat("a", 70), true},
	} {
		s, err := Compile(c.pattern)
		if err != nil {
			t.Fatalf("%q: %v", c.pattern, err)
		}
		if got := s.Match(c.text); got != c.want {
			t.Errorf("%q on %q: got %v, want %v", c.pattern, c.text, got, c.want)
		}
		if got := naive([]rune(string(Fold(nil, c.pattern))), []rune(string(Fold(nil, c.text)))); got != c.want {
			t.Errorf("the oracle: %q on %q: got %v, want %v", c.pattern, c.text, got, c.want)
		}
	}
}

func TestFirst(t *testing.T) {
	s, err := Compile("a.example", "*.example", "b?.example", "*b*b*", "*", "a.example")
	if err != nil {
		t.Fatal(err)
	}
	if s.Len() != 6 {
		t.Errorf("got %d globs, want 6", s.Len())
	}
	for _, c := range []struct {
		text string
		want []int // all that match
	}{
		{"a.example", []int{0, 1, 4, 5}},
		{"A.Example", []int{0, 1, 4, 5}},
		{"b1.example", []int{1, 2, 4}},
		{"bb.example", []int{1, 2, 3, 4}},
		{"bb", []int{3, 4}},
		{"", []int{4}},
	} {
		var text Text
		text.Set(c.text)
		var got []int
		for i := s.First(&text, 0); i >= 0; i = s.First(&text, i+1) {
			got = append(got, i)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: got %v, want %v", c.text, got, c.want)
		}
	}
}

func TestZeroSet(t *testing.T) {
	var s Set
	if s.Match("") || s.Match("a") || s.Len() != 0 {
		t.Error("the zero set matches")
	}
}

func TestCompileRefuses(t *testing.T) {
	many := make([]string, 40)
	for i := range many {
		many[i] = "?" + strings.Repeat("a", 250)
	}
	for _, c := range []struct {
		name     string
		patterns []string
	}{
		{"not UTF-8", []string{"ok", "\xff"}},
		{"too long", []string{strings.Repeat("é", MaxLen+1)}},
		{"too much together", many},
	} {
		if s, err := Compile(c.patterns...); err == nil || s != nil {
			t.Errorf("%s: no error", c.name)
		}
	}
	if _, err := Compile(strings.Repeat("é", MaxLen)); err != nil {
		t.Error(err)
	}
}

// TestFoldRune: all cases of a character fold to one, folding twice changes
// nothing, and the short ways agree with the tables.
func TestFoldRune(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		f := FoldRune(r)
		if want := foldSlowly(r); f != want {
			t.Errorf("%U: got %U, want %U", r, f, want)
		}
		if again := FoldRune(f); again != f {
			t.Errorf("%U: folds to %U, that to %U", r, f, again)
		}
		if other := FoldRune(unicode.SimpleFold(r)); other != f {
			t.Errorf("%U: folds to %U, its other case to %U", r, f, other)
		}
		if f == '*' && r != '*' || f == '?' && r != '?' {
			t.Errorf("%U folds to a wildcard", r)
		}
	}
}

func TestMatchingDoesNotAllocate(t *testing.T) {
	s, err := Compile("a", "*.b", "c?d", "*e*f*", "ü*")
	if err != nil {
		t.Fatal(err)
	}
	var text Text
	for _, c := range []string{"x.b", "Hello WORLD, ä", strings.Repeat("é", 1000)} {
		text.Set(c)
		if n := testing.AllocsPerRun(10, func() { text.Set(c); s.First(&text, 0) }); n != 0 {
			t.Errorf("%.20q: %v allocations, want 0", c, n)
		}
	}
}

// FuzzMatch: a set says of each of its globs what the obvious recursive matcher
// says, in whatever order and company.
func FuzzMatch(f *testing.F) {
	f.Add("*.example", "b?.example", "*b*b*", "bb.example")
	f.Add("a*b*c?", "", "?", "aXbXcX")
	f.Add("ſ*", "K?", "*é", "Kelviné")
	f.Fuzz(func(t *testing.T, a, b, c, text string) {
		patterns := []string{a, b, c}
		s, err := Compile(patterns...)
		if err != nil || len(text) > 200 || len(a)+len(b)+len(c) > 200 {
			return
		}
		folded := []rune(string(Fold(nil, text)))
		var ready Text
		ready.Set(text)
		for i, p := range patterns {
			want := naive([]rune(string(Fold(nil, p))), folded)
			if got := s.First(&ready, i) == i; got != want {
				t.Errorf("%q on %q: got %v, want %v", p, text, got, want)
			}
		}
	})
}

// naive matches by filling the table of which beginnings match which.
func naive(pattern, text []rune) bool {
	row := make([]bool, len(text)+1)
	row[0] = true
	for _, c := range pattern {
		next := make([]bool, len(text)+1)
		next[0] = c == '*' && row[0]
		for i := range text {
			if c == '*' {
				next[i+1] = row[i+1] || next[i]
			} else {
				next[i+1] = row[i] && (c == '?' || c == text[i])
			}
		}
		row = next
	}
	return row[len(text)]
}

func ExampleSet() {
	s, err := Compile("*.example.org", "spam-??.example")
	if err != nil {
		panic(err)
	}
	var name Text
	for _, n := range []string{"Matrix.Example.ORG", "spam-17.example", "example.org"} {
		name.Set(n)
		fmt.Println(n, s.First(&name, 0))
	}
	// Output:
	// Matrix.Example.ORG 0
	// spam-17.example 1
	// example.org -1
}
