package config

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// noticesFolder returns a folder with a token, and the path of a configuration in it.
func noticesFolder(t *testing.T) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, filepath.Join(dir, "config.toml")
}

// TestNotices: the defaults, and every key.
func TestNotices(t *testing.T) {
	dir, path := noticesFolder(t)
	all := []string{"reload", "faults", "dropped", "lists", "monitor", "undecided", "denied"}
	for _, tt := range []struct {
		name, text string
		want       Notices
	}{
		{"none", "", Notices{Every: 5 * time.Minute, What: all}},
		{"all keys", `[notices]
every = "10s"
what = ["allowed", "denied"]
[[notices.webhook]]
url = "https://hooks.example/a?b=c"
token_file = "token"
[[notices.webhook]]
url = "http://[::1]:8080/"
[[notices.room]]
homeserver = "https://matrix.example"
room = "!r:matrix.example"
token_file = "token"
`, Notices{Every: 10 * time.Second, What: []string{"allowed", "denied"},
			Webhooks: []NoticeWebhook{
				{URL: &url.URL{Scheme: "https", Host: "hooks.example", Path: "/a", RawQuery: "b=c"}, TokenFile: filepath.Join(dir, "token")},
				{URL: &url.URL{Scheme: "http", Host: "[::1]:8080", Path: "/"}},
			},
			Rooms: []NoticeRoom{{Homeserver: &url.URL{Scheme: "https", Host: "matrix.example"}, Room: "!r:matrix.example", TokenFile: filepath.Join(dir, "token")}},
		}},
		{"upstream's homeserver", upstreamURL + "[[notices.room]]\nroom = \"!r:matrix.example\"\ntoken_file = \"token\"\n", Notices{Every: 5 * time.Minute, What: all,
			Rooms: []NoticeRoom{{Homeserver: &url.URL{Scheme: "http", Host: "127.0.0.1:8008"}, Room: "!r:matrix.example", TokenFile: filepath.Join(dir, "token")}},
		}},
	} {
		c, err := Parse(least+tt.text, path)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, c.Notices); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestNoticesRefused: what makes no sense is named, and no URL, which may be a
// secret, is repeated.
func TestNoticesRefused(t *testing.T) {
	_, path := noticesFolder(t)
	room := "[[notices.room]]\nhomeserver = \"https://m.example\"\nroom = \"!r:m.example\"\ntoken_file = \"token\"\n"
	hook := func(url string) string { return "[[notices.webhook]]\nurl = \"" + url + "\"\n" }
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"unknown key", "[notices]\nevry = \"1m\"\n", []string{"notices.evry: unknown key", "every"}},
		{"unknown key of a webhook", hook("https://a.example") + "uri = \"x\"\n", []string{"notices.webhook.uri: unknown key", "token_file"}},
		{"too often", "[notices]\nevery = \"9s\"\n", []string{"notices.every", `"9s"`, "10s"}},
		{"too seldom", "[notices]\nevery = \"200h\"\n", []string{"notices.every", "168h"}},
		{"no time", "[notices]\nevery = \"soon\"\n", []string{"notices.every", `"soon"`}},
		{"what", "[notices]\nwhat = [\"denials\"]\n", []string{"notices.what", `"denials"`, `"denied"`}},
		{"what twice", "[notices]\nwhat = [\"denied\", \"denied\"]\n", []string{"notices.what", `"denied"`}},
		{"nothing", "[notices]\nwhat = []\n", []string{"notices.what: empty"}},
		{"plain HTTP", hook("http://hooks.example/SECRET"), []string{"notices.webhook[0].url: http is for a loopback address only"}},
		{"plain HTTP by a name", hook("http://localhost/SECRET"), []string{"notices.webhook[0].url: http"}},
		{"another scheme", hook("ftp://hooks.example/SECRET"), []string{"notices.webhook[0].url: no URL for this"}},
		{"no host", hook("https:///SECRET"), []string{"notices.webhook[0].url"}},
		{"a user", hook("https://a:SECRET@hooks.example"), []string{"notices.webhook[0].url"}},
		{"a fragment", hook("https://hooks.example#SECRET"), []string{"notices.webhook[0].url"}},
		{"no URL", "[[notices.webhook]]\n", []string{"notices.webhook[0].url"}},
		{"no token file", hook("https://a.example") + "token_file = \"none\"\n", []string{"notices.webhook[0].token_file", "no such file"}},
		{"no homeserver", "[[notices.room]]\nroom = \"!r:m.example\"\ntoken_file = \"token\"\n", []string{"notices.room[0].homeserver: missing"}},
		{"a homeserver with a path", strings.Replace(room, "m.example\"", "m.example/x\"", 1), []string{"notices.room[0].homeserver"}},
		{"an alias", strings.Replace(room, "!r", "#r", 1), []string{"notices.room[0].room", "no alias"}},
		{"no token", strings.Replace(room, "token_file = \"token\"\n", "", 1), []string{"notices.room[0].token_file: missing"}},
		{"too many", strings.Repeat(room, 5) + strings.Repeat(hook("https://a.example"), 4), []string{"notices: 9 webhooks and rooms; at most 8"}},
	} {
		_, err := Parse(least+tt.text, path)
		if err == nil {
			t.Errorf("%s: accepted", tt.name)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", tt.name, err, want)
			}
		}
		if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %q repeats the URL", tt.name, err)
		}
	}
}

// TestSampleNotices: what the sample has as comments loads, and says the defaults.
func TestSampleNotices(t *testing.T) {
	text, err := os.ReadFile("../../../config.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, path := noticesFolder(t)
	_, after, _ := strings.Cut(string(text), "# [notices]\n")
	after, _, _ = strings.Cut(after, "\n\n")
	sample := "[notices]\n"
	for _, key := range regexp.MustCompile(`(?m)^# ((?:every|what|url|room|homeserver|token_file) = .*|\[\[notices.*\]\])$`).FindAllStringSubmatch(after, -1) {
		sample += strings.Replace(key[1], "/etc/knockgate/", "", 1) + "\n"
	}
	sample = regexp.MustCompile(`token_file = ".*"`).ReplaceAllString(sample, `token_file = "token"`)
	c, err := Parse(least+sample, path)
	if err != nil {
		t.Fatalf("%v\n%s", err, sample)
	}
	n := c.Notices
	if n.Every != DefaultNoticesEvery || !slices.Equal(n.What, NoticeKinds[:len(NoticeKinds)-1]) || len(n.Webhooks) != 1 || len(n.Rooms) != 1 {
		t.Errorf("%+v of\n%s", n, sample)
	}
}
