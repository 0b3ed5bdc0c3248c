package xmatrix

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// MaxHeader is the longest Authorization header that is read, in bytes. The
// parameters that count come to less than 1,100.
const MaxHeader = 4096

// maxParams is how many parameters a header may have; four are known.
const maxParams = 16

// Signature is one signature of a request.
type Signature struct {
	// Key is the ID of the key it claims to be under.
	Key matrix.KeyID
	// Sig is the Ed25519 signature.
	Sig [64]byte
}

// field is one X-Matrix header.
type field struct {
	origin      matrix.ServerName
	destination matrix.ServerName // "" if absent
	signature   Signature
}

var errNotXMatrix = errors.New("another scheme than X-Matrix")

// parseField reads the value of one Authorization header. It fails with
// errNotXMatrix if the scheme is another, and otherwise for whatever does not
// follow the grammar.
//
// The grammar, from RFC 9110 section 11.4 with the specification's liberties:
//
//	field  = "X-Matrix" 1*( SP / HTAB ) param *( OWS "," OWS param )
//	param  = token BWS "=" BWS ( bare / quoted-string )
//	bare   = 1*( tchar / ":" / "/" / "=" / "[" / "]" )
//
// Scheme and parameter names match in any case. Unknown parameters are ignored,
// repeated ones refused, whatever their name.
func parseField(s string) (field, error) {
	if len(s) > MaxHeader {
		return field{}, fmt.Errorf("longer than %d bytes", MaxHeader)
	}
	t := tokenizer{rest: s}
	t.space()
	if !strings.EqualFold(t.token(), "X-Matrix") {
		return field{}, errNotXMatrix
	}
	if t.rest != "" && !t.space() {
		return field{}, errNotXMatrix // a longer name
	}
	var f field
	seen := make([]string, 0, maxParams)
	for {
		if len(seen) == maxParams {
			return field{}, fmt.Errorf("more than %d parameters", maxParams)
		}
		name, value, err := t.param()
		if err != nil {
			return field{}, err
		}
		for _, s := range seen {
			if strings.EqualFold(s, name) {
				return field{}, fmt.Errorf("the parameter %.20q stands twice", name)
			}
		}
		seen = append(seen, name)
		if err := f.set(name, value); err != nil {
			return field{}, err
		}
		t.space()
		if t.rest == "" {
			break
		}
		if !t.byte(',') {
			return field{}, fmt.Errorf("%.20q stands where a comma or the end must", t.rest)
		}
		t.space()
	}
	if err := complete(seen); err != nil {
		return field{}, err
	}
	return f, nil
}

// set takes a parameter.
func (f *field) set(name, value string) (err error) {
	switch {
	case strings.EqualFold(name, "origin"):
		f.origin, err = matrix.ParseServerName(value)
	case strings.EqualFold(name, "destination"):
		f.destination, err = matrix.ParseServerName(value)
	case strings.EqualFold(name, "key"):
		f.signature.Key, err = matrix.ParseKeyID(value)
	case strings.EqualFold(name, "sig"):
		f.signature.Sig, err = parseSignature(value)
	}
	return err
}

// complete reports a parameter that is missing.
func complete(seen []string) error {
	for _, want := range [...]string{"origin", "key", "sig"} {
		found := false
		for _, name := range seen {
			found = found || strings.EqualFold(name, want)
		}
		if !found {
			return fmt.Errorf("the parameter %q is missing", want)
		}
	}
	return nil
}

// parseSignature decodes 64 bytes of standard base64, with or without padding.
func parseSignature(s string) (sig [64]byte, err error) {
	const raw = 86 // characters of 64 bytes
	if len(s) == raw+2 && s[raw:] == "==" {
		s = s[:raw]
	}
	var buf [66]byte
	// The decoder skips line breaks: with them the size would not come out.
	if len(s) == raw {
		if n, err := base64.RawStdEncoding.Strict().Decode(buf[:], []byte(s)); err == nil && n == len(sig) {
			return [64]byte(buf[:64]), nil
		}
	}
	return sig, fmt.Errorf("the signature is not %d bytes in base64", len(sig))
}

// append renders f in the form and the order in which Synapse sends it.
func (f *field) append(dst []byte) []byte {
	dst = append(dst, `X-Matrix origin="`...)
	dst = append(dst, f.origin...)
	dst = append(dst, `",key="`...)
	dst = append(dst, f.signature.Key...)
	dst = append(dst, `",sig="`...)
	dst = base64.RawStdEncoding.AppendEncode(dst, f.signature.Sig[:])
	dst = append(dst, '"')
	if f.destination != "" {
		dst = append(dst, `,destination="`...)
		dst = append(dst, f.destination...)
		dst = append(dst, '"')
	}
	return dst
}
