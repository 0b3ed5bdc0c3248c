package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// Notices is what an administrator is told, and where.
type Notices struct {
	// Every is how often, if there is something to tell. Default 5 min.
	Every time.Duration
	// What are the kinds of notices, of NoticeKinds. Default all but "allowed".
	What []string
	// Webhooks and Rooms are where to, at most MaxNoticeTargets in all; without any
	// nobody is told. Default none.
	Webhooks []NoticeWebhook
	Rooms    []NoticeRoom
}

// NoticeWebhook is a URL that notices are posted to.
type NoticeWebhook struct {
	// URL is https, or http on a loopback address. Required.
	URL *url.URL
	// TokenFile holds the bearer token, "" for none.
	TokenFile string
}

// NoticeRoom is a Matrix room that notices are sent to.
type NoticeRoom struct {
	// Homeserver is where its client-server API is. Default the URL of Upstream.
	Homeserver *url.URL
	// Room is the room's ID. Required.
	Room matrix.RoomID
	// TokenFile holds the access token of a user who has joined it. Required.
	TokenFile string
}

// notices are Notices as they are written.
type notices struct {
	Every    string   `toml:"every"`
	What     []string `toml:"what"`
	Webhooks []struct {
		URL       string `toml:"url"`
		TokenFile string `toml:"token_file"`
	} `toml:"webhook"`
	Rooms []struct {
		Homeserver string `toml:"homeserver"`
		Room       string `toml:"room"`
		TokenFile  string `toml:"token_file"`
	} `toml:"room"`
}

// NoticeKinds are the kinds of notices. The default is all but the last.
var NoticeKinds = []string{"reload", "faults", "dropped", "lists", "monitor", "undecided", "denied", "allowed"}

// Bounds and defaults of [notices].
const (
	DefaultNoticesEvery = 5 * time.Minute
	MinNoticesEvery     = 10 * time.Second
	MaxNoticesEvery     = 7 * 24 * time.Hour
	MaxNoticeTargets    = 8
)

func (f *file) checkNotices(c *Config, faults *faults, dir string) {
	n := &c.Notices
	n.Every = checkDuration(faults, "notices.every", f.Notices.Every, DefaultNoticesEvery)
	if n.Every < MinNoticesEvery || n.Every > MaxNoticesEvery {
		faults.addf("notices.every", "%q; must be %q to %q", f.Notices.Every, MinNoticesEvery, MaxNoticesEvery)
	}
	n.What = NoticeKinds[:len(NoticeKinds)-1]
	if f.Notices.What != nil {
		n.What = f.Notices.What
		for i, kind := range n.What {
			if !slices.Contains(NoticeKinds, kind) || slices.Contains(n.What[:i], kind) {
				faults.addf("notices.what", "%q; each once of %q", kind, NoticeKinds)
			}
		}
		if len(n.What) == 0 {
			faults.addf("notices.what", "empty; some of %q, or leave the targets out", NoticeKinds)
		}
	}
	if most := len(f.Notices.Webhooks) + len(f.Notices.Rooms); most > MaxNoticeTargets {
		faults.addf("notices", "%d webhooks and rooms; at most %d", most, MaxNoticeTargets)
	}
	for i, w := range f.Notices.Webhooks {
		key := fmt.Sprintf("notices.webhook[%d]", i)
		hook := NoticeWebhook{URL: checkWebhookURL(faults, key+".url", w.URL)}
		if w.TokenFile != "" {
			hook.TokenFile = under(dir, w.TokenFile)
			faults.mustBeFile(key+".token_file", hook.TokenFile)
		}
		n.Webhooks = append(n.Webhooks, hook)
	}
	for i, r := range f.Notices.Rooms {
		key := fmt.Sprintf("notices.room[%d]", i)
		room := NoticeRoom{}
		switch {
		case r.Homeserver != "":
			room.Homeserver = checkURL(faults, key+".homeserver", r.Homeserver)
		case c.Upstream != nil:
			room.Homeserver = c.Upstream.URL
		default:
			faults.addf(key+".homeserver", "missing; where the client-server API of the user's homeserver is, such as \"https://matrix.example.org\"")
		}
		var err error
		if room.Room, err = matrix.ParseRoomID(r.Room); err != nil {
			faults.addf(key+".room", "%v; the ID of a room, such as \"!abc:example.org\", and no alias", err)
		}
		if r.TokenFile == "" {
			faults.addf(key+".token_file", "missing; a file with the access token of a user who has joined the room")
		} else {
			room.TokenFile = under(dir, r.TokenFile)
			faults.mustBeFile(key+".token_file", room.TokenFile)
		}
		n.Rooms = append(n.Rooms, room)
	}
}

// checkWebhookURL returns the URL that text is. It may be a secret, so no fault
// repeats it.
func checkWebhookURL(faults *faults, key, text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Contains(text, "#") || u.Scheme != "https" && u.Scheme != "http" {
		faults.addf(key, "no URL for this; must be like \"https://hooks.example.org/knocks\", without a user and a fragment")
		return &url.URL{}
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if u.Scheme == "http" && (err != nil || !addr.IsLoopback()) {
		faults.addf(key, "http is for a loopback address only; use https")
	}
	return u
}
