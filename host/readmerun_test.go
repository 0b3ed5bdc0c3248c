package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
)

// elsewhere are the commands of READMEs that other tests run, or the gate: the file
// that does, and what stands in it.
var elsewhere = map[string][2]string{
	"go run ./host serve":   {"knockcmd_test.go", `"serve", "--config", path`},
	"go run ./host demo":    {"demo_test.go", `[]string{"demo"}`},
	"go run ./host/package": {"../.ci/package", `go run ./host/package `},
	"go test ./...":         {"../.ci/run", "\ngo test ./...\n"},
	"cd host/internal/interop && GOEXPERIMENT=jsonv2 go test ./...":                                                      {"../.ci/run", "(cd host/internal/interop && export GOEXPERIMENT=jsonv2 && go mod tidy -diff && go vet ./... && go test ./...)"},
	"root=$(bash .ci/synapse) && cd host/internal/interop && KNOCKGATE_SYNAPSE=$root go test -count 1 -run Synapse -v .": {"../.ci/run", "KNOCKGATE_SYNAPSE=$root go test -count 1 -run Synapse -v ."},
}

// byHand are the commands that no test runs, and why.
var byHand = map[string]string{
	"root=$(bash .ci/synapse) && cd host/internal/interop && KNOCKGATE_SYNAPSE=$root KNOCKGATE_COMPARE=1 go test -count 1 -run SynapseCompare -v .": "it measures for minutes",
}

// walked are the READMEs that TestReadmeRuns reads, in this order.
var walked = []string{"../README.md", "../host/README.md", "../host/package/README.md", "../policies/README.md"}

// reader does what READMEs say, in the folder of a running server.
type reader struct {
	*world
	// in is the README and the section, as failures name it.
	in string
	// user is the user of the last knock that was allowed, key the key made last, as the
	// server that knocks.
	user, key, as string
	// run is how many commands were run.
	run int
}

// ends is with what commands end, where it is not 0.
var ends = map[string]int{"go run ./host knock '!lobby-id:127.0.0.1:8448'": exitDenied}

var ownCommand = regexp.MustCompile(`^(?:runuser -u knockgate -- )?(?:go run \./host|knockgate) (.*)$`)

// do runs the lines of a block.
func (r *reader) do(block string) {
	r.t.Helper()
	for line := range strings.Lines(block) {
		line = strings.TrimSpace(line)
		if _, other := elsewhere[line]; other || line == "" || byHand[line] != "" {
			continue
		}
		m := ownCommand.FindStringSubmatch(line)
		if m == nil {
			r.t.Errorf("%s: nothing runs %q: let this test do so, or name who does in elsewhere", r.in, line)
			continue
		}
		r.command(line, fields(m[1]))
	}
}

// command runs one command line, with what only this server knows in the place of
// what a README has for an example.
func (r *reader) command(line string, args []string) {
	r.t.Helper()
	ctx := r.t.Context()
	if err := r.store.Flush(ctx); err != nil {
		r.t.Fatal(err)
	}
	if args[0] == "room" && args[1] == "decline" {
		r.command(line, []string{"knock", "--reason", "I would like to join", "!lobby-id"})
	}
	for i, a := range args {
		switch {
		case a == "7KQ3ZL5YPA":
			list, _, _ := command("decisions", "--verdict", "deny", "--last", "1", "--json")
			id := regexp.MustCompile(`"request_id":"(\w+)"`).FindStringSubmatch(list)
			if id == nil {
				r.t.Fatalf("%s: %s: no decision denies: %s", r.in, line, list)
			}
			args[i] = id[1]
		case strings.HasPrefix(a, "@") && i > 0:
			args[i] = r.user
		case strings.HasPrefix(a, "!"):
			args[i] = string(r.lobby[0].ID)
		case i > 0 && args[i-1] == "--as":
			r.as = cmp.Or(r.as, freeAddress(r.t))
			args[i] = r.as
		case strings.HasPrefix(a, "RWQ"):
			args[i] = r.key
		case a == "/etc/knockgate/config.toml":
			args[i] = "config.toml"
		}
	}
	out, errs, code := command(args...)
	if want := ends[line]; code != want {
		r.t.Errorf("%s: %s: exit code %d, want %d\n%s%s", r.in, line, code, want, out, errs)
	}
	if m := regexp.MustCompile(`Allowed: (@\S+)`).FindStringSubmatch(out); m != nil {
		r.user = strings.TrimSuffix(m[1], ".")
	}
	if args[0] == "policy" && args[1] == "key" {
		r.key = strings.TrimSpace(out)
	}
	r.run++
}

