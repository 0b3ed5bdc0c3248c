package differential

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

// TestCanonicalJSON: a value in any spelling has the same canonical form, and
// what is no JSON of Matrix is refused.
func TestCanonicalJSON(t *testing.T) {
	broken := []string{"1.5", "9007199254740992", "-9007199254740992", "1e-1", "01", "+1", "nul", `"\x"`, "\"\n\"", "[1,]", "{1:2}", ""}
	rapid.Check(t, func(rt *rapid.T) {
		members := drawMembers(rt, 3, "")
		if rapid.IntRange(0, 4).Draw(rt, "broken") == 0 {
			members = append(members, `"":`+rapid.SampledFrom(broken).Draw(rt, "token"))
		}
		src := drawObject(rt, members)
		compare(rt, src, func(i implementation) (string, bool) { return i.canonical(src), true }, src)
	})
}

// TestEvent: an event of any type has the same ID, hash verdict and redaction,
// as it was signed and after somebody changed it.
func TestEvent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		version := rapid.SampledFrom(versions).Draw(rt, "version")
		src := drawEvent(rt, version, rapid.SampledFrom(eventTypes).Draw(rt, "type"))
		signed := tamper(rt, withUnsigned(rt, signEvent(version, src, peer, current)))
		input := fmt.Sprintf("version %s, event %s", version, signed)
		compare(rt, input, func(i implementation) (string, bool) { return i.event(version, signed), true }, signed)
	})
}

// TestSign: the signature of an event is the same whoever makes it.
func TestSign(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		version := rapid.SampledFrom(versions).Draw(rt, "version")
		src := drawEvent(rt, version, rapid.SampledFrom(eventTypes).Draw(rt, "type"))
		compare(rt, fmt.Sprintf("version %s, event %s", version, src), func(i implementation) (string, bool) { return i.sign(version, src), true }, src)
	})
}

// TestSignature: a knock signed with the current key or the former one, when
// either was valid and when not, and changed since in what is signed and what
// is not, gets the same verdict.
func TestSignature(t *testing.T) {
	verdicts := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		version := rapid.SampledFrom(versions).Draw(rt, "version")
		key := rapid.SampledFrom([]matrix.KeyID{current, former, "ed25519:unknown"}).Draw(rt, "key")
		src := drawEventWith(rt, version, "m.room.member", append(drawMembers(rt, 2, "x."), `"membership":"knock"`))
		server := peer
		if rapid.IntRange(0, 7).Draw(rt, "other") == 0 {
			server = "other.example"
		}
		signed := tamper(rt, withUnsigned(rt, signEvent(version, src, server, key)))
		verdicts[ours.signed(version, signed)]++
		compare(rt, fmt.Sprintf("version %s, event %s", version, signed), func(i implementation) (string, bool) { return i.signed(version, signed), true }, signed)
	})
	if verdicts[yes] == 0 || verdicts[refused] == 0 {
		t.Errorf("verdicts %v: one of them was never reached", verdicts)
	}
}

// withUnsigned returns a signed event with some unsigned data.
func withUnsigned(t *rapid.T, signed string) string {
	if rapid.Bool().Draw(t, "unsigned") {
		return with(t, signed, "unsigned", drawObject(t, drawMembers(t, 1, "")))
	}
	return signed
}

// tamper changes a signed event, or leaves it as it is.
func tamper(t *rapid.T, signed string) string {
	doc, err := canonicaljson.Parse([]byte(signed))
	if err != nil {
		t.Fatalf("%s: %v", signed, err)
	}
	root := doc.Root()
	content, signatures := string(root.Get("content").Canonical()), string(root.Get("signatures").Canonical())
	switch rapid.IntRange(0, 9).Draw(t, "tamper") {
	case 0:
		return with(t, signed, "content", with(t, content, "mood", `"changed"`))
	case 1:
		return with(t, signed, "depth", "12")
	case 2:
		return with(t, signed, "hashes", `{"sha256":"`+hashOfA+`"}`)
	case 3:
		return with(t, signed, "signatures", strings.Replace(signatures, `:"`, `:"`+"AAAA", 1))
	case 4:
		return with(t, signed, "signatures", flipped(signatures))
	case 5:
		return with(t, signed, "signatures", "{}")
	case 6:
		return with(t, signed, "signatures", with(t, signatures, "third.example", `{"ed25519:1":"`+strings.Repeat("A", 86)+`"}`))
	case 7:
		return with(t, signed, "hashes", with(t, string(root.Get("hashes").Canonical()), "sha1", `"x"`))
	}
	return signed
}

// flipped changes a bit of the first signature.
func flipped(signatures string) string {
	i := strings.LastIndex(signatures, `:"`) + 2
	c := byte('A')
	if signatures[i] == c {
		c = 'B'
	}
	return signatures[:i] + string(c) + signatures[i+1:]
}
