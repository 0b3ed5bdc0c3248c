package plugins

import (
	"context"
	"encoding/binary"
	"path/filepath"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/sdk/abi"
)

// The guests of testdata/guests are one small policy against the raw ABI, in
// several languages. They refuse servers that match *.evil.example, in words;
// pass in rooms whose ID begins with !quiet; refuse a send_knock without a
// reason, without words; and allow the rest.
const (
	evilGlob    = "*.evil.example"
	evilMessage = "Your server may not knock here."
)

// guestPolicies are those guests, and what Go is measured with: a policy that
// Knockgate ships, whose one rule is the first of theirs.
var guestPolicies = []PolicySpec{
	{Name: "c", Module: filepath.Join("testdata", "guests", "gate_c.wasm")},
	{Name: "rust", Module: filepath.Join("testdata", "guests", "gate_rust.wasm")},
	{Name: "assemblyscript", Module: filepath.Join("testdata", "guests", "gate_as.wasm")},
	{Name: "go", Module: filepath.Join("..", "policies", "server_rules", "server_rules.wasm"),
		Settings: []byte(`{"default":"allow","rules":[{"deny":["` + evilGlob + `"],"message":"` + evilMessage + `"}]}`)},
}

// guestAnswer is what the guests must say.
type guestAnswer struct {
	verdict       abi.Verdict
	message, code string
}

func evilServer(name string) bool {
	return strings.HasSuffix(strings.ToLower(name), strings.TrimPrefix(evilGlob, "*"))
}

func wantOfGate(f *abi.Facts) guestAnswer {
	switch {
	case evilServer(f.UserServer):
		return guestAnswer{abi.Deny, evilMessage, "server"}
	case strings.HasPrefix(f.RoomID, "!quiet"):
		return guestAnswer{verdict: abi.Pass}
	case f.Phase == abi.SendKnock && f.Reason.Value == "":
		return guestAnswer{verdict: abi.Deny}
	}
	return guestAnswer{verdict: abi.Allow}
}

func wantOfServerRules(f *abi.Facts) guestAnswer {
	if evilServer(strings.TrimSuffix(f.Origin, ":8448")) {
		return guestAnswer{abi.Deny, evilMessage, "rule_0"}
	}
	return guestAnswer{verdict: abi.Allow}
}

// guestFacts are knocks from each server, in each room and phase, with each
// reason.
func guestFacts() []*abi.Facts {
	var list []*abi.Facts
	for _, server := range []string{
		"peer.example", "bad.evil.example", "BAD.Evil.EXAMPLE", "a.b.evil.example", ".evil.example", "evil.example",
		"bad.evil.example.org", "evil.example.evil.example", "x.evil.evil.example", "devil.example", "e",
		strings.Repeat("a.", 110) + "evil.example", strings.Repeat(".evil", 45) + ".examplf", "192.0.2.1",
	} {
		for _, room := range []string{"!room:here.example", "!quiet", "!quieter:here.example", "!quie"} {
			for _, reason := range []abi.Text{{}, abi.Some(""), abi.Some("hello"), abi.Some("\x00\u00e9" + strings.Repeat("x", 2000))} {
				for _, phase := range []abi.Phase{abi.MakeKnock, abi.SendKnock} {
					f := knockFacts()
					f.UserServer, f.Origin, f.RoomID, f.Phase, f.Reason = server, server+":8448", room, phase, reason
					if phase == abi.MakeKnock {
						f.Reason, f.Event = abi.Text{}, nil
					}
					list = append(list, f)
				}
			}
		}
	}
	return list
}

// TestGuestLanguages: the guests answer as the reference does, on both engines,
// metered and as they are; metered, with the same fuel on both.
func TestGuestLanguages(t *testing.T) {
	facts := guestFacts()
	for _, spec := range guestPolicies {
		want := wantOfGate
		if spec.Name == "go" {
			want = wantOfServerRules
		}
		t.Run(spec.Name, func(t *testing.T) {
			verdicts := map[abi.Verdict]int{}
			fuel := make([]int64, len(facts))
			for _, interpreter := range []bool{false, true} {
				for _, unmetered := range []bool{false, true} {
					e := newEngine(t, EngineOptions{Interpreter: interpreter, Limits: Limits{Isolation: IsolationReset, Wait: slow.Wait}})
					if unmetered { // without globals to put back
						e.limits.Isolation = IsolationReuse
					}
					e.unmetered = unmetered
					c := load(t, e, ChainSpec{Policies: []PolicySpec{spec}})
					var d Decision
					for i, f := range facts {
						c.Evaluate(context.Background(), f, &d)
						got := guestAnswer{d.Steps[0].Verdict, d.Message, d.Code}
						if got != want(f) || d.Fault.Class != FaultNone {
							t.Fatalf("interpreter %v, unmetered %v, %s from %q in %q, reason %.20q: %+v, fault %+v; want %+v",
								interpreter, unmetered, f.Phase, f.UserServer, f.RoomID, f.Reason.Value, got, d.Fault, want(f))
						}
						verdicts[got.verdict]++
						switch {
						case unmetered:
						case fuel[i] == 0 && d.Fuel > 0:
							fuel[i] = d.Fuel
						case d.Fuel != fuel[i]:
							t.Errorf("%s from %q: %d ticks interpreted, %d compiled", f.Phase, f.UserServer, d.Fuel, fuel[i])
						}
					}
				}
			}
			if verdicts[abi.Allow] == 0 || verdicts[abi.Deny] == 0 || spec.Name != "go" && verdicts[abi.Pass] == 0 {
				t.Errorf("verdicts %v; the facts do not ask for all", verdicts)
			}
		})
	}
}

