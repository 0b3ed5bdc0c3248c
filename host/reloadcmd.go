package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/knockgate/knockgate/host/internal/admin"
	"github.com/knockgate/knockgate/host/internal/config"
)

// reloadTime is how long "reload" waits for its end: modules are compiled.
const reloadTime = 5 * time.Minute

func newReload() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the running server load its configuration and policies anew",
		Long: `Asks the server on this machine through its admin API, at listen of [admin] with the
token in token_file, and prints how it ended. Policies that do not load leave the
ones in force as they are. SIGHUP does the same, and says how it ended in the log.

Of the configuration it takes [admin] alone, whatever else is wrong there: the server
says what.

Exit codes: 0 loaded, 1 anything else.`,
		Example: "  knockgate reload --config /etc/knockgate/config.toml",
		Args:    cobra.NoArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		a, err := config.AdminListener(*path)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), reloadTime)
		defer cancel()
		text, err := askReload(ctx, a)
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), printableLine(text))
		return nil
	}
	return cmd
}

// otherWays is how a reload is had without the API.
const otherWays = `"systemctl reload knockgate", or SIGHUP to the server, reloads too`

// askReload asks a server to reload and returns its words.
func askReload(ctx context.Context, a config.Admin) (string, error) {
	token, err := admin.TokenAt(a.TokenFile).Read()
	if err != nil {
		return "", fmt.Errorf("admin.token_file: %w; %s", err, otherWays)
	}
	u := a.URL().JoinPath("/admin/v1/reload")
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	// Its certificate is for others' names; on loopback nobody stands between.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: a.Listen.Addr().Unmap().IsLoopback() || a.Listen.Addr().IsUnspecified()}}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return "", fmt.Errorf("no server answers at %s: %w; %s", u.Host, err, otherWays)
	}
	defer answer.Body.Close()
	var body struct{ Text, Error string }
	err = json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&body)
	switch {
	case answer.StatusCode == http.StatusOK && err == nil:
		return body.Text, nil
	case err != nil || body.Error == "":
		return "", fmt.Errorf("%s answers %s, which is no answer of knockgate; %s", u.Host, answer.Status, otherWays)
	case answer.StatusCode == http.StatusBadRequest:
		return "", errors.New(printableLine(body.Error))
	}
	return "", fmt.Errorf("%s answers %s: %s", u.Host, answer.Status, printableLine(body.Error))
}
