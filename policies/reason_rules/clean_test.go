package main

import (
	"strings"
	"testing"
	"unicode"
)

// FuzzAppendClean: a cleaned text holds nothing invisible and no white space but
// single spaces inside, and cleaning it again changes nothing.
func FuzzAppendClean(f *testing.F) {
	for _, seed := range []string{"", " a \t b ", "a\u200b\u202eB", "İſ\u212a", "\xff\xfe", "\u00ad \u3164x", "e\u0301"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := string(appendClean(nil, text))
		for _, c := range got {
			if invisible(c) || unicode.IsSpace(c) && c != ' ' {
				t.Errorf("%q: %q holds %U", text, got, c)
			}
		}
		if strings.Contains(got, "  ") || strings.TrimSpace(got) != got {
			t.Errorf("%q: %q has spaces to spare", text, got)
		}
		if again := string(appendClean(nil, got)); again != got {
			t.Errorf("%q: %q, cleaned again %q", text, got, again)
		}
		if behind := string(appendClean([]byte("x "), text)); behind != "x "+got {
			t.Errorf("%q: behind other bytes %q", text, behind)
		}
	})
}
