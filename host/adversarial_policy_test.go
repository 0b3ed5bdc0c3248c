package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
	"github.com/knockgate/knockgate/plugins"
)

// guest is a policy of the server that policyCases asks: a module of
// plugins/testdata, for the origins of one name only.
type guest struct {
	module string
	origin string
	keys   string // further keys of its [[policy]]
}

// guestsThatFail are what 81 asks, with the class of fault that is recorded.
var guestsThatFail = []struct {
	name, module string
	fault        plugins.FaultClass
}{
	{"traps", "trap", plugins.FaultTrap},
	{"does not end", "loop", plugins.FaultExhausted},
	{"sleeps", "sleeps", plugins.FaultExhausted},
	{"writes to the log without end", "log_flood", plugins.FaultExhausted},
	{"takes all memory and more", "out_of_memory", plugins.FaultTrap},
	{"ends its process", "exits", plugins.FaultExit},
	{"answers with text that is no UTF-8", "invalid_utf8", plugins.FaultResult},
	{"answers from outside its memory", "bad_pointer", plugins.FaultResult},
	{"answers from the end of the address space", "bad_pointer_wrap", plugins.FaultResult},
	{"answers with too much", "oversized_result", plugins.FaultResult},
	{"answers with a verdict nobody knows", "verdict_unknown", plugins.FaultResult},
	{"answers nothing", "verdict_zero", plugins.FaultResult},
	{"answers that it failed", "error_inline", plugins.FaultError},
}

// said is a guest that answers with its settings.
func said(origin, verdict, keys string) guest {
	return guest{"echo", origin, keys + "\n[policy.settings]\nverdict = \"" + verdict + "\"\nmessage = \"says " + verdict + "\""}
}

const (
	atMake = "phases = [\"make_knock\"]"
	atSend = "phases = [\"send_knock\"]"
	// mostFuel is enough to run out of memory first.
	mostFuel = "\nfuel = 5000000"
)

// policyGuests are the chain of the server that policyCases asks.
func policyGuests() (list []guest) {
	for i, g := range guestsThatFail {
		list = append(list,
			guest{g.module, fmt.Sprintf("make%d.example", i), atMake + mostFuel},
			guest{g.module, fmt.Sprintf("send%d.example", i), atSend + mostFuel})
	}
	return append(list,
		said("make-old.example", "incompatible", atMake), said("send-old.example", "incompatible", atSend),
		said("only-send.example", "deny", atSend), said("only-make.example", "deny", atMake),
		guest{"echo", "version.example", "[policy.settings]\nverdict = \"incompatible\"\nroom_version = \"6\""},
		guest{"echo", "words.example", "[policy.settings]\nverdict = \"incompatible\"\nmessage = \"\\\",\\\"room_version\\\":\\\"6\""},
		said("pass-deny.example", "pass", ""), said("pass-deny.example", "deny", ""),
		said("deny-allow.example", "deny", ""), said("deny-allow.example", "allow", ""),
		said("deny-old.example", "deny", ""), said("deny-old.example", "incompatible", ""),
		said("old-deny.example", "incompatible", ""), said("old-deny.example", "deny", ""),
		said("allow-deny.example", "allow", ""), said("allow-deny.example", "deny", ""),
		guest{"trap", "trap-allow.example", ""}, said("trap-allow.example", "allow", ""),
		guest{"trap", "trap-pass.example", "on_error = \"pass\""}, said("trap-pass.example", "deny", ""),
	)
}

// guestWorld starts a server with such a chain; all pass by default.
func guestWorld(t *testing.T, guests []guest) *world {
	t.Helper()
	config, modules := strings.Builder{}, map[string][]byte{}
	config.WriteString(allowAll)
	for i, g := range guests {
		fmt.Fprintf(&config, "[[policy]]\nname = \"p%d\"\nmodule = \"%s.wasm\"\norigins = [%q]\n%s\n", i, g.module, g.origin, g.keys)
		text, err := os.ReadFile("../plugins/testdata/" + g.module + ".wasm")
		if err != nil {
			t.Fatal(err)
		}
		modules[g.module+".wasm"] = text
	}
	return newWorld(t, config.String(), modules)
}

