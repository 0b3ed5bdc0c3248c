package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"aead.dev/minisign"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

func (f *file) checkPolicies(c *Config, faults *faults, dir string) {
	c.Policies = Policies{Dir: under(dir, f.Policies.Dir), Default: f.Policies.Default, Watch: f.Policies.Watch, OnBadStart: f.Policies.OnBadStart}
	if d := f.Policies.Default; d != "allow" && d != "deny" {
		faults.addf("policies.default", "%q; must be \"allow\" or \"deny\"", d)
	}
	for _, text := range f.Policies.Signers {
		var key minisign.PublicKey
		if err := key.UnmarshalText([]byte(text)); err != nil || strings.ContainsAny(text, "\r\n") {
			faults.addf("policies.signers", "%q is no minisign public key; it is the line that \"knockgate policy key\" prints", text)
		}
		c.Policies.Signers = append(c.Policies.Signers, key)
	}
	if o := f.Policies.OnBadStart; o != "refuse" && o != "default" {
		faults.addf("policies.on_bad_start", "%q; must be \"refuse\" or \"default\"", o)
	}
	seen := map[string]bool{}
	for i, p := range f.Policy {
		key := fmt.Sprintf("policy[%d]", i)
		if p.Name == "" || len(p.Name) > 64 || strings.ContainsFunc(p.Name, notInName) {
			faults.addf(key+".name", "%q; must be 1 to 64 of a-z, 0-9, '-' and '_'", p.Name)
		} else {
			key = "policy." + p.Name
		}
		if p.Name == "permit" {
			faults.addf(key+".name", "\"permit\" is what decisions of \"knockgate allow\" are recorded under; take another")
		}
		if seen[p.Name] {
			faults.addf(key+".name", "stands twice; each policy of the chain needs a name of its own")
		}
		seen[p.Name] = true

		policy := Policy{Name: p.Name, Digest: p.Digest, OnError: p.OnError, Mode: p.Mode, Phases: p.Phases, Rooms: p.Rooms, Origins: p.Origins, Grants: p.Grants}
		if p.Module == "" {
			faults.addf(key+".module", "missing; the path of a .wasm file under %s", c.Policies.Dir)
		} else {
			policy.Module = under(c.Policies.Dir, filepath.FromSlash(p.Module))
		}
		switch p.OnError {
		case "":
			policy.OnError = "deny"
		case "deny", "allow", "pass":
		default:
			faults.addf(key+".on_error", "%q; must be \"deny\", \"allow\" or \"pass\"", p.OnError)
		}
		switch p.Mode {
		case "":
			policy.Mode = "enforce"
		case "enforce", "monitor":
		default:
			faults.addf(key+".mode", "%q; must be \"enforce\" or \"monitor\"", p.Mode)
		}
		if hex, ok := strings.CutPrefix(p.Digest, "sha256:"); p.Digest != "" && (!ok || len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "") {
			faults.addf(key+".digest", "%q; must be \"sha256:\" and the module's SHA-256 as 64 hex digits in lower case", p.Digest)
		}
		for _, phase := range p.Phases {
			if phase != "make_knock" && phase != "send_knock" {
				faults.addf(key+".phases", "%q; must be \"make_knock\" or \"send_knock\"", phase)
			}
		}
		checkGlobs(faults, key+".rooms", p.Rooms)
		checkGlobs(faults, key+".origins", p.Origins)
		if p.Fuel != nil {
			policy.Fuel = *p.Fuel
			if *p.Fuel < 1 || *p.Fuel > maxFuel {
				faults.addf(key+".fuel", "%d; must be 1 to %d ticks", *p.Fuel, maxFuel)
			}
		}
		switch p.Isolation {
		case "":
			policy.Isolation = "reuse"
		case "reuse", "reset", "fresh":
			policy.Isolation = p.Isolation
		default:
			faults.addf(key+".isolation", "%q; must be \"reuse\", \"reset\" or \"fresh\"", p.Isolation)
		}
		for _, grant := range p.Grants {
			if grant != "kv" && grant != "lists" {
				faults.addf(key+".grants", "%q; must be \"kv\" or \"lists\"", grant)
			}
		}
		if p.Settings != nil {
			policy.Settings = appendJSON(nil, p.Settings, key+".settings", faults)
		}
		c.Policies.Chain = append(c.Policies.Chain, policy)
	}
}

// maxFuel is plugins.MaxFuel: the engine refuses more.
const maxFuel = 5_000_000

