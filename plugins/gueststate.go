package plugins

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/sys"
)

// Quotas of what one call may log.
const (
	maxLogLines = 64
	maxLogLine  = 1024     // bytes of one line, before escapes
	maxWritten  = 64 << 10 // bytes of standard output and error that are looked at
)

// monotonicStep is how far the guest's monotonic clock moves each time it is
// read: Go's runtime must see time pass, and nothing may measure with it.
const monotonicStep = 1000 // nanoseconds

// guestState is what the host functions of one instance know. It belongs to
// the goroutine that holds the instance.
type guestState struct {
	in        *instance
	requestID string
	nowMS     int64
	monotonic int64 // nanoseconds; never goes back in the life of an instance

	random rand.ChaCha8
	seeded bool

	logged  int // lines of this call
	dropped int // lines of this call past the quota
	written int // bytes of this call to standard output and error
	out     [2]lineBuffer
	panic   string // the first line of a panic that the guest wrote

	world     *world // of the decision that is made; nil while there is none
	kvCalls   int    // of this call
	listCalls int    // of this call
	request   []byte // room to write down what a host function was asked
	value     []byte // room for a value of KV, or of an ACL

	bug any // what a host function panicked with
}

// begin makes the state that of a new call: the clock stands at nowMS, random
// numbers follow from the request id and the policy, quotas are full.
func (g *guestState) begin(in *instance, requestID string, nowMS int64) {
	g.in, g.requestID, g.nowMS = in, requestID, nowMS
	g.seeded = false
	g.logged, g.dropped, g.written, g.panic = 0, 0, 0, ""
	g.kvCalls, g.listCalls = 0, 0
	g.monotonic = max(g.monotonic, 1e9)
}

// end writes what is left of the call's log.
func (g *guestState) end() {
	g.flush()
	if g.dropped > 0 {
		g.in.policy.log.Warn("guest logged too much", "request", g.requestID, "dropped", g.dropped, "lines", maxLogLines)
	}
}

// line logs one line of the guest, escaped, or counts it as dropped.
func (g *guestState) line(level slog.Level, text []byte) {
	if g.logged == maxLogLines {
		g.dropped++
		return
	}
	g.logged++
	if log := g.in.policy.log; log.Enabled(context.Background(), level) {
		log.LogAttrs(context.Background(), level, "guest: "+escaped(text), slog.String("request", g.requestID))
	}
}

// fill fills b with random bytes that depend on the policy's revision and the
// request id only.
func (g *guestState) fill(b []byte) {
	if !g.seeded {
		revision := g.in.policy.revision
		if g.world != nil && g.world.seedOf != "" {
			revision = g.world.seedOf
		}
		g.request = append(append(append(g.request[:0], revision...), '\n'), g.requestID...)
		g.random.Seed(sha256.Sum256(g.request))
		g.seeded = true
	}
	// ChaCha8 never fails.
	_, _ = g.random.Read(b)
}

// write takes what the guest wrote to standard output (0) or error (1) apart
// into lines of the log, up to a quota.
func (g *guestState) write(stream int, b []byte) {
	b = b[:min(len(b), maxWritten-g.written)]
	g.written += len(b)
	for _, c := range b {
		if c == '\n' {
			g.endLine(stream)
		} else {
			g.out[stream].add(c)
		}
	}
}

func (g *guestState) endLine(stream int) {
	text := g.out[stream].take()
	if len(text) == 0 {
		return
	}
	if g.panic == "" && (hasPrefix(text, "panic: ") || hasPrefix(text, "fatal error: ")) {
		g.panic = escaped(text)
	}
	g.line(outLevel(stream), text)
}

// flush ends the lines that the guest did not end.
func (g *guestState) flush() {
	for stream := range g.out {
		g.endLine(stream)
	}
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

func outLevel(stream int) slog.Level {
	if stream == 1 {
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// lineBuffer holds the start of a line that is not whole yet.
type lineBuffer struct {
	buf [maxLogLine]byte
	n   int
}

func (l *lineBuffer) add(c byte) {
	if l.n < len(l.buf) {
		l.buf[l.n] = c
		l.n++
	}
}

func (l *lineBuffer) take() []byte {
	b := l.buf[:l.n]
	l.n = 0
	return b
}

// explain returns err in the words of the fault: what the meter stopped, or the
// first line of a trap, with the guest's own panic if it wrote one.
func (g *guestState) explain(err error) error {
	if fault := g.in.gauge.stopped(); fault.Class != FaultNone {
		return errors.New(fault.Text)
	}
	if exit, ok := errors.AsType[*sys.ExitError](err); ok {
		return errors.New("exited with code " + strconv.FormatUint(uint64(exit.ExitCode()), 10))
	}
	g.flush()
	if g.panic != "" {
		return errors.New(firstLine(err) + ": " + g.panic)
	}
	return errors.New(firstLine(err))
}

// escaped returns b as one printable line: what is no UTF-8 or not printable
// is written as a Go escape.
func escaped(b []byte) string {
	var s strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n == 1:
			const hex = "0123456789abcdef"
			s.WriteString(`\x`)
			s.WriteByte(hex[b[0]>>4])
			s.WriteByte(hex[b[0]&15])
		case unicode.IsPrint(r):
			s.WriteRune(r)
		default:
			q := strconv.QuoteRune(r)
			s.WriteString(q[1 : len(q)-1])
		}
		b = b[n:]
	}
	return s.String()
}

// startSection explains a failure of the start section. The engine does not
// show the globals of a module that did not start, so a trap of its own looks
// like one of the meter.
func (g *guestState) startSection(err error) error {
	if _, ok := errors.AsType[*sys.ExitError](err); ok {
		return errExits
	}
	err = g.explain(err)
	if strings.Contains(err.Error(), "unreachable") {
		return fmt.Errorf("the start section trapped, or used up its %d ticks: %w", g.in.policy.limits.StartFuel, err)
	}
	return fmt.Errorf("the start section: %w", err)
}
