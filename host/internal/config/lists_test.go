package config

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestLists: lists of each source, with the time that each has by default.
func TestLists(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"token", "a.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Parse(least+upstreamURL+`[upstream.bot]
token_file = "token"
[[list]]
name = "a"
file = "a.txt"
[[list]]
name = "b"
url = "https://b.example/l"
[[list]]
name = "c"
room = "!c:d.example"
[[list]]
name = "d"
room = "!xfLHNOrtdL-3Xzwsbrd1WcwVyvcPZXTtYFHqFyVxHmA"
every = "1m"
`, filepath.Join(dir, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	want := []List{
		{Name: "a", File: filepath.Join(dir, "a.txt")},
		{Name: "b", URL: &url.URL{Scheme: "https", Host: "b.example", Path: "/l"}, Every: time.Hour},
		{Name: "c", Room: "!c:d.example", Every: 5 * time.Minute},
		{Name: "d", Room: "!xfLHNOrtdL-3Xzwsbrd1WcwVyvcPZXTtYFHqFyVxHmA", Every: time.Minute},
	}
	if diff := cmp.Diff(want, c.Lists); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSampleLists: the lists that the sample has as comments load, and say the
// defaults.
func TestSampleLists(t *testing.T) {
	text, err := os.ReadFile("../../../config.toml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"token", "lists/spam-servers.txt"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, after, _ := strings.Cut(string(text), "# [[list]]\n")
	sample := "[[list]]\n"
	for _, key := range regexp.MustCompile(`(?m)^# ((?:name|file|url|room|every) = .*|\[\[list\]\])$`).FindAllStringSubmatch(after, -1) {
		sample += key[1] + "\n"
	}
	c, err := Parse(least+upstreamURL+"[upstream.bot]\ntoken_file = \"token\"\n"+sample, filepath.Join(dir, "config.toml"))
	if err != nil {
		t.Fatalf("%v\n%s", err, sample)
	}
	if len(c.Lists) != 3 || c.Lists[0].File == "" || c.Lists[1].Every != DefaultListEvery || c.Lists[2].Room == "" || c.Lists[2].Every != DefaultListRoomEvery {
		t.Errorf("%+v of\n%s", c.Lists, sample)
	}
}