func (f *file) checkLists(c *Config, faults *faults, dir string) {
	seen := map[string]bool{}
	for i, l := range f.Lists {
		key := fmt.Sprintf("list[%d]", i)
		if l.Name == "" || len(l.Name) > 64 || strings.ContainsFunc(l.Name, notInName) {
			faults.addf(key+".name", "%q; must be 1 to 64 of a-z, 0-9, '-' and '_'", l.Name)
		} else {
			key = "list." + l.Name
		}
		if seen[l.Name] {
			faults.addf(key+".name", "stands twice; each list needs a name of its own")
		}
		seen[l.Name] = true
		list := List{Name: l.Name}
		given := 0
		for _, source := range []string{l.File, l.URL, l.Room} {
			if source != "" {
				given++
			}
		}
		otherwise := DefaultListEvery
		switch {
		case given > 1:
			faults.addf(key, "file, url and room: give one of them")
		case l.URL != "":
			list.URL = checkListURL(faults, key+".url", l.URL)
		case l.Room != "":
			list.Room = f.checkListRoom(c, faults, key+".room", l.Room)
			otherwise = DefaultListRoomEvery
		case l.File == "":
			faults.addf(key+".file", "missing; the path of a text file with an entry a line, or a url or room")
		default:
			list.File = under(dir, filepath.FromSlash(l.File))
			faults.mustBeFile(key+".file", list.File)
		}
		switch {
		case l.URL != "" || l.Room != "":
			list.Every = checkDuration(faults, key+".every", l.Every, otherwise)
			if list.Every < MinListEvery {
				faults.addf(key+".every", "%q; at least %q", l.Every, MinListEvery)
			}
		case l.Every != "":
			faults.addf(key+".every", "only with url or room; a file is read when it changes")
		}
		c.Lists = append(c.Lists, list)
	}
}

// How often a list with a URL or a room is fetched, by default and at most.
const (
	DefaultListEvery     = time.Hour
	DefaultListRoomEvery = 5 * time.Minute
	MinListEvery         = time.Minute
)

// checkListRoom returns the policy room that text is. The homeserver must tell of it.
func (f *file) checkListRoom(c *Config, faults *faults, key, text string) matrix.RoomID {
	room, err := matrix.ParseRoomID(text)
	if err != nil {
		faults.addf(key, "%v; the ID of a room, such as \"!abc:lists.example.org\", and no alias", err)
	}
	switch {
	case c.Upstream == nil:
		faults.addf(key, "only with [upstream]: the rooms of this server have no rules of a policy list")
	case c.Upstream.Bot == nil && c.Upstream.Admin == nil:
		faults.addf(key, "needs [upstream.bot], whose user has joined the room, or [upstream.admin]")
	}
	return room
}

// checkListURL returns where a list is fetched from: by https, as it decides who
// gets in, or from this machine.
func checkListURL(faults *faults, key, text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		faults.addf(key, "%q; must be like \"https://lists.example.org/servers.txt\"", text)
		return nil
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if u.Scheme == "http" && (err != nil || !addr.IsLoopback()) {
		faults.addf(key, "%q: http is for a loopback address only; use https", text)
	}
	return u
}

func notInName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}

// appendJSON appends a TOML value as canonical JSON. Canonical JSON has no
// fractions and TOML's dates are no JSON: both are faults at their key.
func appendJSON(dst []byte, value any, key string, faults *faults) []byte {
	switch v := value.(type) {
	case string:
		return canonicaljson.AppendString(dst, v)
	case bool:
		return strconv.AppendBool(dst, v)
	case int64:
		const most = 1<<53 - 1
		if v > most || v < -most {
			faults.addf(key, "%d; must be between -%d and %d", v, most, most)
		}
		return strconv.AppendInt(dst, v, 10)
	case map[string]any:
		dst = append(dst, '{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = canonicaljson.AppendString(dst, name)
			dst = append(dst, ':')
			dst = appendJSON(dst, v[name], key+"."+name, faults)
		}
		return append(dst, '}')
	case []map[string]any:
		dst = append(dst, '[')
		for i, item := range v {
			dst = appendItem(dst, i, item, key, faults)
		}
		return append(dst, ']')
	case []any:
		dst = append(dst, '[')
		for i, item := range v {
			dst = appendItem(dst, i, item, key, faults)
		}
		return append(dst, ']')
	case float64:
		faults.addf(key, "%v; settings take whole numbers only", v)
	default:
		faults.addf(key, "a date or time; write it as a string in quotes")
	}
	return append(dst, "null"...)
}

func appendItem(dst []byte, i int, item any, key string, faults *faults) []byte {
	if i > 0 {
		dst = append(dst, ',')
	}
	return appendJSON(dst, item, fmt.Sprintf("%s[%d]", key, i), faults)
}
