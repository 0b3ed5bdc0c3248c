package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// TestSample: the documented sample loads, says what the defaults are, and its
// exceptions for loopback stand in it as exceptions.
func TestSample(t *testing.T) {
	c, err := Load("../../../config.toml")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Policies.Default, "allow"; got != want {
		t.Errorf("policies.default = %q, want %q", got, want)
	}
	if len(c.Policies.Chain) < 2 || len(c.Rooms) != 1 || c.Rooms[0].Alias != "lobby" {
		t.Errorf("the sample has %d policies and the rooms %+v; want two or more, and the lobby", len(c.Policies.Chain), c.Rooms)
	}
	for _, p := range c.Policies.Chain {
		if _, err := os.Stat(p.Module); err != nil {
			t.Errorf("policy %s: %v", p.Name, err)
		}
	}
	text, err := os.ReadFile("../../../config.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"allow_private_addresses", "loopback_self_signed"} {
		before, _, ok := strings.Cut(string(text), "\n"+key+" =")
		if comment := before[strings.LastIndex(before, "\n\n")+1:]; !ok || !strings.Contains(comment, "EXCEPTION") {
			t.Errorf("%s is not marked as an exception in config.toml", key)
		}
	}
}

// TestSampleBeyondLoopback: the sample's exceptions stop the start where the
// listener can be reached from elsewhere.
func TestSampleBeyondLoopback(t *testing.T) {
	text, err := os.ReadFile("../../../config.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"0.0.0.0:8448", "[::]:8448", "192.0.2.1:8448"} {
		open := strings.Replace(string(text), `federation = "127.0.0.1:8448"`, `federation = "`+address+`"`, 1)
		_, err := Parse(open, "/etc/knockgate/config.toml")
		if err == nil {
			t.Errorf("listening on %s with the loopback exceptions: no error", address)
			continue
		}
		for _, key := range []string{"allow_private_addresses", "loopback_self_signed", address} {
			if !strings.Contains(err.Error(), key) {
				t.Errorf("listening on %s: the error does not name %s:\n%v", address, key, err)
			}
		}
	}
}

// TestSampleServerKeys: what the sample has as comments loads as it stands there.
func TestSampleServerKeys(t *testing.T) {
	text, err := os.ReadFile("../../../config.toml")
	if err != nil {
		t.Fatal(err)
	}
	commented := regexp.MustCompile(`(?m)^# (\[\[federation\..*|server = .*|keys = .*)$`)
	c, err := Parse(commented.ReplaceAllString(string(text), "$1"), "/etc/knockgate/config.toml")
	if err != nil {
		t.Fatal(err)
	}
	if p, n := c.Federation.Pinned, c.Federation.Notaries; len(p) != 1 || len(p[0].Keys) != 1 || len(n) != 1 || len(n[0].Keys) != 1 {
		t.Errorf("pinned %+v, notaries %+v, want one of each with a key", p, n)
	}
}

const least = "server_name = \"a.example\"\n"

func TestDefaults(t *testing.T) {
	c, err := Parse(least, "/etc/knockgate/config.toml")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.StateDir, "/etc/knockgate/state"; got != want {
		t.Errorf("StateDir = %q, want %q", got, want)
	}
	if got, want := c.Policies.Default, "deny"; got != want {
		t.Errorf("Policies.Default = %q, want %q: a chain without the key lets nobody in", got, want)
	}
	if got, want := c.Federation.KnockRoomState, "auto"; got != want {
		t.Errorf("Federation.KnockRoomState = %q, want %q", got, want)
	}
	if !c.Decisions.KeepFacts || !c.Policies.Watch || c.Federation.LoopbackSelfSigned || len(c.Federation.AllowPrivate) != 0 || !c.Listen.Loopback() {
		t.Errorf("defaults: %+v", c)
	}
}

const aKey = "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI"

func manyNotaries(n int) (text string) {
	for i := range n {
		text += fmt.Sprintf("[[federation.notary]]\nserver = \"n%d.example\"\nkeys = { \"ed25519:auto\" = %q }\n", i, aKey)
	}
	return text
}

