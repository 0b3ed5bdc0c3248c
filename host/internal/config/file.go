package config

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// file is the configuration as it is written. check turns it into a Config.
type file struct {
	ServerName string `toml:"server_name"`
	StateDir   string `toml:"state_dir"`
	Listen     struct {
		Federation  string `toml:"federation"`
		TLS         bool   `toml:"tls"`
		Certificate string `toml:"tls_certificate"`
		Key         string `toml:"tls_key"`
	} `toml:"listen"`
	Federation struct {
		Allow              []string `toml:"allow"`
		Deny               []string `toml:"deny"`
		RequestsPerSecond  float64  `toml:"requests_per_second"`
		Burst              int      `toml:"burst"`
		KnockRoomState     string   `toml:"knock_room_state"`
		AllowPrivate       []string `toml:"allow_private_addresses"`
		LoopbackSelfSigned bool     `toml:"loopback_self_signed"`

		Pinned   []serverKeys `toml:"pinned"`
		Notaries []serverKeys `toml:"notary"`
	} `toml:"federation"`
	Log struct {
		Level  string `toml:"level"`
		Format string `toml:"format"`
	} `toml:"log"`
	Upstream *upstream `toml:"upstream"`
	Rooms    []struct {
		Alias    string `toml:"alias"`
		Name     string `toml:"name"`
		Version  string `toml:"version"`
		JoinRule string `toml:"join_rule"`
	} `toml:"room"`
	Policies struct {
		Dir     string `toml:"dir"`
		Default string `toml:"default"`
		Watch   bool   `toml:"watch"`

		OnBadStart string   `toml:"on_bad_start"`
		Signers    []string `toml:"signers"`
	} `toml:"policies"`
	Policy []struct {
		Name      string         `toml:"name"`
		Module    string         `toml:"module"`
		Digest    string         `toml:"digest"`
		Mode      string         `toml:"mode"`
		OnError   string         `toml:"on_error"`
		Phases    []string       `toml:"phases"`
		Rooms     []string       `toml:"rooms"`
		Origins   []string       `toml:"origins"`
		Grants    []string       `toml:"grants"`
		Fuel      *int64         `toml:"fuel"`
		Isolation string         `toml:"isolation"`
		Settings  map[string]any `toml:"settings"`
	} `toml:"policy"`
	Lists []struct {
		Name  string `toml:"name"`
		File  string `toml:"file"`
		URL   string `toml:"url"`
		Room  string `toml:"room"`
		Every string `toml:"every"`
	} `toml:"list"`
	Decisions struct {
		KeepFacts bool   `toml:"keep_facts"`
		MaxAge    string `toml:"max_age"`
		MaxCount  int64  `toml:"max_count"`
		Reference bool   `toml:"reference"`
	} `toml:"decisions"`
	Admin struct {
		Listen      string   `toml:"listen"`
		TokenFile   string   `toml:"token_file"`
		Certificate string   `toml:"tls_certificate"`
		Key         string   `toml:"tls_key"`
		Hosts       []string `toml:"hosts"`
	} `toml:"admin"`
	Notices notices `toml:"notices"`
}

// serverKeys is a server with its keys by their IDs.
type serverKeys struct {
	Server string            `toml:"server"`
	Keys   map[string]string `toml:"keys"`
}

// Defaults of the keys that have one.
const (
	DefaultStateDir          = "state"
	DefaultListen            = "127.0.0.1:8448"
	SampleAdminListen        = "127.0.0.1:9448" // there is none by default
	DefaultRequestsPerSecond = 20
	DefaultBurst             = 100
	DefaultKnockRoomState    = "auto"
	DefaultRoomVersion       = "11"
	DefaultPoliciesDir       = "policies"
	DefaultDecisionsMaxAge   = "2160h"
	DefaultDecisionsMaxCount = 1_000_000
)