// policyCases are 81 to 86: what policies say, and what they fail to say.
func policyCases(s *scene) []adversarial {
	var w *world
	var room matrix.RoomID
	peers := map[matrix.ServerName]*peer.Peer{}
	// by starts the server at the first use, and the homeserver of that name.
	by := func(t *testing.T, name matrix.ServerName) *peer.Peer {
		t.Helper()
		if w == nil {
			w = guestWorld(s.w.t.(*testing.T), policyGuests())
			room = w.room("11", "knock")
		}
		if peers[name] == nil {
			peers[name] = w.named(w.t.(*testing.T), name)
		}
		return peers[name]
	}
	makes := func(name matrix.ServerName) asked {
		return func(t *testing.T) exchange {
			p := by(t, name)
			return signedGet(w, p, peer.MakeTarget(room, p.User("a"), nil))
		}
	}
	// sends goes without a make_knock: nothing makes a peer call it.
	sends := func(name matrix.ServerName) asked {
		return func(t *testing.T) exchange {
			p := by(t, name)
			on := &scene{w: w, p: p}
			event, id := w.signRaw(t, p, on.template(t, room, p.User(s.user())), version11())
			return on.put(room, id, event)
		}
	}
	checked := func(do asked, check func(t *testing.T, x *peer.Exchange)) asked {
		return func(t *testing.T) exchange {
			e := do(t)
			e.check = check
			return e
		}
	}
	realVersion := func(t *testing.T, x *peer.Exchange) {
		if got := field(t, x.Body, "room_version"); got != "11" {
			t.Errorf("room_version = %q, want 11: %s", got, x.Body)
		}
	}
	fault := func(class plugins.FaultClass) func(t *testing.T, x *peer.Exchange) {
		return func(t *testing.T, x *peer.Exchange) {
			last := lastDecision(t, w)
			if last.Fault != string(class) || last.Verdict != "deny" {
				t.Errorf("recorded: verdict %q, fault %q, want deny and %q", last.Verdict, last.Fault, class)
			}
		}
	}
	message := func(want string) func(t *testing.T, x *peer.Exchange) {
		return func(t *testing.T, x *peer.Exchange) {
			if _, got := x.Errcode(); got != want {
				t.Errorf("the peer is told %q, want %q", got, want)
			}
		}
	}
	const forbidden, old = "M_FORBIDDEN", "M_INCOMPATIBLE_ROOM_VERSION"
	var cases []adversarial
	for i, g := range guestsThatFail {
		cases = append(cases,
			adversarial{"81 a policy that " + g.name + ", make_knock", checked(makes(matrix.ServerName(fmt.Sprintf("make%d.example", i))), fault(g.fault)), 403, forbidden, decision},
			adversarial{"81 a policy that " + g.name + ", send_knock", checked(sends(matrix.ServerName(fmt.Sprintf("send%d.example", i))), fault(g.fault)), 403, forbidden, decision})
	}
	return append(cases, []adversarial{
		{"82 incompatible on make", checked(makes("make-old.example"), realVersion), 400, old, decision},
		{"82 incompatible on send", checked(sends("send-old.example"), realVersion), 400, old, decision},
		{"83 allowed on make", makes("only-send.example"), 200, "", decision},
		{"83 denied on send", sends("only-send.example"), 403, forbidden, decision},
		{"83 denied on make", makes("only-make.example"), 403, forbidden, decision},
		{"83 allowed on send, which has the last word", sends("only-make.example"), 200, "", knocked},
		{"84 room_version in the policy's answer: no such field", checked(makes("version.example"), fault(plugins.FaultResult)), 403, forbidden, decision},
		{"84 room_version in the policy's message", checked(makes("words.example"), realVersion), 400, old, decision},
		{"85 modules swapped while a request is read", swappedMidRequest, 403, forbidden, decision},
		{"86 pass, then deny", checked(sends("pass-deny.example"), message("says deny")), 403, forbidden, decision},
		{"86 deny before allow", checked(sends("deny-allow.example"), message("says deny")), 403, forbidden, decision},
		{"86 deny before incompatible", checked(sends("deny-old.example"), message("says deny")), 403, forbidden, decision},
		{"86 incompatible before deny", checked(sends("old-deny.example"), message("says incompatible")), 400, old, decision},
		{"86 allow before deny: the order is the admin's", sends("allow-deny.example"), 200, "", knocked},
		{"86 a fault before allow", checked(sends("trap-allow.example"), fault(plugins.FaultTrap)), 403, forbidden, decision},
		{"86 a fault that passes, then deny", checked(sends("trap-pass.example"), message("says deny")), 403, forbidden, decision},
	}...)
}

func lastDecision(t *testing.T, w *world) store.Decision {
	t.Helper()
	list, err := w.store.Decisions(t.Context(), store.DecisionFilter{Limit: 1})
	if err != nil || len(list) != 1 {
		t.Fatalf("decisions: %v, %v", list, err)
	}
	return list[0]
}

// swappedMidRequest swaps the policy while the body of a send_knock is on its
// way. The module in force when the knock is judged decides, and the record
// cites its revision. TestSwapUnderLoad swaps while modules run.
func swappedMidRequest(t *testing.T) exchange {
	w := newWorld(t, doorPolicy, map[string][]byte{"door.wasm": doorOpen})
	p := w.peer()
	room := w.room("11", "knock")
	event, id := w.signed(t, p, room, "a", nil)
	target := peer.SendTarget(room, id)
	header := "Authorization: " + xmatrix.Header(p.Key(), p.Name(), w.name, http.MethodPut, target, event)
	request := rawRequest(http.MethodPut, target, w.name, []string{header}, string(event))
	before := w.gate.Revision()
	return exchange{w: w, do: func(t *testing.T) *peer.Exchange {
		c := dialRaw(t, w)
		half := len(request) - len(event)/2
		c.write(t, request[:half])
		if err := replaceFile(filepath.Join(w.dir, "policies", "door.wasm"), door(t, 1)); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the swap", func() bool { return w.gate.Revision() != before })
		c.write(t, request[half:])
		return c.answer(t)
	}, check: func(t *testing.T, _ *peer.Exchange) {
		if last := lastDecision(t, w); last.Revision != w.gate.Revision() {
			t.Errorf("the record cites revision %.12s, want %.12s", last.Revision, w.gate.Revision())
		}
	}}
}
