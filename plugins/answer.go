package plugins

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/knockgate/knockgate/sdk/abi"
)

// answer is what a guest said, copied out of its memory. It is reusable.
type answer struct {
	verdict             abi.Verdict
	message, note, code string
	errorText           string // with verdict error
	detail              []byte // a JSON object, or empty

	text []byte // room to decode a string
}

func (a *answer) reset() {
	*a = answer{detail: a.detail[:0], text: a.text[:0]}
}

// parseAnswer reads the JSON object of a decide result: keys verdict, message,
// note, code, detail and error, each at most once. After an error a is not to
// be used.
//
// Spec: sdk/README.md, result of knock_v1_decide.
func parseAnswer(b []byte, a *answer) error {
	last := *a
	a.reset()
	s := scanner{buf: b}
	if s.peek() != '{' {
		return errNoObject
	}
	s.at++
	const verdict, message, note, code, detail, failure = 1, 2, 4, 8, 16, 32
	seen := 0
	for first := true; s.next(first, '}'); first = false {
		var key int
		a.text = s.text(a.text[:0])
		switch string(a.text) {
		case "verdict":
			key = verdict
		case "message":
			key = message
		case "note":
			key = note
		case "code":
			key = code
		case "detail":
			key = detail
		case "error":
			key = failure
		default:
			s.failf("the key %q; there are verdict, message, note, code, detail and error", a.text)
		}
		if seen&key != 0 {
			s.failf("the key %q stands twice", a.text)
		}
		seen |= key
		s.expect(':')
		if key == detail {
			if s.peek() != '{' {
				s.failf("detail is no object")
			}
			from := s.at
			s.skip(1, a.text)
			a.detail = append(a.detail, b[min(from, s.at):s.at]...)
			continue
		}
		a.text = s.text(a.text[:0])
		if s.err != nil {
			break
		}
		switch key {
		case verdict:
			v, ok := abi.ParseVerdict(string(a.text))
			if !ok {
				s.failf("the verdict %q; there are allow, deny, incompatible, pass and error", a.text)
			}
			a.verdict = v
		case message:
			a.text = cleanMessage(a.text)
			a.message = keep(last.message, a.text)
		case note:
			a.note = keep(last.note, a.text)
		case code:
			a.code = keep(last.code, a.text)
		case failure:
			a.errorText = string(a.text)
		}
	}
	s.end()
	if s.err != nil {
		return s.err
	}
	if seen&verdict == 0 {
		return errors.New("the result has no verdict")
	}
	if a.verdict != abi.Error {
		if seen&failure != 0 {
			return fmt.Errorf("the result has an error beside the verdict %s", a.verdict)
		}
		return nil
	}
	if a.errorText == "" {
		a.errorText = a.note
	}
	if a.errorText == "" {
		a.errorText = "the policy answered error and gave no reason"
	}
	return nil
}

// keep returns text as a string: last, if that is the same, which spares a
// policy with fixed messages the allocation.
func keep(last string, text []byte) string {
	if last == string(text) {
		return last
	}
	return string(text)
}

// cleanMessage drops control characters from valid UTF-8, in place, and cuts it
// to abi.MaxMessage bytes, between characters.
func cleanMessage(b []byte) []byte {
	out := b[:0]
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if !unicode.IsControl(r) {
			if len(out)+n > abi.MaxMessage {
				break
			}
			out = append(out, b[i:i+n]...)
		}
		i += n
	}
	return out
}

// parseSettingsErrors reads the JSON object with which configure refuses:
// {"errors":[{"path":"...","message":"..."}]}, with at least one entry.
//
// Spec: sdk/README.md, result of knock_v1_configure.
func parseSettingsErrors(b []byte) (*SettingsError, error) {
	s := scanner{buf: b}
	if s.peek() != '{' {
		return nil, errNoObject
	}
	s.at++
	refused := &SettingsError{}
	for first := true; s.next(first, '}'); first = false {
		if key := s.text(nil); string(key) != "errors" || !first {
			s.failf("the key %q; there is errors, once", key)
		}
		s.expect(':')
		s.expect('[')
		for first := true; s.next(first, ']'); first = false {
			refused.Errors = append(refused.Errors, settingError(&s))
		}
	}
	s.end()
	if s.err != nil {
		return nil, s.err
	}
	if len(refused.Errors) == 0 {
		return nil, errors.New("the result names no error; 0 accepts the settings")
	}
	return refused, nil
}

func settingError(s *scanner) (e SettingError) {
	s.expect('{')
	var path, message bool
	for first := true; s.next(first, '}'); first = false {
		key := string(s.text(nil))
		s.expect(':')
		text := escaped(s.text(nil))
		switch {
		case key == "path" && !path:
			e.Path, path = text, true
		case key == "message" && !message:
			e.Message, message = text, true
		default:
			s.failf("the key %q; there are path and message, once", key)
		}
	}
	if !path || e.Message == "" {
		s.failf("an error without a path or a message")
	}
	return e
}
