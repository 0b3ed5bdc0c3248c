package matrix

import (
	"strings"
	"testing"
)

func TestParsePublicKey(t *testing.T) {
	const text = "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI"
	tests := []struct {
		name, text string
		ok         bool
	}{
		{"unpadded", text, true},
		{"padded", text + "=", true},
		{"empty", "", false},
		{"short", text[1:], false},
		{"long", "A" + text, false},
		{"padded twice", text + "==", false},
		{"URL-safe", "_" + text[1:], false},
		{"stray low bits", text[:42] + "J", false},
		{"line break", text[:20] + "\n" + text[20:], false},
		{"line break in place of a letter", text[:20] + "\n" + text[21:], false},
		{"line break in place of a letter, no bits left over", strings.Repeat("A", 42) + "\n", false},
		{"line break in place of the padding", text + "\n", false},
	}
	for _, tt := range tests {
		k, err := ParsePublicKey(tt.text)
		if (err == nil) != tt.ok || tt.ok && k.String() != text || !tt.ok && k != (PublicKey{}) {
			t.Errorf("%s: ParsePublicKey(%q) = %v, %v, want success %v", tt.name, tt.text, k, err, tt.ok)
		}
	}
}

// FuzzParsePublicKey: a key has one spelling beside its padding, and nothing is
// returned on error.
func FuzzParsePublicKey(f *testing.F) {
	f.Add("XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI=")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParsePublicKey(s)
		if err != nil {
			if k != (PublicKey{}) {
				t.Fatalf("ParsePublicKey(%q) = %v with error %v", s, k, err)
			}
			return
		}
		if k.String() != strings.TrimSuffix(s, "=") {
			t.Fatalf("ParsePublicKey(%q) = %v", s, k)
		}
	})
}

func TestCompromised(t *testing.T) {
	for text, want := range map[string]bool{
		"l/O9hxMVKB6Lg+3Hqf0FQQZhVESQcMzbPN1Cz2nM3og": true,
		"XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI": false,
	} {
		if got := mustPublicKey(text).Compromised(); got != want {
			t.Errorf("%s: compromised %v, want %v", text, got, want)
		}
	}
}
