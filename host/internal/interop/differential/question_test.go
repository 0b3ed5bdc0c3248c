package differential

import (
	"fmt"
	"strings"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

func levels(n int) string {
	return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + "}"
}

func canonical(src string) func(implementation) string {
	return func(i implementation) string { return i.canonical(src) }
}

// plain returns a member event of a user of the peer, not yet signed, with
// more top-level members and more content.
func plain(version, top, content string, at int64) string {
	join := func(s string) string {
		if s != "" {
			return s + ","
		}
		return ""
	}
	user := "@ada:" + string(peer)
	return fmt.Sprintf(`{%s"type":"m.room.member","sender":%q,"state_key":%q,"room_id":%q,"content":{%s"membership":"knock"},"depth":1,"origin_server_ts":%d,"prev_events":["%s"],"auth_events":[]}`,
		join(top), user, user, roomIn(version), join(content), at, idA)
}

// event asks about an event that is signed and then gets one member more, since
// our own code does not sign what it does not take.
func event(version, top, content string) func(implementation) string {
	src := signEvent(version, plain(version, "", content, started.UnixMilli()), peer, current)
	if top != "" {
		src = "{" + top + "," + src[1:]
	}
	return func(i implementation) string { return i.event(version, src) }
}

func redaction(version string) func(implementation) string {
	src := strings.Replace(plain(version, `"redacts":"`+idA+`"`, "", started.UnixMilli()), "m.room.member", "m.room.redaction", 1)
	src = signEvent(version, src, peer, current)
	return func(i implementation) string { return i.event(version, src) }
}

// set asks about an event with a member changed after it was signed.
func set(key, value string) func(implementation) string {
	return func(i implementation) string {
		src := signEvent("11", plain("11", "", "", started.UnixMilli()), peer, current)
		return i.event("11", with(panicking{}, src, key, value))
	}
}

func hashes(value string) func(implementation) string { return set("hashes", value) }

func prev(n int) func(implementation) string {
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf(`"$%043d"`, i))
	}
	return set("prev_events", "["+strings.Join(ids, ",")+"]")
}

type panicking struct{}

func (panicking) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// signed asks about a knock with a right signature under one key, and a wrong
// one under another.
func signed(by, right, wrong matrix.KeyID) func(implementation) string {
	return func(i implementation) string {
		// Before the former key expired, both were good.
		src := signEvent("11", plain("11", "", "", expired.UnixMilli()-1), peer, by)
		sig := signatureOf(src, right)
		both := fmt.Sprintf(`{%q:{%q:%q,%q:%q}}`, peer, right, sig, wrong, strings.Repeat("A", 86))
		return i.signed("11", with(panicking{}, src, "signatures", both))
	}
}

// at asks about a knock that was made some milliseconds after the former key
// expired.
func at(key matrix.KeyID, after int64) func(implementation) string {
	src := signEvent("11", plain("11", "", "", expired.UnixMilli()+after), peer, key)
	return func(i implementation) string { return i.signed("11", src) }
}

func padded(i implementation) string {
	src := signEvent("11", plain("11", "", "", started.UnixMilli()), peer, current)
	sig := signatureOf(src, current)
	return i.signed("11", strings.Replace(src, sig, sig+"==", 1))
}

func signatureOf(src string, id matrix.KeyID) string {
	doc, err := canonicaljson.Parse([]byte(src))
	if err != nil {
		panic(err)
	}
	return signatureIn(doc.Root(), peer, id)
}

func restricted(version string) func(implementation) string {
	return inRoom(choices{version: version, joinRules: `"join_rule":"knock_restricted","allow":[]`})
}

func inRoom(c choices) func(implementation) string {
	if c.version == "" {
		c.version = "11"
	}
	if c.joinRules == "" {
		c.joinRules = `"join_rule":"knock"`
	}
	return func(i implementation) string { return i.knock(c.build()) }
}

// change is what is done to the header of a request.
type change int

const (
	lowerCase change = iota + 1
	backslash
	padding
	twice
	second
)

// header asks about a request that ours signed.
func header(method, target, content string, c change) func(implementation) string {
	return func(i implementation) string {
		r := request{method, target, content}
		signed, err := ours.request(r)
		if err != nil {
			panic(err)
		}
		authorization := signed.Header.Get("Authorization")
		sig := authorization[strings.Index(authorization, `sig="`):]
		sig = sig[:strings.Index(sig[5:], `"`)+5]
		switch c {
		case lowerCase:
			authorization = strings.Replace(authorization, "X-Matrix origin", "x-matrix Origin", 1)
		case backslash:
			authorization = strings.Replace(authorization, `"peer`, `"\peer`, 1)
		case padding:
			authorization = strings.Replace(authorization, sig, sig+"==", 1)
		case twice:
			authorization += `,origin="` + string(peer) + `"`
		}
		arrived, err := received(r, authorization)
		if err != nil {
			panic(err)
		}
		if c == second {
			arrived.Header.Add("Authorization", strings.Replace(authorization, string(peer), "other.example", 1))
		}
		return i.authenticate(arrived)
	}
}