func defaults() (f file) {
	f.StateDir = DefaultStateDir
	f.Listen.Federation = DefaultListen
	f.Listen.TLS = true
	f.Federation.Allow = []string{"*"}
	f.Federation.RequestsPerSecond = DefaultRequestsPerSecond
	f.Federation.Burst = DefaultBurst
	f.Federation.KnockRoomState = DefaultKnockRoomState
	f.Log.Level = "info"
	f.Log.Format = "text"
	f.Policies.Dir = DefaultPoliciesDir
	f.Policies.Default = "deny"
	f.Policies.Watch = true
	f.Decisions.KeepFacts = true
	f.Decisions.MaxAge = DefaultDecisionsMaxAge
	f.Decisions.MaxCount = DefaultDecisionsMaxCount
	f.Policies.OnBadStart = "refuse"
	return f
}

// check returns what f says, taking relative paths from dir, and adds every
// fault to faults.
func (f *file) check(faults *faults, dir string) *Config {
	c := &Config{StateDir: under(dir, f.StateDir)}
	var err error
	if f.ServerName == "" {
		faults.addf("server_name", "missing; the name of this server in Matrix, such as \"matrix.example.org\"")
	} else if c.ServerName, err = matrix.ParseServerName(f.ServerName); err != nil {
		faults.addf("server_name", "%v", err)
	}
	if f.StateDir == "" {
		faults.addf("state_dir", "empty; a folder for the key and the store, such as %q", DefaultStateDir)
	}
	f.checkListen(c, faults, dir)
	f.checkAdmin(c, faults, dir)
	f.checkFederation(c, faults)
	f.checkLog(c, faults)
	f.checkUpstream(c, faults, dir)
	f.checkRooms(c, faults)
	f.checkPolicies(c, faults, dir)
	f.checkLists(c, faults, dir)
	f.checkDecisions(c, faults)
	f.checkNotices(c, faults, dir)
	return c
}

func (f *file) checkDecisions(c *Config, faults *faults) {
	d := f.Decisions
	age, err := time.ParseDuration(d.MaxAge)
	if err != nil || age < 0 {
		faults.addf("decisions.max_age", "%q is no time; say \"720h\" for 30 days, or \"0s\" for no bound", d.MaxAge)
	}
	if d.MaxCount < 0 {
		faults.addf("decisions.max_count", "%d; at least 1, or 0 for no bound", d.MaxCount)
	}
	c.Decisions = Decisions{KeepFacts: d.KeepFacts, MaxAge: age, MaxCount: d.MaxCount, Reference: d.Reference}
}

func (f *file) checkFederation(c *Config, faults *faults) {
	fed := &c.Federation
	fed.Allow, fed.Deny = f.Federation.Allow, f.Federation.Deny
	fed.RequestsPerSecond, fed.Burst = f.Federation.RequestsPerSecond, f.Federation.Burst
	if !(fed.RequestsPerSecond > 0) {
		faults.addf("federation.requests_per_second", "%v; must be more than 0", fed.RequestsPerSecond)
	}
	if fed.Burst < 1 {
		faults.addf("federation.burst", "%d; must be at least 1", fed.Burst)
	}
	fed.KnockRoomState = f.Federation.KnockRoomState
	switch fed.KnockRoomState {
	case "auto", "stripped", "pdu":
	default:
		faults.addf("federation.knock_room_state", "%q; must be \"auto\", \"stripped\" or \"pdu\"", fed.KnockRoomState)
	}
	checkGlobs(faults, "federation.allow", fed.Allow)
	checkGlobs(faults, "federation.deny", fed.Deny)
	fed.AllowPrivate = checkPrefixes(faults, "federation.allow_private_addresses", f.Federation.AllowPrivate)
	fed.LoopbackSelfSigned = f.Federation.LoopbackSelfSigned
	fed.Pinned = checkServerKeys(c, faults, "federation.pinned", f.Federation.Pinned)
	fed.Notaries = checkServerKeys(c, faults, "federation.notary", f.Federation.Notaries)
	if len(fed.Notaries) > MaxNotaries {
		faults.addf("federation.notary", "%d notary servers; at most %d are asked", len(fed.Notaries), MaxNotaries)
	}
	f.checkLoopbackExceptions(c, faults)
}

