package appservice

import (
	"os"
	"path/filepath"
	"testing"
)

func TestYAML(t *testing.T) {
	r := Registration{Server: "[::1]:8448", ID: "gate", URL: "http://127.0.0.1:8009", SenderLocalpart: "gate.1", Tokens: Tokens{AS: "aaa", HS: "bbb"}}
	const want = `id: "gate"
url: "http://127.0.0.1:8009"
as_token: "aaa"
hs_token: "bbb"
sender_localpart: "gate.1"
rate_limited: false
receive_ephemeral: false
namespaces:
  users:
    - exclusive: true
      regex: "^@gate\\.1:\\[::1\\]:8448$"
  aliases: []
  rooms:
    - exclusive: false
      regex: ".*"
`
	if got := string(r.YAML()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestTokens: made once, the same afterwards, other ones after a rotation, and never
// to be read by others.
func TestTokens(t *testing.T) {
	dir := t.TempDir()
	open := func() (Tokens, bool) {
		t.Helper()
		tokens, made, err := OpenTokens(dir)
		if err != nil {
			t.Fatal(err)
		}
		return tokens, made
	}
	first, made := open()
	if !made || first.AS == "" || first.AS == first.HS || len(first.AS) < 26 || len(first.HS) < 26 {
		t.Errorf("first: %+v, made %v", first, made)
	}
	if again, made := open(); made || again != first {
		t.Errorf("again: %+v, made %v; want %+v", again, made, first)
	}
	rotated, err := RotateTokens(dir)
	if err != nil || rotated.AS == first.AS || rotated.HS == first.HS {
		t.Errorf("rotated: %+v, %v", rotated, err)
	}
	if again, made := open(); made || again != rotated {
		t.Errorf("after the rotation: %+v, made %v; want %+v", again, made, rotated)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("the folder has %v, %v; want the two files", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v; want 0600", e.Name(), info.Mode(), err)
		}
	}
}

// TestDamagedTokens: no half a token is taken, and a rotation mends it.
func TestDamagedTokens(t *testing.T) {
	for _, text := range []string{"", "\n", "a b\n", "a\n\n", "a\nb\n", "ä\n", "a\x00\n", string(make([]byte, maxToken+1))} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, ASTokenFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if tokens, _, err := OpenTokens(dir); err == nil {
			t.Errorf("%q: taken as %+v", text, tokens)
		}
		if _, err := RotateTokens(dir); err != nil {
			t.Errorf("%q: rotate: %v", text, err)
		}
		if _, made, err := OpenTokens(dir); err != nil || made {
			t.Errorf("%q: after a rotation: made %v, %v", text, made, err)
		}
	}
}
