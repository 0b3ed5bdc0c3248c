package doctor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

const (
	makePath = "/_matrix/federation/v1/make_knock/"
	sendPath = "/_matrix/federation/v1/send_knock/"
	// maxAnswer bounds an answer to a probe.
	maxAnswer = 64 << 10
)

// aProbe is a signed request for something that cannot exist.
type aProbe struct {
	method, target string
	body           []byte
	authorization  string
}

// makeProbe returns a plain make_knock on a room.
func (d *doctor) makeProbe(room string) *aProbe {
	return d.sign(http.MethodGet, makePath+room+"/@doctor:"+string(Origin)+"?ver=11", nil)
}

// aTarget is a request-target that a careless proxy changes.
type aTarget struct {
	text string
	// rare is written as homeservers may and, as far as is known, do not: with
	// hexadecimal digits in lower case, or with what needs no encoding encoded.
	rare bool
}

// trickyTargets are request-targets that a careless proxy changes: what may be
// written encoded or not, what decodes to a delimiter, and parameters in an order of
// their own. All bytes may stand in a URI.
func (d *doctor) trickyTargets() []aTarget {
	room := "!" + mark + d.token
	encoded := "%21" + mark + d.token
	user := "%3A" + string(Origin)
	return []aTarget{
		{makePath + room + ":a.invalid/@doctor:" + string(Origin) + "?ver=11&ver=1&ver=12", false},
		{makePath + encoded + "%3Aa.invalid/%40doctor" + user + "?ver=11", false},
		{makePath + encoded + "%3Aa.invalid/%40a%2Fb" + user + "?ver=11", false},
		{makePath + room + "%20%25%2525:a.invalid/@a%3Bb;c,d&e'f(g)*$+%2B=~:" + string(Origin) + "?ver=11&ver=11&x=a+b%20c", false},
		{sendPath + room + ":a.invalid/%24a-_b%3F%23", false},
		{makePath + encoded + "%3aa.invalid/%40a%2fb%3a" + string(Origin) + "?ver=11", true},
		{makePath + room + "%7E-%2D:a.invalid/%40doctor" + user + "?ver=%31%31", true},
	}
}

// spellings are other ways to write the endpoint, which a homeserver, or what
// stands before it, might take for it.
func (d *doctor) spellings() []string {
	tail := "/!" + mark + d.token + ":a.invalid/@doctor:" + string(Origin) + "?ver=11"
	const base = "/_matrix/federation/v1/"
	return []string{
		base + "%6dake_knock" + tail, base + "make%5fknock" + tail, base + "%256dake_knock" + tail, base + "MAKE_KNOCK" + tail,
		base + "/make_knock" + tail, "/_matrix//federation/v1/make_knock" + tail, base + "x/../make_knock" + tail, base + "x/%2e%2e/make_knock" + tail,
		base + "x%2f..%2fmake_knock" + tail, base + "make_knock;x" + tail, "/_matrix/federation%2Fv1%2Fmake_knock" + tail,
	}
}

// probeBody is JSON with the white space, escapes and order that a rewrite loses.
const probeBody = "{ \"z\" : \"\\u0068\\/\u2028\",\n\t\"a\": [1, 2 ], \"unsigned\": {} }"

// sign returns a probe with its signature.
func (d *doctor) sign(method, target string, body []byte) *aProbe {
	var content []byte
	if body != nil {
		if doc, err := canonicaljson.Parse(body); err == nil {
			content = doc.Bytes()
		}
	}
	return &aProbe{method, target, body, xmatrix.Header(d.key, Origin, d.Server, method, target, content)}
}

// request returns a probe as a request without scheme and host.
func (p *aProbe) request(ctx context.Context) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, p.method, "", bytes.NewReader(p.body))
	if err != nil {
		return nil, err
	}
	if p.body == nil {
		r.Body, r.GetBody, r.ContentLength = nil, nil, 0
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	r.URL = &url.URL{Opaque: p.target} // each byte as it stands
	r.Header.Set("Authorization", p.authorization)
	return r, nil
}

// sum returns the hash of its body.
func (p *aProbe) sum() string {
	s := sha256.Sum256(p.body)
	return hex.EncodeToString(s[:])
}

// answered is the answer to a probe.
type answered struct {
	status int
	body   []byte
	server string // the Server header
	seen   *seen  // nil: it was not Knockgate that answered
}

// send sends a probe to the public name, as a peer would.
func (d *doctor) send(ctx context.Context, p *aProbe) (*answered, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	r, err := p.request(ctx)
	if err != nil {
		return nil, err
	}
	response, err := d.Client.Do(ctx, d.Server, r)
	if err != nil {
		return nil, err
	}
	return readAnswer(response)
}

// readAnswer reads and closes a response.
func readAnswer(response *http.Response) (*answered, error) {
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	a := &answered{status: response.StatusCode, body: body, server: response.Header.Get("Server") + " " + response.Header.Get("Via")}
	var said reply
	if response.StatusCode == http.StatusOK && json.Unmarshal(body, &said) == nil {
		a.seen = said.Doctor
	}
	return a, nil
}