// checkLoopbackExceptions refuses the exceptions that make a trial on one
// machine possible where others can reach the listener: they would let a peer
// make this server fetch from its own loopback services.
func (f *file) checkLoopbackExceptions(c *Config, faults *faults) {
	if !c.Listen.Federation.IsValid() || c.Listen.Loopback() {
		return
	}
	if c.Federation.LoopbackSelfSigned {
		faults.addf("federation.loopback_self_signed", "only for a server that listens on a loopback address; listen.federation is %s: remove this key", c.Listen.Federation)
	}
	for _, prefix := range c.Federation.AllowPrivate {
		if prefix.Overlaps(netip.MustParsePrefix("127.0.0.0/8")) || prefix.Overlaps(netip.MustParsePrefix("::1/128")) {
			faults.addf("federation.allow_private_addresses", "%q holds loopback addresses, only for a server that listens on a loopback address; listen.federation is %s: remove it", prefix, c.Listen.Federation)
		}
	}
}

func (f *file) checkLog(c *Config, faults *faults) {
	if err := c.Log.Level.UnmarshalText([]byte(f.Log.Level)); err != nil {
		faults.addf("log.level", "%q; must be \"debug\", \"info\", \"warn\" or \"error\"", f.Log.Level)
		c.Log.Level = slog.LevelInfo
	}
	switch f.Log.Format {
	case "text":
	case "json":
		c.Log.JSON = true
	default:
		faults.addf("log.format", "%q; must be \"text\" or \"json\"", f.Log.Format)
	}
}

func (f *file) checkRooms(c *Config, faults *faults) {
	seen := map[string]bool{}
	for _, r := range f.Rooms {
		alias := strings.TrimPrefix(r.Alias, "#")
		if alias == "" || strings.ContainsAny(alias, ":\x00") {
			faults.addf("room.alias", "%q; the alias without its server, such as \"#lobby\"", r.Alias)
		}
		if seen[alias] {
			faults.addf("room.alias", "%q stands twice", r.Alias)
		}
		seen[alias] = true
		if r.Version == "" {
			r.Version = DefaultRoomVersion
		}
		version, ok := matrix.LookupRoomVersion(r.Version)
		if !ok {
			faults.addf("room.version", "%q; must be one of %s", r.Version, strings.Join(matrix.RoomVersionIDs(), ", "))
			version = &matrix.RoomVersion{}
		}
		switch {
		case r.JoinRule == "":
			r.JoinRule = "knock"
		case r.JoinRule == "knock_restricted" && version.KnockRestricted:
		case r.JoinRule != "knock":
			faults.addf("room.join_rule", "%q; must be \"knock\" or, from room version 10 on, \"knock_restricted\"", r.JoinRule)
		}
		c.Rooms = append(c.Rooms, Room{Alias: alias, Name: r.Name, Version: version, JoinRule: r.JoinRule})
	}
}

// under returns path, taken from dir if it is relative.
func under(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

func (f *faults) mustBeFile(key, path string) {
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		f.addf(key, "%s: no such file", path)
	case !fi.Mode().IsRegular():
		f.addf(key, "%s: not a file", path)
	}
}

// checkPrefixes returns the address ranges that are some.
func checkPrefixes(faults *faults, key string, ranges []string) (prefixes []netip.Prefix) {
	for _, s := range ranges {
		prefix, err := netip.ParsePrefix(s)
		if err != nil || prefix != prefix.Masked() {
			faults.addf(key, "%q is not an address range such as \"10.0.0.0/8\" or \"::1/128\"", s)
			continue
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes
}

func checkGlobs(faults *faults, key string, globs []string) {
	for _, g := range globs {
		if g == "" || len(g) > 255 {
			faults.addf(key, "%q; a glob of 1 to 255 bytes, such as \"*.example.org\"", g)
		}
	}
}
