package config

import (
	"fmt"
	"maps"
	"slices"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// MaxNotaries is how many notary servers there may be.
const MaxNotaries = 4

// checkServerKeys returns the servers of one list with their keys. A server
// stands once, is not this one, and has a key.
func checkServerKeys(c *Config, faults *faults, list string, servers []serverKeys) (out []ServerKeys) {
	seen := map[matrix.ServerName]bool{}
	for i, s := range servers {
		key := fmt.Sprintf("%s[%d]", list, i)
		name, err := matrix.ParseServerName(s.Server)
		switch {
		case s.Server == "":
			faults.addf(key+".server", "missing; the name of a server, such as \"matrix.example.org\"")
			continue
		case err != nil:
			faults.addf(key+".server", "%v", err)
			continue
		case name == c.ServerName:
			faults.addf(key+".server", "%q is this server, whose keys are in state_dir", name)
		case seen[name]:
			faults.addf(key+".server", "%q stands twice", name)
		}
		seen[name] = true
		if len(s.Keys) == 0 {
			faults.addf(key+".keys", "missing; the server's keys, such as { \"ed25519:a_abcd\" = \"<public key in base64>\" }")
		}
		keys := make(map[matrix.KeyID]matrix.PublicKey, len(s.Keys))
		for _, text := range slices.Sorted(maps.Keys(s.Keys)) {
			id, err := matrix.ParseKeyID(text)
			if err != nil {
				faults.addf(key+".keys", "%v", err)
				continue
			}
			public, err := matrix.ParsePublicKey(s.Keys[text])
			switch {
			case err != nil:
				faults.addf(key+".keys", "%q: %v", text, err)
			case public.Compromised():
				faults.addf(key+".keys", "%q: others know this key, and no signature under it is taken: remove it", text)
			default:
				keys[id] = public
			}
		}
		out = append(out, ServerKeys{name, keys})
	}
	return out
}
