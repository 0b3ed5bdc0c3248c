package plugins

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/knockgate/knockgate/sdk/abi"
)

// opaRead takes the result of opa_eval apart: the list of the results of the
// query, [{"result":X}], in which X is what the rule has as its value: the name
// of a verdict, or the object that the knock ABI has.
func opaRead(in *instance, result uint64, a *answer) Fault {
	b, err := terminated(in.mem, uint32(result), abi.MaxResult)
	if err == nil {
		err = parseOPAResult(b, a)
	}
	if err != nil {
		return Fault{FaultResult, err.Error()}
	}
	if a.verdict == abi.Error {
		return Fault{FaultError, a.errorText}
	}
	return Fault{}
}

var errUndefined = errors.New("the rule " + opaEntrypoint + ` is undefined for this knock, which is no verdict; give it a default, such as: default verdict := "pass"`)

func parseOPAResult(b []byte, a *answer) error {
	s := scanner{buf: b}
	if opaBegin(&s, a.text) {
		return errUndefined
	}
	kind, from := s.peek(), s.at
	s.skip(0, a.text)
	value := b[min(from, s.at):s.at]
	s.expect('}')
	s.expect(']')
	s.end()
	switch {
	case s.err != nil:
		return s.err
	case kind == '{':
		return parseAnswer(value, a)
	case kind != '"':
		return fmt.Errorf("the rule %s is %.64q; it must be the name of a verdict or an object", opaEntrypoint, value)
	}
	s = scanner{buf: value}
	a.reset()
	a.text = s.text(a.text[:0])
	v, ok := abi.ParseVerdict(string(a.text))
	if !ok {
		return fmt.Errorf("the verdict %.64q; there are allow, deny, incompatible, pass and error", a.text)
	}
	a.verdict = v
	if v == abi.Error {
		a.errorText = "the policy answered error and gave no reason"
	}
	return nil
}

// opaBegin reads the beginning of the result of a query up to its value, and
// reports whether it has none.
func opaBegin(s *scanner, scratch []byte) (undefined bool) {
	s.expect('[')
	if s.peek() == ']' {
		return true
	}
	s.expect('{')
	if name := s.text(scratch[:0]); s.err == nil && string(name) != "result" {
		s.failf("the binding %q; there is result", name)
	}
	s.expect(':')
	return false
}

// parseOPANames reads a JSON object whose values are numbers, none of them
// twice.
func parseOPANames(b []byte) (map[string]uint32, error) {
	s := scanner{buf: b}
	if s.peek() != '{' {
		return nil, errNoObject
	}
	s.at++
	names, seen := map[string]uint32{}, map[uint32]bool{}
	for first := true; s.next(first, '}'); first = false {
		name := string(s.text(nil))
		s.expect(':')
		from := s.at
		s.digits()
		n, err := strconv.ParseUint(string(b[min(from, s.at):s.at]), 10, 31)
		if _, twice := names[name]; err != nil || twice || seen[uint32(n)] {
			s.failf("%.64q has no number of its own", name)
		}
		names[name], seen[uint32(n)] = uint32(n), true
	}
	s.end()
	return names, s.err
}
