package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/discovery"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/policies"
)

func newDemo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See every verdict, and a policy swapped under load, in one terminal",
		Long: `Starts a resident server and knocking servers in a temporary folder and shows,
over real TLS and with real signatures: an allowed knock, one denied in the
policy's own words, one answered version-incompatible, and a policy file
replaced while knocks keep coming.

Exit codes: 0 all of it happened, 1 any of it did not.`,
		Example: "  knockgate demo",
		Args:    cobra.NoArgs,
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return runDemo(cmd.Context(), cmd.OutOrStdout())
	}
	return cmd
}

// Two modules of a few bytes, with their source beside them: a door that has
// no opinion, and one that denies.
var (
	//go:embed demo/door_open.wasm
	doorOpen []byte
	//go:embed demo/door_shut.wasm
	doorShut []byte
)

const demoConfig = `
server_name = %q
[listen]
federation = %q
[federation]
requests_per_second = 100000
burst = 100000
allow_private_addresses = ["127.0.0.0/8", "::1/128"]
loopback_self_signed = true
[log]
level = "error"
[[room]]
alias = "#lobby"
name = "Lobby"
[policies]
dir = "policies"
default = "allow"

[[policy]]
name = "servers"
module = "server_rules.wasm"
[policy.settings]
rules = [ { incompatible = ["127.0.0.2", "[::1]"], message = "Please upgrade your homeserver, then knock again" } ]

[[policy]]
name = "reasons"
module = "reason_rules.wasm"
[policy.settings]
required = true
min = 5

[[policy]]
name = "door"
module = "door.wasm"
`

// demo is a running demonstration.
type demo struct {
	w       io.Writer
	dir     string
	room    matrix.RoomID
	server  matrix.ServerName
	client  *discovery.Client
	results []demoResult
}

type demoResult struct {
	what, want, got string
	ok              bool
}

func runDemo(ctx context.Context, w io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "knockgate-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d := &demo{w: w, dir: dir}
	stop, err := d.start(ctx)
	if err != nil {
		return err
	}
	err = d.show(ctx)
	err = errors.Join(err, stop())
	if err != nil {
		return err
	}
	return d.table()
}

// start runs the resident server; stop ends it and waits for it.
func (d *demo) start(ctx context.Context) (stop func() error, err error) {
	if err := d.writePolicies(); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d.server = matrix.ServerName(ln.Addr().String())
	path := filepath.Join(d.dir, "config.toml")
	text := fmt.Sprintf(demoConfig, d.server, d.server)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	cfg, err := config.Parse(text, path)
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	fmt.Fprintf(d.w, "Starting a resident server in %s: compiling three policies, two of them written in Go.\n", d.dir)
	s, err := openSystem(ctx, cfg, ln, time.Now, newLogger(cfg.Log, d.w))
	if err != nil {
		return nil, err
	}
	d.room = s.lobby[0].ID
	d.client = discovery.NewClient(discovery.Options{
		LoopbackSelfSigned: true,
		AllowPrivate:       []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	})
	fmt.Fprintf(d.w, "It is %s, keeps the room %s and decides by revision %.12s.\n\n", d.server, d.room, s.gate.Revision())

	runCtx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.Run(runCtx) }()
	return func() error {
		cancel()
		err := <-done
		d.client.Close()
		return errors.Join(err, s.Close())
	}, nil
}

func (d *demo) writePolicies() error {
	dir := filepath.Join(d.dir, "policies")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"server_rules", "reason_rules"} {
		module, err := fs.ReadFile(policies.FS, name+"/"+name+".wasm")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name+".wasm"), module, 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "door.wasm"), doorOpen, 0o600)
}

// show plays the knocks.
func (d *demo) show(ctx context.Context) error {
	ada, err := peer.Start(peer.Options{Listen: "127.0.0.1:0", Client: d.client})
	if err != nil {
		return err
	}
	defer ada.Close()
	old, err := startSecondPeer(d.client)
	if err != nil {
		return err
	}
	defer old.Close()

	d.one(ctx, ada, "ada", "a knock with a reason", peer.Knock{Reason: "Hello, I read your page on gardens"}, "allowed", "")
	d.one(ctx, ada, "bob", "a knock without one", peer.Knock{}, "denied", "")
	d.one(ctx, old, "old", "a knock from a server that a rule calls too old", peer.Knock{Reason: "Hello again"}, "incompatible", "Please upgrade")
	d.one(ctx, ada, "eve", "a knock that offers room version 6 only", peer.Knock{Reason: "Hello", Versions: []string{"6"}}, "incompatible", "")
	return d.swap(ctx, ada)
}

