package plugins

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxOperands is the most of a builtin's operands together, and of its result,
// as text, in bytes.
const maxOperands = 16 << 10

// opaBuiltin is a builtin function of Rego that opa build leaves to the host.
type opaBuiltin struct {
	name     string
	operands int
	// run appends the result to dst, as JSON. It is false if the result is
	// undefined, which in Rego is what wrong operands give. It panics with a
	// guestError for what cannot be had here.
	run func(g *guestState, dst []byte, operands [][]byte) ([]byte, bool)
}

// opaHostBuiltins are those that policies get: their results follow from the
// operands and the facts, and their size and time from the operands.
var opaHostBuiltins = func() map[string]opaBuiltin {
	m := map[string]opaBuiltin{}
	for _, b := range []opaBuiltin{
		{"crypto.sha256", 1, regoSHA256},
		{"sprintf", 2, regoSprintf},
		{"strings.any_prefix_match", 2, regoAffix(strings.HasPrefix)},
		{"strings.any_suffix_match", 2, regoAffix(strings.HasSuffix)},
		{"strings.count", 2, regoCount},
		{"time.clock", 1, regoTime(func(dst []byte, t time.Time) []byte { return appendInts(dst, t.Hour(), t.Minute(), t.Second()) })},
		{"time.date", 1, regoTime(func(dst []byte, t time.Time) []byte { return appendInts(dst, t.Year(), int(t.Month()), t.Day()) })},
		{"time.now_ns", 0, regoNow},
		{"time.weekday", 1, regoTime(func(dst []byte, t time.Time) []byte { return appendQuoted(dst, t.Weekday().String()) })},
		{"trace", 1, regoTrace},
	} {
		m[b.name] = b
	}
	return m
}()

// regoNow is the time of the decision, in nanoseconds.
func regoNow(g *guestState, dst []byte, _ [][]byte) ([]byte, bool) {
	return strconv.AppendInt(dst, g.nowMS*int64(time.Millisecond), 10), true
}

// regoTime takes a time apart: nanoseconds since the Unix epoch, or a list of
// those and a time zone, of which there is only UTC.
func regoTime(part func([]byte, time.Time) []byte) func(*guestState, []byte, [][]byte) ([]byte, bool) {
	return func(_ *guestState, dst []byte, operands [][]byte) ([]byte, bool) {
		number := operands[0]
		if items, ok := regoItems(number); ok && number[0] == '[' {
			if len(items) != 2 {
				return dst, false
			}
			zone, ok := regoString(items[1])
			if !ok {
				return dst, false
			}
			if zone != "" && zone != "UTC" {
				panic(guestError("the time zone " + strconv.Quote(zone) + "; there is UTC"))
			}
			number = items[0]
		}
		ns, err := strconv.ParseInt(string(number), 10, 64)
		if err != nil {
			return dst, false
		}
		return part(dst, time.Unix(0, ns).UTC()), true
	}
}

func appendInts(dst []byte, numbers ...int) []byte {
	for i, n := range numbers {
		dst = append(dst, "[,"[min(i, 1)])
		dst = strconv.AppendInt(dst, int64(n), 10)
	}
	return append(dst, ']')
}

// regoTrace does nothing: there is nobody who traces.
func regoTrace(_ *guestState, dst []byte, operands [][]byte) ([]byte, bool) {
	_, ok := regoString(operands[0])
	return append(dst, "true"...), ok
}

// regoSHA256 is the SHA-256 of a string in hex.
func regoSHA256(g *guestState, dst []byte, operands [][]byte) ([]byte, bool) {
	s, ok := regoString(operands[0])
	g.charge(uint64(len(s)) * ticksPerByte)
	sum := sha256.Sum256([]byte(s))
	return append(hex.AppendEncode(append(dst, '"'), sum[:]), '"'), ok
}

// regoCount is how often the second string stands in the first.
func regoCount(_ *guestState, dst []byte, operands [][]byte) ([]byte, bool) {
	text, ok := regoString(operands[0])
	part, too := regoString(operands[1])
	return strconv.AppendInt(dst, int64(strings.Count(text, part)), 10), ok && too
}

// regoAffix reports whether any string of the first operand begins or ends with
// any of the second.
func regoAffix(match func(text, affix string) bool) func(*guestState, []byte, [][]byte) ([]byte, bool) {
	return func(g *guestState, dst []byte, operands [][]byte) ([]byte, bool) {
		texts, ok := regoStrings(operands[0])
		affixes, too := regoStrings(operands[1])
		g.charge(uint64(len(texts)) * uint64(len(affixes)) / stepsOfTick)
		found := slices.ContainsFunc(texts, func(text string) bool {
			return slices.ContainsFunc(affixes, func(affix string) bool { return match(text, affix) })
		})
		return strconv.AppendBool(dst, found), ok && too
	}
}