// TestServerKeys: keys come with or without padding, and as a table of their own.
func TestServerKeys(t *testing.T) {
	c, err := Parse(least+"[[federation.pinned]]\nserver = \"b.example:1\"\n[federation.pinned.keys]\n\"ed25519:a\" = \""+aKey+"=\"\n\"ed25519:b\" = \""+aKey+"\"\n"+manyNotaries(2), "/c.toml")
	if err != nil {
		t.Fatal(err)
	}
	key, err := matrix.ParsePublicKey(aKey)
	if err != nil {
		t.Fatal(err)
	}
	auto := map[matrix.KeyID]matrix.PublicKey{"ed25519:auto": key}
	want := []ServerKeys{{"b.example:1", map[matrix.KeyID]matrix.PublicKey{"ed25519:a": key, "ed25519:b": key}}}
	if diff := cmp.Diff(want, c.Federation.Pinned); diff != "" {
		t.Errorf("pinned (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]ServerKeys{{"n0.example", auto}, {"n1.example", auto}}, c.Federation.Notaries); diff != "" {
		t.Errorf("notaries (-want +got):\n%s", diff)
	}
}

// TestPlain: plain HTTP only where no other network than a private one ends.
func TestPlain(t *testing.T) {
	addrs := func(list ...string) (out []netip.Addr) {
		for _, a := range list {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	tests := []struct {
		federation string
		machine    []netip.Addr
		ok         bool
	}{
		{"127.0.0.1:8448", addrs("203.0.113.1"), true},
		{"[::1]:8448", nil, true},
		{"10.1.2.3:8448", addrs("203.0.113.1"), true},
		{"[fd00::1]:8448", nil, true},
		{"0.0.0.0:8448", addrs("127.0.0.1", "172.17.0.2", "fe80::1"), true},
		{"[::]:8448", addrs("127.0.0.1", "::1", "203.0.113.1"), false},
		{"0.0.0.0:8448", addrs("2001:db8::1"), false},
	}
	for _, tt := range tests {
		c, err := Parse(least+"[listen]\ntls = false\nfederation = \""+tt.federation+"\"\n", "/c.toml")
		if err != nil {
			t.Errorf("%s: %v", tt.federation, err)
			continue
		}
		if err := c.Listen.CheckPlain(tt.machine); (err == nil) != tt.ok || !c.Listen.Plain {
			t.Errorf("%s on a machine with %v: %v, want ok = %v", tt.federation, tt.machine, err, tt.ok)
		}
	}
	if c, err := Parse(least+"[listen]\nfederation = \"[::]:1\"\n", "/c.toml"); err != nil || c.Listen.Plain || c.Listen.CheckPlain(addrs("203.0.113.1")) != nil {
		t.Errorf("with TLS: %+v, %v", c, err)
	}
}

const upstreamURL = "[upstream]\nurl = \"http://127.0.0.1:8008\"\n"

// TestUpstream: the defaults, and every key. The admin API is where upstream is
// unless it is said to be elsewhere.
func TestUpstream(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"ca.pem", "token"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	here := func(address string) *url.URL { return &url.URL{Scheme: "http", Host: address} }
	tests := []struct {
		name, text string
		want       *Upstream
	}{
		{"none", "", nil},
		{"defaults", upstreamURL, &Upstream{URL: here("127.0.0.1:8008"), ConnectTimeout: 5 * time.Second, AnswerTimeout: time.Minute, FactsMaxAge: 5 * time.Second}},
		{
			"all", "[upstream]\nurl = \"https://hs.example\"\nca_file = \"ca.pem\"\nconnect_timeout = \"1s\"\nanswer_timeout = \"2m\"\n" +
				"trusted_proxies = [\"127.0.0.0/8\", \"::1/128\"]\nfacts_max_age = \"500ms\"\n[upstream.admin]\nurl = \"http://10.0.0.1:8008\"\ntoken_file = \"token\"\n" +
				"[upstream.bot]\nurl = \"http://10.0.0.2\"\ntoken_file = \"token\"\n",
			&Upstream{
				URL: &url.URL{Scheme: "https", Host: "hs.example"}, CAFile: filepath.Join(dir, "ca.pem"),
				ConnectTimeout: time.Second, AnswerTimeout: 2 * time.Minute,
				TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
				FactsMaxAge:    500 * time.Millisecond,
				Admin:          &UpstreamAPI{URL: here("10.0.0.1:8008"), TokenFile: filepath.Join(dir, "token")},
				Bot:            &UpstreamAPI{URL: here("10.0.0.2"), TokenFile: filepath.Join(dir, "token")},
			},
		},
		{
			"both where upstream is", upstreamURL + "[upstream.admin]\ntoken_file = \"token\"\n[upstream.bot]\ntoken_file = \"token\"\n",
			&Upstream{
				URL: here("127.0.0.1:8008"), ConnectTimeout: 5 * time.Second, AnswerTimeout: time.Minute, FactsMaxAge: 5 * time.Second,
				Admin: &UpstreamAPI{URL: here("127.0.0.1:8008"), TokenFile: filepath.Join(dir, "token")},
				Bot:   &UpstreamAPI{URL: here("127.0.0.1:8008"), TokenFile: filepath.Join(dir, "token")},
			},
		},
		{
			"application service, and facts kept longer", upstreamURL + "[upstream.appservice]\n[upstream.admin]\ntoken_file = \"token\"\n",
			&Upstream{
				URL: here("127.0.0.1:8008"), ConnectTimeout: 5 * time.Second, AnswerTimeout: time.Minute, FactsMaxAge: time.Minute,
				Admin: &UpstreamAPI{URL: here("127.0.0.1:8008"), TokenFile: filepath.Join(dir, "token")},
				Appservice: &UpstreamAppservice{
					Listen: netip.MustParseAddrPort("127.0.0.1:8009"), URL: here("127.0.0.1:8009"), ID: "knockgate", SenderLocalpart: "knockgate",
				},
			},
		},
		{
			"all of the application service", upstreamURL + "[upstream.appservice]\nlisten = \"[::]:9000\"\nurl = \"http://knockgate:9000\"\nid = \"gate.1\"\nsender_localpart = \"_gate\"\n",
			&Upstream{
				URL: here("127.0.0.1:8008"), ConnectTimeout: 5 * time.Second, AnswerTimeout: time.Minute, FactsMaxAge: time.Minute,
				Appservice: &UpstreamAppservice{
					Listen: netip.MustParseAddrPort("[::]:9000"), URL: here("knockgate:9000"), ID: "gate.1", SenderLocalpart: "_gate",
				},
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse(least+tt.text, filepath.Join(dir, "config.toml"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, c.Upstream, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestSampleUpstream: what the sample has of gateway mode as comments loads as it
// stands there, in place of the room.
func TestSampleUpstream(t *testing.T) {
	text, err := os.ReadFile("../../../config.toml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	_, section, ok := strings.Cut(string(text), "# [upstream]\n")
	section, _, end := strings.Cut(section, "\n\n")
	if !ok || !end {
		t.Fatal("config.toml has no commented [upstream] with an empty line after it")
	}
	keys := regexp.MustCompile(`(?m)^# ([a-z_]+ = .*|\[upstream\.[a-z]+\])$`).FindAllStringSubmatch(section, -1)
	sample := "[upstream]\n"
	for _, k := range keys {
		sample += strings.ReplaceAll(k[1], "/etc/knockgate", dir) + "\n"
	}
	for _, name := range []string{"homeserver.pem", "admin.token", "bot.token"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Parse(least+sample, filepath.Join(dir, "config.toml"))
	if err != nil {
		t.Fatalf("%v\n%s", err, sample)
	}
	if c.Upstream == nil || c.Upstream.CAFile == "" || len(c.Upstream.TrustedProxies) == 0 || c.Upstream.Admin == nil || c.Upstream.Bot == nil || c.Upstream.Appservice == nil {
		t.Errorf("the sample's [upstream] leaves out keys: %+v", c.Upstream)
	}
	if u := c.Upstream; u.ConnectTimeout != DefaultConnectTimeout || u.AnswerTimeout != DefaultAnswerTimeout || u.FactsMaxAge != DefaultPushedMaxAge {
		t.Errorf("the sample's times are not the defaults: %+v", u)
	}
	if a := c.Upstream.Appservice; a.Listen.String() != DefaultAppservice || a.URL.Host != DefaultAppservice || a.ID != DefaultAppserviceID || a.SenderLocalpart != DefaultAppserviceID {
		t.Errorf("the sample's application service is not the default: %+v", a)
	}
}

// TestFaults: each fault is reported with the file, the key and what would be right.
func TestFaults(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"nothing", ``, []string{"server_name: missing"}},
		{"syntax", "server_name = \n", []string{"line 1"}},
		{"wrong kind", "server_name = 3\n", []string{"server_name"}},
		{"unknown key", least + "[listen]\nfederaton = \"x\"\n", []string{"listen.federaton: unknown key", "known here: federation, tls, tls_certificate, tls_key"}},
		{"unknown table", least + "[lisen]\nfederation = \"x\"\n", []string{"lisen", "unknown key", "listen"}},
		{"unknown key of a policy", least + "[[policy]]\nname=\"a\"\nmodule=\"a.wasm\"\nmod=\"x\"\n", []string{"policy.mod: unknown key", "on_error"}},
		{"server name", "server_name = \"a b\"\n", []string{"server_name:", `"a b"`}},
		{"address", least + "[listen]\nfederation = \"localhost:8448\"\n", []string{"listen.federation", `"localhost:8448"`, "127.0.0.1:8448"}},
		{"certificate alone", least + "[listen]\ntls_certificate = \"c.pem\"\n", []string{"tls_certificate and tls_key go together"}},
		{"certificate missing", least + "[listen]\ntls_certificate = \"c.pem\"\ntls_key = \"k.pem\"\n", []string{"listen.tls_certificate: /etc/knockgate/c.pem: no such file", "listen.tls_key"}},
		{"certificate with tls = false", least + "[listen]\ntls = false\ntls_certificate = \"c.pem\"\n", []string{"tls_certificate and tls_key", "tls = false"}},
		{"plain HTTP for all the world", least + "[listen]\nfederation = \"192.0.2.1:8448\"\ntls = false\n", []string{"listen.tls: false", "192.0.2.1:8448", "private address"}},
		{"admin no address", least + "[admin]\nlisten = \"localhost:9448\"\n", []string{"admin.listen", `"localhost:9448"`, "127.0.0.1:9448"}},
		{"admin beyond loopback", least + "[admin]\nlisten = \"10.0.0.1:9448\"\n", []string{"admin.listen: 10.0.0.1:9448", "loopback", "token_file"}},
		{"admin beyond loopback without a certificate", least + "[admin]\nlisten = \"10.0.0.1:9448\"\ntoken_file = \"t\"\n", []string{"admin.listen: 10.0.0.1:9448", "tls_certificate"}},
		{"admin beyond loopback without a token", least + "[admin]\nlisten = \"10.0.0.1:9448\"\ntls_certificate = \"c.pem\"\ntls_key = \"k.pem\"\n",
			[]string{"admin.listen: 10.0.0.1:9448", "token_file", "admin.tls_certificate: /etc/knockgate/c.pem: no such file", "admin.tls_key"}},
		{"admin with half a certificate", least + "[admin]\nlisten = \"127.0.0.1:9448\"\ntls_key = \"k.pem\"\n", []string{"admin: tls_certificate and tls_key go together"}},
		{"admin that listens nowhere", least + "[admin]\ntoken_file = \"t\"\n", []string{"admin.listen: missing", "no use"}},
		{"admin's hosts", least + "[admin]\nlisten = \"127.0.0.1:9448\"\nhosts = [\"a.example\", \"a.example:443\"]\n", []string{`admin.hosts[1]: "a.example:443"`}},
		{"admin on all addresses", least + "[admin]\nlisten = \"[::]:9448\"\n", []string{"admin.listen: [::]:9448", "loopback"}},
		{"admin where federation is", least + "[admin]\nlisten = \"127.0.0.1:8448\"\n", []string{"admin.listen", "listen.federation too"}},
		{"unknown key of admin", least + "[admin]\naddress = \"x\"\n", []string{"admin.address: unknown key", "known here: hosts, listen, tls_certificate, tls_key, token_file"}},
		{"range", least + "[federation]\nallow_private_addresses = [\"172.16.0.0./12\"]\n", []string{"allow_private_addresses", `"172.16.0.0./12"`}},
		{"range with host bits", least + "[federation]\nallow_private_addresses = [\"10.0.0.1/8\"]\n", []string{`"10.0.0.1/8"`}},
		{"rate", least + "[federation]\nrequests_per_second = 0\nburst = 0\n", []string{"requests_per_second", "burst"}},
		{"pinned without anything", least + "[[federation.pinned]]\n", []string{"federation.pinned[0].server: missing"}},
		{"pinned without keys", least + "[[federation.pinned]]\nserver = \"b.example\"\n", []string{"federation.pinned[0].keys: missing", "ed25519:a_abcd"}},
		{"pinned ourselves", least + "[[federation.pinned]]\nserver = \"a.example\"\nkeys = { \"ed25519:a\" = \"" + aKey + "\" }\n", []string{"federation.pinned[0].server", "is this server"}},
		{"pinned twice", least + strings.Repeat("[[federation.pinned]]\nserver = \"b.example\"\nkeys = { \"ed25519:a\" = \""+aKey+"\" }\n", 2), []string{"federation.pinned[1].server", "stands twice"}},
		{"pinned no server", least + "[[federation.pinned]]\nserver = \"b example\"\n", []string{"federation.pinned[0].server", `"b example"`}},
		{"pinned no key", least + "[[federation.pinned]]\nserver = \"b.example\"\nkeys = { \"ed25519:a\" = \"short\", \"rsa:1\" = \"" + aKey + "\" }\n", []string{`federation.pinned[0].keys: "ed25519:a"`, `"rsa:1"`}},
		{"pinned a compromised key", least + "[[federation.pinned]]\nserver = \"b.example\"\nkeys = { \"ed25519:a\" = \"l/O9hxMVKB6Lg+3Hqf0FQQZhVESQcMzbPN1Cz2nM3og\" }\n", []string{"federation.pinned[0].keys", "others know this key"}},
		{"unknown key of a notary", least + "[[federation.notary]]\nserver = \"b.example\"\nkey = \"x\"\n", []string{"federation.notary.key: unknown key", "known here: keys, server"}},
		{"too many notaries", least + manyNotaries(5), []string{"federation.notary: 5", "at most 4"}},
		{"knock_room_state", least + "[federation]\nknock_room_state = \"full\"\n", []string{"federation.knock_room_state", `"full"`, `"auto", "stripped" or "pdu"`}},
		{"upstream without anything", least + "[upstream]\n", []string{"upstream.url: \"\"", "http://127.0.0.1:8008"}},
		{"upstream with a path", least + "[upstream]\nurl = \"http://127.0.0.1:8008/\"\n", []string{"upstream.url", "without a path"}},
		{"upstream with a password", least + "[upstream]\nurl = \"http://a:b@127.0.0.1:8008\"\n", []string{"upstream.url"}},
		{"upstream of another scheme", least + "[upstream]\nurl = \"unix:/run/synapse\"\n", []string{"upstream.url"}},
		{"upstream and rooms", least + upstreamURL + "[[room]]\nalias = \"a\"\n", []string{"room: not together with [upstream]"}},
		{"times of upstream", least + upstreamURL + "connect_timeout = \"5\"\nanswer_timeout = \"0s\"\nfacts_max_age = \"-1s\"\n", []string{`upstream.connect_timeout: "5"`, `"5s"`, `upstream.answer_timeout: "0s"`, `"1m0s"`, `upstream.facts_max_age: "-1s"`}},
		{"files of upstream", least + upstreamURL + "ca_file = \"ca.pem\"\n[upstream.admin]\ntoken_file = \"token\"\n", []string{"upstream.ca_file: /etc/knockgate/ca.pem", "upstream.admin.token_file: /etc/knockgate/token"}},
		{"upstream.bot without a token", least + upstreamURL + "[upstream.bot]\nurl = \"ftp://x\"\n", []string{"upstream.bot.token_file: missing", "a user", "upstream.bot.url"}},
		{"upstream.admin without a token", least + upstreamURL + "[upstream.admin]\n", []string{"upstream.admin.token_file: missing"}},
		{"proxies of upstream", least + upstreamURL + "trusted_proxies = [\"127.0.0.1\"]\n", []string{"upstream.trusted_proxies", `"127.0.0.1"`}},
		{"unknown key of upstream", least + upstreamURL + "timeout = \"5s\"\n", []string{"upstream.timeout: unknown key", "answer_timeout, appservice, bot, ca_file"}},
		{"unknown key of upstream.admin", least + upstreamURL + "[upstream.admin]\ntoken = \"x\"\n", []string{"upstream.admin.token: unknown key", "token_file, url"}},
		{"facts_max_age where it was", least + upstreamURL + "[upstream.admin]\ntoken_file = \"token\"\nmax_age = \"5s\"\n", []string{"upstream.admin.max_age: unknown key", "token_file, url"}},
		{"application service without a homeserver", least + "[upstream.appservice]\n", []string{"upstream.url"}},
		{"address of the application service", least + upstreamURL + "[upstream.appservice]\nlisten = \"localhost:8009\"\n", []string{"upstream.appservice.listen", `"localhost:8009"`, DefaultAppservice}},
		{"application service on every address", least + upstreamURL + "[upstream.appservice]\nlisten = \"0.0.0.0:8009\"\n", []string{"upstream.appservice.url: missing", "0.0.0.0:8009"}},
		{"URL of the application service", least + upstreamURL + "[upstream.appservice]\nurl = \"http://127.0.0.1:8009/push\"\n", []string{"upstream.appservice.url", "without a path"}},
		{"names of the application service", least + upstreamURL + "[upstream.appservice]\nid = \"a b\"\nsender_localpart = \"Gate\"\n", []string{`upstream.appservice.id: "a b"`, `upstream.appservice.sender_localpart: "Gate"`, "lower-case"}},
		{"unknown key of upstream.appservice", least + upstreamURL + "[upstream.appservice]\nhs_token = \"x\"\n", []string{"upstream.appservice.hs_token: unknown key", "id, listen, sender_localpart, url"}},
		{"log", least + "[log]\nlevel = \"loud\"\nformat = \"xml\"\n", []string{"log.level", "log.format"}},
		{"room version", least + "[[room]]\nalias = \"a\"\nversion = \"6\"\n", []string{"room.version", "7, 8, 9, 10, 11, 12"}},
		{"join rule of a later version", least + "[[room]]\nalias = \"a\"\nversion = \"9\"\njoin_rule = \"knock_restricted\"\n", []string{"room.join_rule"}},
		{"room twice", least + "[[room]]\nalias = \"a\"\n[[room]]\nalias = \"#a\"\n", []string{"stands twice"}},
		{"signer", least + "[policies]\nsigners = [\"RWQf6\"]\n", []string{"policies.signers", `"RWQf6"`, "knockgate policy key"}},
		{"default", least + "[policies]\ndefault = \"maybe\"\n", []string{"policies.default", `"allow" or "deny"`}},
		{"on_bad_start", least + "[policies]\non_bad_start = \"open\"\n", []string{"policies.on_bad_start", `"refuse" or "default"`}},
		{"policy without a name", least + "[[policy]]\nmodule = \"a.wasm\"\n", []string{"policy[0].name"}},
		{"policy twice", least + "[[policy]]\nname=\"a\"\nmodule=\"a.wasm\"\n[[policy]]\nname=\"a\"\nmodule=\"a.wasm\"\n", []string{"policy.a.name: stands twice"}},
		{"policy with the name of what is none", least + "[[policy]]\nname=\"permit\"\nmodule=\"a.wasm\"\n", []string{"policy.permit.name", "knockgate allow"}},
		{"policy without a module", least + "[[policy]]\nname=\"a\"\n", []string{"policy.a.module: missing"}},
		{"fuel", least + "[[policy]]\nname=\"a\"\nmodule=\"a.wasm\"\nfuel=0\n", []string{"policy.a.fuel: 0;"}},
		{"too much fuel", least + "[[policy]]\nname=\"a\"\nmodule=\"a.wasm\"\nfuel=5000001\n", []string{"policy.a.fuel", "1 to 5000000"}},
		{"isolation", least + "[[policy]]\nname=\"a\"\nmodule=\"a.wasm\"\nisolation=\"none\"\n", []string{"policy.a.isolation", "reset"}},
		{"on_error", least + "[[policy]]\nname=\"a\"\nmodule=\"a.wasm\"\non_error=\"ignore\"\n", []string{"policy.a.on_error"}},
		{"mode", least + "[[policy]]\nname=\"a\"\nmodule=\"a.wasm\"\nmode=\"watch\"\n", []string{"policy.a.mode", `"watch"`, "monitor"}},
		{"digest", least + "[[policy]]\nname=\"a\"\nmodule=\"a.wasm\"\ndigest=\"abc\"\n", []string{"policy.a.digest", `"abc"`, "sha256:"}},
		{"phase", least + "[[policy]]\nname=\"a\"\nmodule=\"a.wasm\"\nphases=[\"make\"]\n", []string{"policy.a.phases", "make_knock"}},
		{"grant", least + "[[policy]]\nname=\"a\"\nmodule=\"a.wasm\"\ngrants=[\"net\"]\n", []string{"policy.a.grants", `"kv" or "lists"`}},
		{"list without anything", least + "[[list]]\n", []string{"list[0].name", "list[0].file: missing"}},
		{"list twice, without its file", least + "[[list]]\nname=\"a\"\nfile=\"a.txt\"\n[[list]]\nname=\"a\"\nfile=\"a.txt\"\n", []string{"list.a.name: stands twice", "list.a.file: /etc/knockgate/a.txt: no such file"}},
		{"list with a file and a URL", least + "[[list]]\nname=\"a\"\nfile=\"a.txt\"\nurl=\"https://a.example/l\"\n", []string{"list.a: file, url and room"}},
		{"list from the internet in clear", least + "[[list]]\nname=\"a\"\nurl=\"http://a.example/l\"\nevery=\"5s\"\n", []string{"list.a.url", "use https", `list.a.every: "5s"`, `"1m0s"`}},
		{"list of a wrong URL", least + "[[list]]\nname=\"a\"\nurl=\"a.example/l\"\n", []string{"list.a.url", "https://lists.example.org/servers.txt"}},
		{"list with a file and a room", least + "[[list]]\nname=\"a\"\nfile=\"a.txt\"\nroom=\"!a:b\"\n", []string{"list.a: file, url and room"}},
		{"list of a room in resident mode", least + "[[list]]\nname=\"a\"\nroom=\"!a:b\"\n", []string{"list.a.room: only with [upstream]"}},
		{"list of a room that nobody tells of", least + upstreamURL + "[[list]]\nname=\"a\"\nroom=\"!a:b\"\n", []string{"list.a.room: needs [upstream.bot]", "[upstream.admin]"}},
		{"list of an alias", least + upstreamURL + "[[list]]\nname=\"a\"\nroom=\"#a:b\"\nevery=\"1s\"\n", []string{"list.a.room", "must start with '!'", "no alias", `list.a.every: "1s"`}},
		{"list of a file with a time", least + "[[list]]\nname=\"a\"\nfile=\"a.txt\"\nevery=\"1h\"\n", []string{"list.a.every: only with url or room"}},
		{"unknown key of decisions", least + "[decisions]\nkeep = true\n", []string{"decisions.keep: unknown key", "keep_facts"}},
		{"bounds of decisions", least + "[decisions]\nmax_age = \"30d\"\nmax_count = -1\n", []string{`decisions.max_age: "30d"`, `"720h"`, "decisions.max_count: -1"}},
		{"fraction in settings", least + "[[policy]]\nname=\"a\"\nmodule=\"a.wasm\"\n[policy.settings]\nx = [{ y = 1.5 }]\n", []string{"policy.a.settings.x[0].y", "whole numbers"}},
		{"date in settings", least + "[[policy]]\nname=\"a\"\nmodule=\"a.wasm\"\n[policy.settings]\nx = 2026-01-01\n", []string{"policy.a.settings.x", "string in quotes"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse(tt.text, "/etc/knockgate/config.toml")
			if err == nil || c != nil {
				t.Fatalf("Parse = %v, %v; want an error and nothing else", c, err)
			}
			for _, want := range append(tt.want, "/etc/knockgate/config.toml") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q:\n%v", want, err)
				}
			}
		})
	}
}

func TestLoadMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.toml")
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "--config") {
		t.Errorf("err = %v, want one that names the file and the flag", err)
	}
}

func TestSettingsAreCanonical(t *testing.T) {
	c, err := Parse(least+`
[[policy]]
name = "a"
module = "a.wasm"
[policy.settings]
z = [1, "two", true, [], {}]
"ä" = "\u0007\""
a = { c = -5, b = [ { y = 1 }, { x = 2 } ] }
`, "/c.toml")
	if err != nil {
		t.Fatal(err)
	}
	got := string(c.Policies.Chain[0].Settings)
	want := `{"a":{"b":[{"y":1},{"x":2}],"c":-5},"z":[1,"two",true,[],{}],"ä":"\u0007\""}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzParse: any text gives a configuration or an error, never both, never a
// panic.
func FuzzParse(f *testing.F) {
	sample, err := os.ReadFile("../../../config.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(sample))
	f.Add(least)
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := Parse(text, "/c.toml"); (c == nil) == (err == nil) {
			t.Errorf("Parse = %v, %v", c, err)
		}
	})
}
