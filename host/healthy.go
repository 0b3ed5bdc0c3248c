package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/config"
)

// healthTime is how long "healthy" waits for an answer.
const healthTime = 10 * time.Second

func newHealthy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "healthy",
		Short: "Ask the server on this machine whether it answers",
		Long: `Sends a request to listen.federation that a running server refuses by itself,
without a homeserver behind it, a log line or a decision. It is for a container's
health check, which has no shell and no other program; it says nothing of policies,
of the homeserver or of whether others can reach the server. Of the configuration
it takes listen.federation alone, whatever else is wrong there.

Exit codes: 0 it answers, 1 anything else.`,
		Example: "  knockgate healthy --config /etc/knockgate/config.toml",
		Args:    cobra.NoArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		listen, err := config.FederationListener(*path)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), healthTime)
		defer cancel()
		return healthy(ctx, listen)
	}
	return cmd
}

// healthy returns nil if a server of this program answers at a listener's
// address. Its certificate is for others and is not looked at.
func healthy(ctx context.Context, l config.Listen) error {
	listen, scheme := l.Federation, "https"
	if l.Plain {
		scheme = "http"
	}
	if listen.Addr().IsUnspecified() {
		loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if listen.Addr().Is6() {
			loopback = netip.IPv6Loopback()
		}
		listen = netip.AddrPortFrom(loopback, listen.Port())
	}
	// The wrong method: refused where the routes are, in both modes.
	url := fmt.Sprintf("%s://%s/_matrix/federation/v1/make_knock/room/user", scheme, listen)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", listen, err)
	}
	defer answer.Body.Close()
	var body struct {
		Code string `json:"errcode"`
	}
	err = json.NewDecoder(io.LimitReader(answer.Body, 4<<10)).Decode(&body)
	if err != nil || answer.StatusCode != http.StatusMethodNotAllowed || body.Code != "M_UNRECOGNIZED" {
		return fmt.Errorf("%s answers %s %s, want %d M_UNRECOGNIZED; something else listens there", listen, answer.Status, body.Code, http.StatusMethodNotAllowed)
	}
	return nil
}
