package doctor

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/serverkey"
)

// localClient reaches the server's own listeners, whose certificate is for others.
func localClient() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // our own listener, by address
			Protocols:       protocols,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// listener asks the federation listener itself, without any proxy.
func (d *doctor) listener(ctx context.Context) Hop {
	const name = "listener"
	start := []string{"start knockgate serve with this configuration, or name it with --config"}
	p := d.makeProbe("!" + mark + d.token + ":" + string(d.Server))
	r, err := p.request(ctx)
	if err != nil {
		return wrong(name, nil, "%v", err)
	}
	r.URL.Scheme, r.URL.Host = d.Listener.Scheme, d.Listener.Host
	response, err := d.local.Do(r)
	if err != nil {
		return wrong(name, start, "%s does not answer: %v", d.Listener, err)
	}
	a, err := readAnswer(response)
	switch {
	case err != nil:
		return wrong(name, start, "%s does not answer: %v", d.Listener, err)
	case a.seen == nil:
		return wrong(name, start, "%s answers %d %.100q: what listens there is no Knockgate with the state folder %s", d.Listener, a.status, a.body, d.StateDir)
	case a.seen.Server != d.Server:
		return wrong(name, []string{"restart knockgate serve: server_name has changed since it started"}, "%s is %q, and the configuration says %q", d.Listener, a.seen.Server, d.Server)
	case a.seen.Signature != "ok":
		return wrong(name, nil, "%s does not take a signature that is right: %s", d.Listener, a.seen.Signature)
	}
	d.heard = true
	return ok(name, "%s answers, as %s", d.Listener, d.Server)
}

// ready asks the admin listener.
func (d *doctor) ready(ctx context.Context) Hop {
	const name = "ready"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.Admin.String()+"/readyz", nil)
	if err != nil {
		return wrong(name, nil, "%v", err)
	}
	response, err := d.local.Do(r)
	if err != nil {
		return wrong(name, []string{"start knockgate serve again: admin.listen takes effect at a start"}, "%s does not answer: %v", r.URL, err)
	}
	defer response.Body.Close()
	var report struct {
		Checks []struct {
			Name string `json:"name"`
			OK   bool   `json:"ok"`
			Text string `json:"text"`
		} `json:"checks"`
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&report); err != nil {
		return wrong(name, nil, "%s answers %d and what is not known here: %v", r.URL, response.StatusCode, err)
	}
	var failed []string
	for _, c := range report.Checks {
		if !c.OK {
			failed = append(failed, c.Name+": "+c.Text)
		}
	}
	if len(failed) > 0 || response.StatusCode != http.StatusOK {
		return wrong(name, nil, "%s answers %d: %s", r.URL, response.StatusCode, strings.Join(failed, "; "))
	}
	return ok(name, "%s answers 200", r.URL)
}

// keyTarget is where a server publishes its keys.
const keyTarget = "/_matrix/key/v2/server"

// homeserver asks the homeserver who it is, past all proxies.
func (d *doctor) homeserver(ctx context.Context) Hop {
	const name = "homeserver"
	program, err := d.Homeserver.Version(ctx)
	if err != nil {
		return wrong(name, []string{"start the homeserver, or set upstream.url to its listener with the resource \"federation\""}, "%v", err)
	}
	status, body, err := d.Homeserver.Get(ctx, keyTarget)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	if err == nil {
		d.keys, err = serverkey.ParseDocument(d.Server, body, d.Now())
	}
	if err != nil {
		change := []string{"server_name is the homeserver's, to the letter; upstream.url is that homeserver's"}
		var said struct {
			Name string `json:"server_name"`
		}
		if json.Unmarshal(body, &said) == nil && said.Name != "" && said.Name != string(d.Server) {
			return wrong(name, change, "%s is the homeserver of %.255q, and server_name is %q", program, said.Name, d.Server)
		}
		return wrong(name, change, "%s gives no keys of %s at %s: %v", program, d.Server, keyTarget, err)
	}
	return ok(name, "%s, of %s", program, d.Server)
}

// ownKeys reads the keys that the server has itself.
func (d *doctor) ownKeys(context.Context) Hop {
	const name = "keys"
	k, err := d.OwnKeys()
	if err != nil {
		return wrong(name, nil, "%v", err)
	}
	d.keys = &serverkey.Document{Server: d.Server, Keys: map[matrix.KeyID]matrix.PublicKey{k.Key.KeyID(): k.Key.Public()}}
	return ok(name, "signs with %s", k.Key.KeyID())
}

// published compares the keys that peers get with those that there are.
func (d *doctor) published(ctx context.Context) Hop {
	const name = "published keys"
	status, body, err := d.Client.Get(ctx, d.Server, keyTarget, serverkey.MaxDocument)
	if err != nil {
		return wrong(name, nil, "%v", err)
	}
	if status != http.StatusOK {
		return wrong(name, []string{"send " + keyTarget + " to the homeserver, or to Knockgate, which passes it on"}, "GET %s is answered %d: nobody can check a signature of %s", keyTarget, status, d.Server)
	}
	doc, err := serverkey.ParseDocument(d.Server, body, d.Now())
	if err != nil {
		return wrong(name, []string{"send " + keyTarget + " to the homeserver of this name"}, "what is published at %s cannot be used: %v", keyTarget, err)
	}
	if left := doc.ValidUntil.Sub(d.Now()); left <= 0 {
		return wrong(name, nil, "what is published at %s was valid until %s", keyTarget, doc.ValidUntil.Format(time.RFC3339))
	}
	if d.keys == nil {
		return Hop{Name: name, State: Note, Text: fmt.Sprintf("%d of %s; whether they are the homeserver's is not known", len(doc.Keys), d.Server)}
	}
	for id, key := range d.keys.Keys {
		if doc.Keys[id] != key {
			return wrong(name, []string{"send " + keyTarget + " to this server"}, "the key %s is not among those published at %s: another server answers there", id, keyTarget)
		}
	}
	return ok(name, "%d of %s, as they are behind the proxy", len(doc.Keys), d.Server)
}
