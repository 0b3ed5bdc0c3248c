package upstream

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
)

// Answer is what the homeserver answered.
type Answer struct {
	Status int
	// Header is without the headers of one connection.
	Header http.Header
	Body   []byte
}

// check fails if the answer is none that a peer may be given.
func (a *Answer) check() error {
	switch {
	case len(a.Body) > MaxAnswer:
		return fmt.Errorf("upstream answered %d with more than %d bytes", a.Status, MaxAnswer)
	case a.Status >= 400 && a.Status < 500:
		return nil
	case a.Status != http.StatusOK:
		return fmt.Errorf("upstream answered %d: %.200q", a.Status, a.Body)
	case len(a.Body) == 0 || a.Body[0] != '{' || !json.Valid(a.Body):
		return fmt.Errorf("upstream answered 200 with what is no JSON object: %.200q", a.Body)
	}
	return nil
}

// Errcode returns the errcode of a refusal; "" if it has none.
func (a *Answer) Errcode() string { return a.text("errcode", new(canonicaljson.Doc)) }

// RoomVersion returns the room's version from the answer to a make_knock, be it a
// template or that the peer's server does not take it; "" if it says none. It parses
// the answer into doc.
func (a *Answer) RoomVersion(doc *canonicaljson.Doc) string {
	if a.Status == http.StatusOK || a.text("errcode", doc) == "M_INCOMPATIBLE_ROOM_VERSION" {
		return a.text("room_version", doc)
	}
	return ""
}

// text returns a text of the body's top level; "" if it is not there.
func (a *Answer) text(key string, doc *canonicaljson.Doc) string {
	if err := doc.Parse(a.Body); err != nil {
		return ""
	}
	s, _ := doc.Root().Get(key).Text()
	return s
}
