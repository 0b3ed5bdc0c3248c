package doctor

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/knockgate/knockgate/host/internal/discovery"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/serverkey"
)

// Options is what a doctor needs. All fields but those of gateway mode are required.
type Options struct {
	// Server is the server's public name.
	Server matrix.ServerName
	// Listener is the scheme and address of its federation listener.
	Listener *url.URL
	// StateDir is its state folder.
	StateDir string
	// Admin is the scheme and address of its admin listener; nil: there is none.
	Admin *url.URL
	// Client reaches the public name as a peer does.
	Client *discovery.Client
	// OwnKeys returns the keys that the server signs with; nil in gateway mode.
	OwnKeys func() (*serverkey.Keyset, error)
	// Homeserver asks the homeserver behind it; nil in resident mode.
	Homeserver Homeserver
	// TrustedProxies are the addresses whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// Now is the clock.
	Now func() time.Time
}

// Homeserver is the homeserver of gateway mode.
type Homeserver interface {
	// Version returns which program it is.
	Version(ctx context.Context) (string, error)
	// Get fetches what anybody may have.
	Get(ctx context.Context, target string) (status int, body []byte, err error)
}

const (
	// stepTime bounds each question of a doctor.
	stepTime = 20 * time.Second
	// runTime bounds them all: an announcement must outlive it.
	runTime = lifetime - 10*time.Second
)

// doctor is one run.
type doctor struct {
	Options
	*session
	local *http.Client
	hops  []Hop
	// keys are those that the public name must show; nil if they are not known.
	keys *serverkey.Document
	// heard says that the server answers probes.
	heard bool
}

// Run looks at every hop from a peer to the server and to the homeserver behind it.
// It fails only if it cannot announce itself.
func Run(ctx context.Context, o Options) (_ []Hop, err error) {
	ctx, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	d := &doctor{Options: o}
	if d.session, err = begin(o.StateDir, time.Now()); err != nil {
		return nil, err
	}
	defer d.session.end()
	d.local = localClient()
	defer d.local.CloseIdleConnections()

	d.step(ctx, d.listener)
	if d.Admin != nil {
		d.step(ctx, d.ready)
	}
	if d.Homeserver != nil {
		d.step(ctx, d.homeserver)
	} else {
		d.step(ctx, d.ownKeys)
	}
	targets := d.discover(ctx)
	if !d.reach(ctx, targets) {
		d.add(untried("no peer gets that far", "published keys", "arrival", "request-target", "host", "authorization", "signature", "body", "other spellings", "sender")...)
		return d.hops, nil
	}
	d.step(ctx, d.published)
	d.probe(ctx)
	return d.hops, nil
}

func (d *doctor) add(hops ...Hop) { d.hops = append(d.hops, hops...) }

// step adds what one question finds.
func (d *doctor) step(ctx context.Context, ask func(context.Context) Hop) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	d.add(ask(ctx))
}

// Healthy reports whether no hop is wrong. One that was not tried follows on one
// that is.
func Healthy(hops []Hop) bool {
	for _, h := range hops {
		if h.State == Wrong {
			return false
		}
	}
	return true
}
