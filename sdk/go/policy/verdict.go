package policy

import (
	"encoding/binary"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"github.com/knockgate/knockgate/sdk/abi"
)

// Verdict is a policy's answer. Two verdicts are equal (==) if the host would
// record the same. The zero Verdict is no verdict: the host takes it as a fault.
type Verdict struct {
	// Kind is allow, deny, incompatible, pass or error.
	Kind abi.Verdict
	// Message is shown to the knocker with deny and incompatible: plain text,
	// cut to abi.MaxMessage bytes. It is all that leaves the server.
	Message string
	// Note is for the record only: what the admin should know.
	// Cut to 1,024 bytes. With error it is what went wrong.
	Note string
	// Code names the rule that fired, such as "reason_too_short", for counting.
	// Cut to 64 bytes.
	Code string
	// Detail is for the record only: a JSON object, or "". [Verdict.DetailText]
	// and its like make it.
	Detail string
}

// The verdicts that need no words. They are not to be assigned to.
var (
	// Allow lets the knock through; no later policy is asked.
	Allow = Verdict{Kind: abi.Allow}
	// Pass is no opinion: the next policy of the chain is asked.
	Pass = Verdict{Kind: abi.Pass}
)

// Deny returns the verdict that refuses the knock and tells the knocker message.
func Deny(message string) Verdict { return Verdict{Kind: abi.Deny, Message: message} }

// Incompatible returns the verdict that refuses the knock as coming from a
// server that does not support the room's version.
func Incompatible(message string) Verdict {
	return Verdict{Kind: abi.Incompatible, Message: message}
}

// Error returns the verdict that says the policy could not decide, with the
// reason for the record. The host answers by the policy's on_error.
func Error(text string) Verdict { return Verdict{Kind: abi.Error, Note: text} }

// DetailText returns v with a text added to its detail. A key must not be added
// twice; what makes the detail longer than 4,096 bytes is left out.
func (v Verdict) DetailText(key, value string) Verdict {
	return v.detail(key, string(appendQuoted(nil, value, maxDetail)))
}

// DetailNumber returns v with a number added to its detail, see
// [Verdict.DetailText].
func (v Verdict) DetailNumber(key string, value int64) Verdict {
	return v.detail(key, strconv.FormatInt(value, 10))
}

// DetailTruth returns v with a truth value added to its detail, see
// [Verdict.DetailText].
func (v Verdict) DetailTruth(key string, value bool) Verdict {
	return v.detail(key, strconv.FormatBool(value))
}

func (v Verdict) detail(key, value string) Verdict {
	with := []byte{'{'}
	if n := len(v.Detail); n > 2 {
		with = append(append(with[:0], v.Detail[:n-1]...), ',')
	}
	with = append(appendQuoted(with, key, maxDetail), ':')
	if with = append(append(with, value...), '}'); len(with) <= maxDetail {
		v.Detail = string(with)
	}
	return v
}

// Largest parts of a result, in bytes. With every byte escaped to six, all of
// them together still fit abi.MaxResult.
const (
	maxNote   = 1024
	maxCode   = 64
	maxPath   = 256
	maxDetail = 4096
)

// inline reports whether v needs no JSON object.
func (v Verdict) inline() bool {
	return v.Message == "" && v.Note == "" && v.Code == "" && v.Detail == ""
}

// appendResult appends v as the JSON object of a decide result to dst. The
// length is at most abi.MaxResult, whatever v holds.
func appendResult(dst []byte, v Verdict) []byte {
	dst = append(dst, `{"verdict":"`...)
	dst = append(dst, v.Kind.String()...)
	dst = append(dst, '"')
	note := `,"note":`
	if v.Kind == abi.Error {
		note = `,"error":`
	}
	dst = appendMember(dst, `,"message":`, v.Message, abi.MaxMessage)
	dst = appendMember(dst, note, v.Note, maxNote)
	dst = appendMember(dst, `,"code":`, v.Code, maxCode)
	if v.Detail != "" && len(v.Detail) <= maxDetail {
		dst = append(append(dst, `,"detail":`...), v.Detail...)
	}
	return append(dst, '}')
}

func appendMember(dst []byte, key, text string, most int) []byte {
	if text == "" {
		return dst
	}
	return appendQuoted(append(dst, key...), text, most)
}

// appendErrors appends the JSON object with which configure refuses settings.
// What does not fit abi.MaxResult is left out and counted in a last entry.
func appendErrors(dst []byte, errs SettingsError) []byte {
	const room = 256 // for the entry that counts the rest, and the end
	start := len(dst)
	dst = append(dst, `{"errors":[`...)
	for i, e := range errs {
		before := len(dst)
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendError(dst, e.Path, e.Message)
		if len(dst)-start > abi.MaxResult-room {
			dst = dst[:before]
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendError(dst, "", strconv.Itoa(len(errs)-i)+" more settings are wrong")
			break
		}
	}
	return append(dst, "]}"...)
}

func appendError(dst []byte, path, message string) []byte {
	dst = appendQuoted(append(dst, `{"path":`...), path, maxPath)
	dst = appendQuoted(append(dst, `,"message":`...), message, maxNote)
	return append(dst, '}')
}

// appendQuoted appends the beginning of s as a JSON string: as many characters
// as have at most most bytes. Bytes that are not UTF-8 become U+FFFD.
func appendQuoted(dst []byte, s string, most int) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for most > 0 {
		n := min(plain(s), most)
		dst = append(dst, s[:n]...)
		s = s[n:]
		most -= n
		if s == "" || most == 0 {
			break
		}
		switch c := s[0]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
			s = s[1:]
			most--
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			s = s[1:]
			most--
		default:
			r, n := utf8.DecodeRuneInString(s)
			if most -= utf8.RuneLen(r); most < 0 {
				break
			}
			dst = utf8.AppendRune(dst, r)
			s = s[n:]
		}
	}
	return append(dst, '"')
}

// plain returns how many bytes of s, from the first, stand for themselves in a
// JSON string. It looks at eight at once: in WebAssembly a turn of a loop costs
// more than all that it does to eight bytes.
func plain(s string) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(s)-n >= 8; n += 8 {
		x := binary.LittleEndian.Uint64(unsafe.Slice(unsafe.StringData(s[n:]), 8))
		quote, slash := x^('"'*ones), x^('\\'*ones)
		// A byte that is less than 0x20, or zero after the xor, borrows from its
		// top bit; a byte above 0x7f has it set.
		if (x|(x-0x20*ones)|(quote-ones)|(slash-ones))&high != 0 {
			break
		}
	}
	for n < len(s) && s[n] >= 0x20 && s[n] < utf8.RuneSelf && s[n] != '"' && s[n] != '\\' {
		n++
	}
	return n
}
