package plugins

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
)

// MaxTrace is the most of a decision's trace that is kept, in bytes.
const MaxTrace = 64 << 10

// Kinds of the entries of a trace. An entry is its kind, a request and a reply;
// the two are preceded by their length, as an unsigned varint.
const (
	opKVGet   = 1    // uvarint room, key -> varint result, value
	opKVPut   = 2    // varint ttl_ms, uvarint length of the key, key, value -> varint result
	opKVIncr  = 3    // varint delta, varint ttl_ms, key -> varint result
	opListHas = 4    // uvarint length of the list's name, name, key -> varint result
	opCut     = 0xff // nothing: what followed had no room
)

// trace is what the host functions of a decision answered, as far as the answer
// follows from nothing else that is recorded.
type trace struct {
	buf []byte
	cut bool
}

func (t *trace) add(op byte, request []byte, code int64, value []byte) {
	if t.cut {
		return
	}
	var number [binary.MaxVarintLen64]byte
	reply := binary.PutVarint(number[:], code)
	if len(t.buf)+1+2*binary.MaxVarintLen64+len(request)+reply+len(value) > MaxTrace {
		t.buf, t.cut = append(t.buf, opCut, 0, 0), true
		return
	}
	t.buf = append(t.buf, op)
	t.buf = append(binary.AppendUvarint(t.buf, uint64(len(request))), request...)
	t.buf = binary.AppendUvarint(t.buf, uint64(reply+len(value)))
	t.buf = append(append(t.buf, number[:reply]...), value...)
}

// entry is one call of a trace.
type entry struct {
	op             byte
	request, reply []byte
}

var errBrokenTrace = errors.New("the trace is damaged")

// cutEntry takes the first entry off a trace. At the end, op is 0.
func cutEntry(trace []byte) (e entry, rest []byte, err error) {
	if len(trace) == 0 {
		return entry{}, nil, nil
	}
	e.op, rest = trace[0], trace[1:]
	for _, part := range [...]*[]byte{&e.request, &e.reply} {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(len(rest)-size) {
			return entry{}, nil, errBrokenTrace
		}
		*part, rest = rest[size:size+int(n)], rest[size+int(n):]
	}
	if e.op == 0 {
		return entry{}, nil, errBrokenTrace
	}
	return e, rest, nil
}

// replyNumber returns the number of a reply that is nothing else.
func replyNumber(reply []byte) int64 {
	n, size := binary.Varint(reply)
	if size <= 0 || size != len(reply) {
		panic(errBrokenTrace)
	}
	return n
}

// String describes a call as an admin reads it.
func (e entry) String() string {
	switch e.op {
	case 0:
		return "no more calls"
	case opCut:
		return "more calls than were recorded"
	}
	r := reader{b: e.request}
	text := "a call of an unknown kind"
	switch e.op {
	case opKVGet:
		r.uvarint()
		text = fmt.Sprintf("kv_get(%q)", r.b)
	case opKVPut:
		ttl, key := r.varint(), r.bytes()
		text = fmt.Sprintf("kv_put(%q, %q, ttl_ms %d)", key, r.b, ttl)
	case opKVIncr:
		delta, ttl := r.varint(), r.varint()
		text = fmt.Sprintf("kv_incr(%q, %d, ttl_ms %d)", r.b, delta, ttl)
	case opListHas:
		list := r.bytes()
		text = fmt.Sprintf("list_has(%q, %q)", list, r.b)
	}
	if e.reply == nil {
		return text
	}
	r = reader{b: e.reply}
	text += " = " + strconv.FormatInt(r.varint(), 10)
	if len(r.b) > 0 {
		text += fmt.Sprintf(" %q", r.b)
	}
	return text
}

// reader takes a request apart; what is damaged reads as nothing.
type reader struct{ b []byte }

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	r.b = r.b[max(size, 0):]
	return n
}

func (r *reader) varint() int64 {
	n, size := binary.Varint(r.b)
	r.b = r.b[max(size, 0):]
	return n
}

func (r *reader) bytes() []byte {
	n := min(r.uvarint(), uint64(len(r.b)))
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// DescribeTrace returns the calls of a step's trace, in order, in words for an
// admin.
func DescribeTrace(trace []byte) ([]string, error) {
	var calls []string
	for len(trace) > 0 {
		e, rest, err := cutEntry(trace)
		if err != nil {
			return nil, err
		}
		calls, trace = append(calls, e.String()), rest
	}
	return calls, nil
}

// note records what a host function answered to g.request.
func (g *guestState) note(op byte, code int64, value []byte) {
	if g.world.trace != nil {
		g.world.trace.add(op, g.request, code, value)
	}
}

// recall returns what was answered to g.request when the decision was made. It
// is false outside a replay, and once the guest has asked for something else.
func (g *guestState) recall(op byte) (reply []byte, ok bool) {
	if g.world.replay == nil {
		return nil, false
	}
	return g.world.replay.next(op, g.request)
}
