package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/discovery"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/serverkey"
)

type knockFlags struct {
	as, key, user, reason, displayname, server, ca string
	versions                                       []string
	insecure, json, retract                        bool
	repeat                                         int
}

func newKnock() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "knock [flags] ROOM",
		Short: "Knock on a room as another homeserver would",
		Long: `Plays the homeserver of a user who knocks: makes a signing key, publishes it
on a TLS listener of its own, asks the resident server for a template
(make_knock), checks it, adds the reason, hashes and signs the event and
submits it (send_knock). Nothing is simulated: the resident server fetches the
key and verifies every signature.

ROOM is a room ID ("!..."). Quote it: '!' means something to most shells.

Certificates are checked, except those of servers whose name is a loopback IP
literal, such as the one that "serve" makes for a trial.

With --retract it takes a knock back instead, by a leave (make_leave and
send_leave). --as and --user must be those of the knock: the user is of the
server that knocked, port included. Give both commands the same --key: a server
that has fetched our key looks for a new one once in a while only.

Exit codes: 0 allowed, 2 denied, 3 version-incompatible, 1 anything else.`,
		Example: "  knockgate knock --reason \"let me in\" '!lobby:127.0.0.1:8448'\n" +
			"  knockgate knock --ver 9 --ver 10 --json '!lobby:127.0.0.1:8448'\n" +
			"  knockgate knock --as 127.0.0.1:8449 --key knocker.key --reason hello '!lobby:127.0.0.1:8448'\n" +
			"  knockgate knock --as 127.0.0.1:8449 --key knocker.key --retract '!lobby:127.0.0.1:8448'",
		Args: cobra.ExactArgs(1),
	}
	var f knockFlags
	flags := cmd.Flags()
	flags.StringVar(&f.as, "as", "127.0.0.1:0", "the `SERVER:PORT` to be; port 0 takes a free one")
	flags.StringVar(&f.key, "key", "", "the `file` of the server's signing key, made if it is missing; default a new key")
	flags.StringVar(&f.user, "user", "knocker", "the user who knocks: a `localpart` of the server of --as")
	flags.StringVar(&f.reason, "reason", "", "the `text` that goes into the knock")
	flags.StringVar(&f.displayname, "displayname", "", "the display `name` that goes into the knock")
	flags.StringVar(&f.server, "server", "", "the `HOST:PORT` to ask; default the server in the room ID")
	flags.StringArrayVar(&f.versions, "ver", nil, "a room `version` to offer; may be repeated; default all of 7 to 12")
	flags.StringVar(&f.ca, "ca", "", "a PEM `file` of certificate authorities to trust beside the system's")
	flags.BoolVar(&f.insecure, "insecure", false, "take any certificate")
	flags.BoolVar(&f.json, "json", false, "print one JSON object for each knock")
	flags.BoolVar(&f.retract, "retract", false, "take back a knock of the user")
	flags.IntVar(&f.repeat, "repeat", 1, "knock this `many` times, each as a user of its own")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return runKnock(cmd, f, args[0])
	}
	return cmd
}

func runKnock(cmd *cobra.Command, f knockFlags, roomText string) error {
	room, err := matrix.ParseRoomID(roomText)
	if err != nil {
		return fmt.Errorf("%w; a room ID starts with '!' and is printed by \"serve\"", err)
	}
	server, err := f.target(room)
	if err != nil {
		return err
	}
	if f.repeat < 1 {
		return fmt.Errorf("--repeat %d: must be at least 1", f.repeat)
	}
	if f.retract && strings.HasSuffix(f.as, ":0") {
		return fmt.Errorf("--retract: name the server that knocked with --as, such as --as 127.0.0.1:8449; it stands in the user's ID that \"knock\" printed")
	}
	client, err := f.client()
	if err != nil {
		return err
	}
	defer client.Close()
	p, err := f.start(client)
	if err != nil {
		return err
	}
	defer p.Close()

	out := newKnockPrinter(cmd.OutOrStdout(), f.json)
	worst := exitOK
	for i := range f.repeat {
		localpart := strings.TrimPrefix(f.user, "@")
		if i > 0 {
			localpart = fmt.Sprintf("%s-%d", localpart, i+1)
		}
		user, err := matrix.ParseUserID(string(p.User(localpart)))
		if err != nil {
			return fmt.Errorf("--user: %w", err)
		}
		k := peer.Knock{Server: server, Room: room, User: user, Reason: f.reason, Displayname: f.displayname, Versions: f.versions, Retract: f.retract}
		result, err := knockOnce(cmd.Context(), p, k)
		out.print(k, result, err)
		worst = worse(worst, knockExitCode(result, err))
	}
	if worst != exitOK {
		return exitCode(worst)
	}
	return nil
}

// knockTimeout bounds one knock, both exchanges.
const knockTimeout = 30 * time.Second

func knockOnce(ctx context.Context, p *peer.Peer, k peer.Knock) (*peer.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, knockTimeout)
	defer cancel()
	return p.Knock(ctx, k)
}

func knockExitCode(r *peer.Result, err error) int {
	if err != nil {
		return exitFailed
	}
	switch r.Outcome() {
	case peer.Allowed:
		return exitOK
	case peer.Denied:
		return exitDenied
	case peer.Incompatible:
		return exitIncompatible
	}
	return exitFailed
}

// worse returns the code that says more of several knocks: a failure, then
// incompatible, then denied.
func worse(a, b int) int {
	rank := []int{exitOK, exitDenied, exitIncompatible, exitFailed}
	if slices.Index(rank, b) > slices.Index(rank, a) {
		return b
	}
	return a
}

// target returns the server to ask.
func (f knockFlags) target(room matrix.RoomID) (matrix.ServerName, error) {
	if f.server != "" {
		name, err := matrix.ParseServerName(f.server)
		if err != nil {
			return "", fmt.Errorf("--server: %w", err)
		}
		return name, nil
	}
	if name, ok := room.Server(); ok {
		return name, nil
	}
	return "", errors.New("the room ID has no server name in it (room version 12): name one with --server HOST:PORT")
}

func (f knockFlags) client() (*discovery.Client, error) {
	o := discovery.Options{
		LoopbackSelfSigned: true,
		InsecureSkipVerify: f.insecure,
		// The user of this command chose the server: no address is out of bounds.
		AllowPrivate: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
	}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		if o.RootCAs, err = x509.SystemCertPool(); err != nil {
			o.RootCAs = x509.NewCertPool()
		}
		if !o.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca %s: no certificate in PEM form in it", f.ca)
		}
	}
	return discovery.NewClient(o), nil
}

// start starts the knocking server, named as --as says. A port of 0 is
// replaced by the one that was free.
func (f knockFlags) start(client *discovery.Client) (*peer.Peer, error) {
	name, err := matrix.ParseServerName(f.as)
	if err != nil {
		return nil, fmt.Errorf("--as: %w", err)
	}
	port, ok := name.Port()
	if !ok {
		return nil, fmt.Errorf("--as %s: name a port, such as %s:0", f.as, f.as)
	}
	o := peer.Options{Listen: f.as, Name: name, Client: client}
	if _, literal := name.IPLiteral(); !literal {
		o.Listen = net.JoinHostPort("", port)
	}
	if port == "0" {
		o.Name = ""
	}
	if f.key != "" {
		if o.Key, _, err = serverkey.LoadOrCreate(f.key); err != nil {
			return nil, fmt.Errorf("--key: %w", err)
		}
	}
	return peer.Start(o)
}
