package policylist

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/knockgate/knockgate/host/internal/pdu"
)

// matcher is what some entries of one text stand for.
type matcher struct {
	// table has the exact entries, and the suffixes with the dot they begin
	// with, which no exact entry does.
	table            table
	suffixes, hashes bool
	globs            []string
}

// errGlobs says that there are maxGlobs already.
var errGlobs = fmt.Errorf("more than %d globs; entries like \".example.org\" are none", maxGlobs)

// errEntry says that an entry is none.
var errEntry = fmt.Errorf("an entry is at most %d bytes of UTF-8", maxEntry)

// hashed begins an entry that is the SHA-256 of what it stands for, in base64.
//
// Spec: MSC4205, of entities that are not to be told.
const hashed = "sha256:"

// hashText is the length of a SHA-256 in base64, without padding.
var hashText = base64.RawStdEncoding.EncodedLen(sha256.Size)

// add adds an entry, which is in the table's text from start on. It fails if that is
// none, or a glob too many.
func (m *matcher) add(start int, entry string) error {
	if len(entry) > maxEntry || !utf8.ValidString(entry) {
		return errEntry
	}
	rest := strings.TrimPrefix(entry, "*")
	switch {
	case strings.HasPrefix(rest, ".") && !strings.ContainsAny(rest, "*?"):
		m.table.add(start+len(entry)-len(rest), len(rest))
		m.suffixes = true
	case !strings.ContainsAny(entry, "*?"):
		if strings.HasPrefix(entry, hashed) {
			entry = strings.TrimRight(entry, "=")
			m.hashes = m.hashes || len(entry) == len(hashed)+hashText
		}
		m.table.add(start, len(entry))
	case len(m.globs) == maxGlobs:
		return errGlobs
	default:
		m.globs = append(m.globs, entry)
	}
	return nil
}

// has reports whether an entry stands for key.
func (m *matcher) has(key []byte) bool {
	if len(key) > maxEntry {
		return false
	}
	var room [maxEntry]byte
	folded := append(room[:0], key...)
	lower(folded)
	if !bytes.HasPrefix(folded, []byte{'.'}) && m.table.has(folded) {
		return true
	}
	for rest, at := folded, 0; m.suffixes; rest = rest[at+1:] {
		if at = bytes.IndexByte(rest, '.'); at < 0 {
			break
		}
		if len(rest[at:]) < len(folded) && m.table.has(rest[at:]) {
			return true
		}
	}
	// A hash is of what somebody wrote, which entries in the clear take in any case.
	if m.hashes && (m.hasHash(key) || !bytes.Equal(key, folded) && m.hasHash(folded)) {
		return true
	}
	if len(m.globs) == 0 {
		return false
	}
	text := string(key)
	for _, g := range m.globs {
		if pdu.GlobMatch(g, text) {
			return true
		}
	}
	return false
}

// hasHash reports whether the hash of key is an entry. The text has lost the case of
// its base64, and with it some 30 of the 256 bits.
func (m *matcher) hasHash(key []byte) bool {
	var room [64]byte
	sum := sha256.Sum256(key)
	entry := base64.RawStdEncoding.AppendEncode(append(room[:0], hashed...), sum[:])
	lower(entry)
	return m.table.has(entry)
}

// lower lowers the letters of ASCII, and no others: a folded letter of another
// script could make one entry of two.
func lower(text []byte) {
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			text[i] = c | 0x20
		}
	}
}