// TestGuestFrames: what is no frame, or lacks a field that the policy is about,
// is an error and no verdict.
func TestGuestFrames(t *testing.T) {
	frame := abi.AppendFrame(nil, knockFacts())
	change := func(at int, b ...byte) []byte {
		f := append([]byte(nil), frame...)
		copy(f[at:], b)
		return f
	}
	entry := func(f abi.Field) int { return abi.FrameHeader + int(f)*abi.FieldEntry }
	for _, spec := range guestPolicies {
		if spec.Name == "go" {
			continue // its SDK reads the frames of sdk/abi/testdata
		}
		e := newEngine(t, EngineOptions{})
		c := load(t, e, ChainSpec{Policies: []PolicySpec{spec}})
		for _, tt := range []struct {
			name  string
			frame []byte
			want  abi.Verdict
		}{
			{"whole", frame, abi.Allow},
			{"no header", frame[:12], 0},
			{"another magic", change(0, 'X'), 0},
			{"another length", change(4, 1, 0), 0},
			{"no server", change(entry(abi.FieldUserServer), 0, 0, 0, 0), 0},
			{"no room", change(entry(abi.FieldRoomID), 0, 0, 0, 0), 0},
			{"a table that ends before the server", change(12, 5, 0, 0, 0), 0},
			{"a table that ends before the reason", change(12, 8, 0, 0, 0), abi.Deny},
		} {
			var a answer
			_, fault := c.policies[0].decide(context.Background(), tt.frame, knockFacts(), &world{}, &a)
			if (fault.Class == FaultNone) != (tt.want != 0) || tt.want == 0 && fault.Class != FaultError || tt.want != 0 && a.verdict != tt.want {
				t.Errorf("%s, %s: %s, fault %+v; want %s", spec.Name, tt.name, a.verdict, fault, tt.want)
			}
		}
	}
}

// everyFact are facts with each field of the room's.
func everyFact() *abi.Facts {
	f := knockFacts()
	f.Room = abi.RoomFacts{
		Known: true, JoinRule: abi.Some("knock"), Name: abi.Some("Lobby"), Alias: abi.Some("#l:here"), Topic: abi.Some(""), Encrypted: true,
		Members: 3, UserMembership: abi.Some("leave"), AgeMS: 9, ACL: abi.Some(`{"allow":["*"],"deny":[]}`),
		Pending: abi.Count(4), PendingServer: abi.Count(1), MembersServer: abi.Count(0), Banned: abi.Count(2), BannedServer: abi.Count(0),
		UserMembershipSinceMS: abi.Count(-7), UserMembershipBy: abi.Some("@mod:here"),
	}
	return f
}

// TestOldGuests: guests of edition 1.0, which has 24 fields, judge the frames of
// this one as they judge those of a host of their own age. Those in testdata/guests
// were built then.
func TestOldGuests(t *testing.T) {
	specs := append([]PolicySpec{policyOf("edition_1_0")}, guestPolicies[:3]...)
	for _, spec := range specs {
		e := newEngine(t, EngineOptions{})
		c := load(t, e, ChainSpec{Policies: []PolicySpec{spec}})
		for _, entries := range []byte{24, abi.FieldCount, abi.FieldCount + 8} {
			frame := abi.AppendFrame(nil, everyFact())
			if entries > abi.FieldCount { // of a host that is newer still
				frame = laterFrame(frame, int(entries))
			}
			frame[12] = entries
			if !abi.Frame(frame).Valid() {
				t.Fatalf("a frame of %d entries is not valid", entries)
			}
			var a answer
			_, fault := c.policies[0].decide(context.Background(), frame, everyFact(), &world{}, &a)
			if a.verdict != abi.Allow || fault.Class != FaultNone {
				t.Errorf("%s, %d entries: %s, fault %+v; want allow", spec.Name, entries, a.verdict, fault)
			}
		}
	}
}

// laterFrame returns a frame with more entries in its table, whose fields are one
// byte each.
func laterFrame(frame []byte, entries int) []byte {
	le := binary.LittleEndian
	const table = abi.FrameHeader + abi.FieldCount*abi.FieldEntry
	more := (entries - abi.FieldCount) * abi.FieldEntry
	later := append([]byte(nil), frame[:table]...)
	for f := range abi.FieldCount {
		if at := abi.FrameHeader + f*abi.FieldEntry; le.Uint32(later[at:]) != 0 {
			le.PutUint32(later[at:], le.Uint32(later[at:])+uint32(more))
		}
	}
	end := uint32(len(frame) + more)
	for range entries - abi.FieldCount {
		later = le.AppendUint32(le.AppendUint32(later, end), 1)
	}
	later = append(append(later, frame[table:]...), 0xff)
	le.PutUint32(later[4:], uint32(len(later)))
	return later
}
