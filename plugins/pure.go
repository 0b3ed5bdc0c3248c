package plugins

import (
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/knockgate/knockgate/sdk/abi"
)

// Host calls take time that is the guest's: what they are charged, in ticks of
// its fuel. A tick is about one turn of a small loop.
const (
	callTicks   = 4
	bytesOfTick = 16 // that are read or copied
	stepsOfTick = 8  // of matching globs
)

// charge takes the cost of a host call from the guest's fuel.
func (g *guestState) charge(ticks uint64) { g.in.gauge.charge(int(ticks)) }

func hostRandom(g *guestState, mod api.Module, stack []uint64) {
	size := uint32(stack[1])
	if size > maxRandom {
		panic(guestError(fmt.Sprintf("knock_v1.random: %d bytes at once; at most %d", size, maxRandom)))
	}
	g.charge(callTicks + uint64(size)/bytesOfTick)
	g.fill(view(mod, "knock_v1.random", uint32(stack[0]), size))
}

func hostGlobMatch(g *guestState, mod api.Module, stack []uint64) {
	pattern := capped(mod, "knock_v1.glob_match: the pattern", stack[0], stack[1], abi.MaxGlob)
	text := capped(mod, "knock_v1.glob_match: the text", stack[2], stack[3], abi.MaxGlobText)
	g.charge(callTicks + uint64(len(pattern))*uint64(len(text))/stepsOfTick)
	stack[0] = truth(globMatch(pattern, text))
}

func hostACLAllows(g *guestState, mod api.Module, stack []uint64) {
	acl := capped(mod, "knock_v1.acl_allows: the ACL", stack[0], stack[1], abi.MaxACL)
	server := capped(mod, "knock_v1.acl_allows: the server name", stack[2], stack[3], abi.MaxServerName)
	g.charge(callTicks + uint64(len(acl))*uint64(len(server)+1)/stepsOfTick)
	r := aclReader{scanner: scanner{buf: acl}, text: g.value}
	stack[0] = truth(r.allows(server))
	g.value = r.text
}

func truth(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// capped is view for what may have at most so many bytes.
func capped(mod api.Module, what string, ptr, size uint64, most uint32) []byte {
	if uint32(size) > most {
		panic(guestError(fmt.Sprintf("%s has %d bytes; at most %d", what, uint32(size), most)))
	}
	return view(mod, what, uint32(ptr), uint32(size))
}

// aclReader judges the content of an m.room.server_acl event.
type aclReader struct {
	scanner
	text        []byte // room to decode a string
	host        []byte
	allow, deny bool // a glob of the list matches host
	refusesIP   bool
	seen        [3]bool // keys, none of which may stand twice
}

// allows reports whether the ACL lets server take part. Empty content is a room
// without one, which lets in everybody. Anything malformed lets in nobody more:
// what is no strict JSON object denies, a list that is none is empty, what is
// not in allow is denied.
//
// Spec: Client-Server API, "Server Access Control Lists (ACLs) for rooms".
func (r *aclReader) allows(server []byte) bool {
	if len(r.buf) == 0 {
		return true
	}
	r.host = withoutPort(server)
	if len(r.host) == 0 || r.peek() != '{' {
		return false
	}
	r.at++
	for first := true; r.next(first, '}'); first = false {
		r.text = r.scanner.text(r.text[:0])
		key := -1
		switch string(r.text) {
		case "allow":
			key = 0
		case "deny":
			key = 1
		case "allow_ip_literals":
			key = 2
		}
		r.expect(':')
		if key >= 0 {
			if r.seen[key] {
				return false
			}
			r.seen[key] = true
		}
		switch {
		case key == 0 && r.peek() == '[':
			r.allow = r.matches()
		case key == 1 && r.peek() == '[':
			r.deny = r.matches()
		case key == 2:
			r.refusesIP = r.peek() == 'f'
			r.skip(1, r.text)
		default:
			r.skip(1, r.text)
		}
	}
	r.end()
	if r.err != nil || r.refusesIP && isIPLiteral(r.host) {
		return false
	}
	return r.allow && !r.deny
}

// matches reads a list and reports whether one of its texts is a glob that host
// matches.
func (r *aclReader) matches() (found bool) {
	r.at++
	for first := true; r.next(first, ']'); first = false {
		if r.peek() != '"' {
			r.skip(2, r.text)
			continue
		}
		r.text = r.scanner.text(r.text[:0])
		found = found || globMatch(r.text, r.host)
	}
	return found
}

// isIPLiteral reports whether a server name without its port is an IP literal:
// dotted IPv4, or anything in brackets.
func isIPLiteral(host []byte) bool {
	if host[0] == '[' {
		return true
	}
	parts, digits, number := 1, 0, 0
	for _, c := range host {
		switch {
		case c == '.' && digits > 0 && parts < 4:
			parts, digits, number = parts+1, 0, 0
		case c < '0' || c > '9' || digits > 0 && number == 0 || number*10+int(c-'0') > 255:
			return false
		default:
			number, digits = number*10+int(c-'0'), digits+1
		}
	}
	return parts == 4 && digits > 0
}
