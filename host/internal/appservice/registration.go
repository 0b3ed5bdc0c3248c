package appservice

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// Registration is what a homeserver must know of its application service.
//
// Spec: Application Service API, "Registration".
type Registration struct {
	// Server is the homeserver's name.
	Server matrix.ServerName
	// ID is unique among the homeserver's application services.
	ID string
	// URL is where the homeserver pushes to.
	URL string
	// SenderLocalpart is of the user that the application service is.
	SenderLocalpart string
	Tokens          Tokens
}

// YAML returns the registration as a file for the homeserver. It asks for the
// events of all rooms, and for no user but its own.
func (r *Registration) YAML() []byte {
	sender := regexp.QuoteMeta("@"+r.SenderLocalpart+":"+string(r.Server)) + "$"
	return fmt.Appendf(nil, `id: %s
url: %s
as_token: %s
hs_token: %s
sender_localpart: %s
rate_limited: false
receive_ephemeral: false
namespaces:
  users:
    - exclusive: true
      regex: %s
  aliases: []
  rooms:
    - exclusive: false
      regex: ".*"
`, yaml(r.ID), yaml(r.URL), yaml(r.Tokens.AS), yaml(r.Tokens.HS), yaml(r.SenderLocalpart), yaml("^"+sender))
}

// yaml returns ASCII text as a scalar in double quotes, which are those of JSON.
func yaml(s string) string { return strconv.QuoteToASCII(s) }