// swap puts text into the configuration and waits until its policies are in force.
func (r *reader) swap(text string) {
	r.t.Helper()
	before := r.gate.Revision()
	insert(r.t, "config.toml", "# Who may knock, by server.", text)
	waitFor(r.t, "the swap", func() bool { return r.gate.Revision() != before })
}

// section is a part of a README under a heading of its own.
type section struct{ heading, text string }

func sections(t *testing.T, path string) (list []section) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range regexp.MustCompile(`(?m)^##+ `).Split(string(text), -1) {
		heading, rest, _ := strings.Cut(part, "\n")
		if i > 0 {
			list = append(list, section{heading, rest})
		}
	}
	return list
}

// TestReadmeRuns does what README.md says from its beginning to its end, and after
// that what those of host, host/package and policies say: as a resident server with
// the sample configuration, and "In front of Synapse" behind a reverse proxy.
func TestReadmeRuns(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one thing after the other, in processes of its own or in one goroutine")
	}
	readme, policies := sections(t, walked[0]), sections(t, walked[3])
	rest := slices.Concat(sections(t, walked[1]), sections(t, walked[2]))
	if !testing.Short() {
		rest = append(rest, policies...)
	}
	r := &reader{world: sampleWorld(t)}
	if err := os.CopyFS(filepath.Join(r.dir, "policies/server_rules/testdata"), os.DirFS("../policies/server_rules/testdata")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(r.dir)
	t.Setenv("GOPROXY", "off")
	for _, s := range readme {
		r.in = "README.md, " + s.heading
		switch s.heading {
		case "In front of Synapse":
			t.Run("gateway", func(t *testing.T) { readmeGateway(t, s) })
		case "Write a policy":
			if !testing.Short() {
				t.Run("write a policy", func(t *testing.T) { writeAPolicy(t, r.world, s.text) })
			}
		case "In other languages", "Stock policies":
			// The chain of the latter, which lets in nobody here, is TestReadmeConfiguration's.
			for _, block := range blocks(s.text, "sh") {
				r.do(block)
			}
		default:
			for _, m := range regexp.MustCompile("(?ms)^```(sh|toml)\n(.*?)^```").FindAllStringSubmatch(s.text, -1) {
				if m[1] == "toml" {
					r.swap(m[2])
				} else {
					r.do(m[2])
				}
			}
		}
	}
	if r.run < 20 {
		t.Errorf("%d commands of README.md were run here; this test would say nothing", r.run)
	}
	if !testing.Short() {
		// The policy that policies/README.md speaks of.
		r.command("", []string{"policy", "new", "my_policy"})
		r.command("", []string{"policy", "build", "my_policy"})
		for _, file := range []string{"my_policy.wasm", "metadata.json"} {
			copyFile(t, filepath.Join("my_policy", file), file)
		}
	}
	for _, s := range rest {
		r.in = s.heading
		for _, block := range blocks(s.text, "sh") {
			r.do(block)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// readmeGateway runs a gateway with the configuration of the section, with the
// addresses of this test in it and as an application service, and what is in its
// blocks of commands.
func readmeGateway(t *testing.T, s section) {
	config := blocks(s.text, "toml")
	if len(config) != 1 {
		t.Fatalf("%d TOML blocks; this test knows of one", len(config))
	}
	p := &proxied{proxy: listenLow(t)}
	public := p.proxy.Addr().String()
	homeserver := newHomeserver(t, public)
	p.front = &front{homeserver: homeserver, wiretap: newWiretap(t, homeserver.server.Handler)}
	p.world = &world{t: t, dir: t.TempDir(), log: &logBuffer{}}
	p.startOn(listen(t), func(address string) string {
		return strings.NewReplacer(
			"example.org", public, "127.0.0.1:8449", address, "127.0.0.1:9448", freeAddress(t), "http://127.0.0.1:8008", p.url,
		).Replace(config[0]) + pushedConfig + testFederation + allowAll
	})
	p.name = matrix.ServerName(public)
	p.cert = selfSignedTLS(t, "127.0.0.1").Certificates[0]
	p.serveProxy()
	ada := p.peer()
	p.mustKnock(ada, p.knock(ada, "ada", homeserver.room("11", "knock")), peer.Allowed)
	t.Chdir(p.dir)
	r := &reader{world: p.world, in: "README.md, " + s.heading}
	for _, block := range blocks(s.text, "sh") {
		r.do(block)
	}
	if r.run != 3 {
		t.Errorf("%d commands of this program, want doctor, appservice and decisions", r.run)
	}
}

// TestReadmeNginx: the location of README.md in the server of the recipe does what
// the recipe does.
func TestReadmeNginx(t *testing.T) {
	if testing.Short() {
		t.Skip("left out with -short: one thing after the other, in processes of its own or in one goroutine")
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	location := blocks(string(readme), "nginx")
	recipe := readRecipe(t, "nginx-knocks.conf")
	begin, end := strings.Index(recipe, "    location ~*"), strings.Index(recipe, "    location /_matrix/")
	if len(location) != 1 || begin < 0 || end < begin {
		t.Fatalf("%d blocks, and the recipe's location from %d to %d", len(location), begin, end)
	}
	p := startRecipe(t, nginx, recipe[:begin]+location[0]+recipe[end:])
	t.Run("knocks", p.knocks)
	t.Run("spellings", p.spelt)
	t.Run("the rest", func(t *testing.T) { p.rest(t, true) })
}

// TestReadmesElsewhere: what other tests and the gate run is there, and the READMEs that
// TestReadmeRuns and TestReadmeHashes do not read have nothing else.
func TestReadmesElsewhere(t *testing.T) {
	for command, at := range elsewhere {
		text, err := os.ReadFile(at[0])
		if err != nil || !strings.Contains(string(text), at[1]) {
			t.Errorf("%s: %s does not have %q, %v", command, at[0], at[1], err)
		}
	}
	for path, text := range readmes(t) {
		if slices.Contains(walked, filepath.ToSlash(path)) || filepath.Base(filepath.Dir(filepath.Dir(path))) == "policies" {
			continue
		}
		for _, block := range blocks(text, "sh") {
			for line := range strings.Lines(block) {
				if line = strings.TrimSpace(line); elsewhere[line] == [2]string{} && byHand[line] == "" {
					t.Errorf("%s: nothing runs %q: have TestReadmeRuns walk this README, or name who does in elsewhere", path, line)
				}
			}
		}
	}
}

// TestReadmeHashes runs the pipelines of the policies' READMEs, which hash a text.
func TestReadmeHashes(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("there is no shell")
	}
	pipeline := regexp.MustCompile(`^printf '%s' '([^']*)' \| (sha256sum|openssl dgst -sha256 -binary \| base64)\n$`)
	run := 0
	for path, text := range readmes(t) {
		if dir := filepath.Dir(path); filepath.Base(filepath.Dir(dir)) != "policies" {
			continue
		}
		for _, block := range blocks(text, "sh") {
			m := pipeline.FindStringSubmatch(block)
			if m == nil {
				t.Errorf("%s: this test does not know\n%s", path, block)
				continue
			}
			sum := sha256.Sum256([]byte(m[1]))
			want := hex.EncodeToString(sum[:])
			if strings.Contains(m[2], "base64") {
				want = base64.StdEncoding.EncodeToString(sum[:])
			}
			if _, err := exec.LookPath(strings.Fields(m[2])[0]); err != nil {
				t.Logf("%s: %v", path, err)
				continue
			}
			out, err := exec.Command(sh, "-c", block).CombinedOutput()
			if got, _, _ := strings.Cut(strings.TrimSpace(string(out)), " "); err != nil || got != want {
				t.Errorf("%s: %s prints %s, %v; want %s", path, block, out, err, want)
			}
			run++
		}
	}
	t.Logf("%d pipelines", run)
}