// startSecondPeer starts a server whose name differs in its host, which
// policies look at.
func startSecondPeer(client *discovery.Client) (*peer.Peer, error) {
	p, err := peer.Start(peer.Options{Listen: "127.0.0.2:0", Client: client})
	if err != nil {
		p, err = peer.Start(peer.Options{Listen: "[::1]:0", Client: client})
	}
	return p, err
}

func (d *demo) one(ctx context.Context, p *peer.Peer, localpart, what string, k peer.Knock, want, words string) {
	k.Server, k.Room, k.User = d.server, d.room, p.User(localpart)
	r, err := knockOnce(ctx, p, k)
	got, said := string(peer.Failed), ""
	if err != nil {
		said = printable(err.Error())
	} else {
		got, said = string(r.Outcome()), lastWords(r)
	}
	fmt.Fprintf(d.w, "- %s: %s", what, got)
	if said != "" {
		fmt.Fprintf(d.w, ": %q", said)
	}
	fmt.Fprintln(d.w)
	ok := got == want && (want == string(peer.Allowed) || said != "") && (words == "" || strings.Contains(said, words))
	d.results = append(d.results, demoResult{what, want, got, ok})
}

// swap keeps knocking while door.wasm is replaced, and goes on until every
// knocker has met the new verdict.
func (d *demo) swap(ctx context.Context, p *peer.Peer) error {
	const knockers, before, after = 4, 25, 25
	fmt.Fprintf(d.w, "- %d users knock without pause; after %d knocks door.wasm is replaced", knockers, before)
	var allowed, denied, lost atomic.Int64
	var wrongOrder atomic.Int64
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	swap := make(chan struct{})
	var once sync.Once
	var wg sync.WaitGroup
	for i := range knockers {
		wg.Go(func() {
			shut := 0
			for n := 0; shut < after && ctx.Err() == nil; n++ {
				k := peer.Knock{Server: d.server, Room: d.room, Reason: "Anybody home?", User: p.User(fmt.Sprintf("k%d-%d", i, n))}
				r, err := knockOnce(ctx, p, k)
				switch {
				case err != nil:
					lost.Add(1)
				case r.Outcome() == peer.Allowed && shut == 0:
					if allowed.Add(1) == before {
						once.Do(func() { close(swap) })
					}
				case r.Outcome() == peer.Denied && strings.Contains(lastWords(r), "shut for the night"):
					denied.Add(1)
					shut++
				case r.Outcome() == peer.Allowed:
					wrongOrder.Add(1)
				default:
					lost.Add(1)
				}
				if lost.Load() > 0 {
					once.Do(func() { close(swap) })
					return
				}
			}
		})
	}
	var replaced error
	select {
	case <-swap:
		replaced = replaceFile(filepath.Join(d.dir, "policies", "door.wasm"), doorShut)
	case <-ctx.Done():
	}
	if replaced != nil {
		cancel()
	}
	wg.Wait()
	got := fmt.Sprintf("%d allowed, then %d denied, %d lost", allowed.Load(), denied.Load(), lost.Load())
	fmt.Fprintf(d.w, ": %s\n", got)
	ok := lost.Load() == 0 && wrongOrder.Load() == 0 && allowed.Load() >= before && denied.Load() == knockers*after
	d.results = append(d.results, demoResult{"a policy file replaced under load", "verdict changes, none lost", got, ok})
	return replaced
}

// replaceFile replaces a file in one step, as a deployment should.
func replaceFile(path string, content []byte) error {
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// table prints what happened and fails if any of it was not as it should be.
func (d *demo) table() error {
	fmt.Fprintln(d.w)
	tw := tabwriter.NewWriter(d.w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, "what\tshould be\twas\t")
	failed := 0
	for _, r := range d.results {
		mark := "ok"
		if !r.ok {
			mark = "NOT AS IT SHOULD BE"
			failed++
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", r.what, r.want, r.got, mark)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("demo: %d of %d results were not as they should be", failed, len(d.results))
	}
	return nil
}

// lastWords returns what the last answer told the knocker.
func lastWords(r *peer.Result) string {
	last := r.Send
	if last == nil {
		last = r.Make
	}
	_, message := last.Errcode()
	return printable(message)
}
