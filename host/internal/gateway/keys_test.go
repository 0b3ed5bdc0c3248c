package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// FuzzAsksFor: a key query is refused with 400 and yields nothing, or it names
// the server exactly if another reader of JSON finds its name there too.
func FuzzAsksFor(f *testing.F) {
	for _, s := range []string{
		`{"server_keys":{"here.test":{"ed25519:a":{"minimum_valid_until_ts":1}}}}`,
		`{"server_keys":{"here.test":{}},"x":[1]}`, `{"server_keys":{"h\u0065re.test":{}}}`, `{"server_keys":{"other.test":{}}}`,
		`{"server_keys":{}}`, `{"server_keys":{"here.test":[]}}`, `{"SERVER_KEYS":{"here.test":{}}}`, `{}`, `[]`, `1`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		doc, err := canonicaljson.Parse(body)
		if err != nil {
			return
		}
		asks, err := asksFor(doc.Root(), "here.test")
		if err != nil {
			var e *matrix.Error
			if asks || !errors.As(err, &e) || e.Status != http.StatusBadRequest {
				t.Fatalf("asksFor(%q) = %v, %v, want 400 alone", body, asks, err)
			}
			return
		}
		var query map[string]json.RawMessage // a map has no folding of cases
		var servers map[string]any
		if err := errors.Join(json.Unmarshal(body, &query), json.Unmarshal(query["server_keys"], &servers)); err != nil {
			t.Fatalf("asksFor(%q) accepts what is no query: %v", body, err)
		}
		if _, want := servers["here.test"]; asks != want {
			t.Fatalf("asksFor(%q) = %v, want %v", body, asks, want)
		}
	})
}
