package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/discovery"
	"github.com/knockgate/knockgate/host/internal/doctor"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/serverkey"
)

func newDoctor() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Follow a knock from a peer to this server, and say which hop is wrong",
		Long: `Looks at each hop of a knock's way, as a peer finds it: discovery of this
server's name, the certificate there, the keys that are published, and whether a
signed make_knock and send_knock arrive at this server as they were sent, whatever
reverse proxy stands before it. With [upstream] it asks the homeserver too. For
what is wrong it says what to change, for the proxy that answers or for each of
nginx, Caddy, HAProxy, Traefik and Apache.

It runs on the machine of a running "knockgate serve", which knows the probes by a
token that it finds in the state folder, and answers them itself: no policy and no
homeserver sees them as knocks. A network whose own hosts cannot reach its public
address cannot be looked at from inside.

Exit codes: 0 every hop is right, 1 any is wrong, or anything else.`,
		Example: "  knockgate doctor\n  knockgate doctor --json --config /etc/knockgate/config.toml",
		Args:    cobra.NoArgs,
	}
	path := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := config.Load(*path)
		if err != nil {
			return err
		}
		client := discovery.NewClient(discovery.Options{
			// Only the server's own name is asked for. That it is at a private address
			// is said, and is no fault in a closed federation.
			AllowPrivate:       []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")},
			LoopbackSelfSigned: cfg.Federation.LoopbackSelfSigned,
		})
		defer client.Close()
		hops, err := examine(cmd.Context(), cfg, client)
		if err != nil {
			return err
		}
		if *asJSON {
			err = printHopsJSON(cmd.OutOrStdout(), cfg, hops)
		} else {
			err = printHops(cmd.OutOrStdout(), cfg, hops)
		}
		if err == nil && !doctor.Healthy(hops) {
			return exitCode(exitFailed)
		}
		return err
	}
	return cmd
}

// examine looks at every hop to the server of a configuration, with the eyes of
// client.
func examine(ctx context.Context, cfg *config.Config, client *discovery.Client) ([]doctor.Hop, error) {
	if _, err := os.Stat(cfg.StateDir); err != nil {
		return nil, fmt.Errorf("%s: state_dir: %w; run knockgate serve first, as the doctor asks it through that folder", cfg.Path, err)
	}
	scheme := "https"
	if cfg.Listen.Plain {
		scheme = "http"
	}
	o := doctor.Options{
		Server: cfg.ServerName, Listener: &url.URL{Scheme: scheme, Host: reachable(cfg.Listen.Federation)},
		StateDir: cfg.StateDir, Client: client, Now: time.Now,
		OwnKeys: func() (*serverkey.Keyset, error) { return serverkey.LoadKeyset(cfg.StateDir) },
	}
	if cfg.Admin.Listen.IsValid() {
		o.Admin = cfg.Admin.URL()
	}
	if cfg.Upstream != nil {
		u, err := newUpstream(cfg, nil)
		if err != nil {
			return nil, err
		}
		defer u.Close()
		o.OwnKeys, o.Homeserver, o.TrustedProxies = nil, u, cfg.Upstream.TrustedProxies
	}
	return doctor.Run(ctx, o)
}

// reachable returns where this machine reaches a listener, which may be on all its
// addresses.
func reachable(a netip.AddrPort) string {
	host := a.Addr()
	switch {
	case !host.IsUnspecified():
	case host.Is4():
		host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	default:
		host = netip.IPv6Loopback()
	}
	return net.JoinHostPort(host.String(), strconv.Itoa(int(a.Port())))
}

func printHops(w io.Writer, cfg *config.Config, hops []doctor.Hop) error {
	fmt.Fprintf(w, "The way of a knock to %s\n\n", cfg.ServerName)
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, h := range hops {
		state := string(h.State)
		if h.State == doctor.Wrong {
			state = "WRONG"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", h.Name, state, printable(h.Text))
		for _, change := range h.Change {
			fmt.Fprintf(tw, "\t\t-> %s\n", printable(change))
		}
	}
	return tw.Flush()
}

func printHopsJSON(w io.Writer, cfg *config.Config, hops []doctor.Hop) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(struct {
		ServerName matrix.ServerName `json:"server_name"`
		OK         bool              `json:"ok"`
		Hops       []doctor.Hop      `json:"hops"`
	}{cfg.ServerName, doctor.Healthy(hops), hops})
}
