package main

import (
	"database/sql"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/peer"
)

// The hostile and the odd requests of section 9 of the project's protocol
// notes, by the numbers they have there. Each theme is a file:
//
//	adversarial_auth_test.go       1 to 28   who sent this?
//	adversarial_make_test.go      29 to 50   make_knock, the room's rules
//	adversarial_event_test.go     51 to 80   the signed event
//	adversarial_policy_test.go    81 to 86   the policies
//	adversarial_transport_test.go 87 to 92   bytes on the connection

// adversarial is one case: what is asked, and what must come of it. Its name
// begins with its number.
type adversarial struct {
	name string
	// ask prepares the case and returns the exchange that is judged, so that
	// what the preparation leaves behind is not taken for its traces.
	ask    func(t *testing.T) exchange
	status int
	code   string // "" for a 200, and where net/http answers by itself
	leaves trace
}

// exchange is a request that is ready to be sent to a world.
type exchange struct {
	w  *world
	do func(t *testing.T) *peer.Exchange
	// check looks at what the table cannot say; may be nil.
	check func(t *testing.T, x *peer.Exchange)
}

// trace is what a case may leave in the store.
type trace struct {
	// knocks are new events, each the current membership of its sender.
	knocks int
	// decisions are new records; anyNumber for one or more.
	decisions int
}

const anyNumber = -1

var (
	nothing  = trace{}
	decision = trace{decisions: 1}
	knocked  = trace{knocks: 1, decisions: 1}
)

// adversarialThemes are the tables. They are made without a scene to list the
// names: only what a case does needs one.
var adversarialThemes = []struct {
	name  string
	cases func(*scene) []adversarial
}{
	{"auth", authCases},
	{"make", makeCases},
	{"event", eventCases},
	{"policy", policyCases},
	{"transport", transportCases},
}

// adversarialElsewhere are the numbers without a case here, and why.
var adversarialElsewhere = map[int]string{
	87: "an upstream that is down, hangs, fails or redirects: gateway mode's TestFrontFaults and TestFrontRestarts",
	88: "an upstream's huge reply: gateway mode's TestFrontFaults",
}

func TestAdversarial(t *testing.T) {
	for _, theme := range adversarialThemes {
		t.Run(theme.name, func(t *testing.T) {
			for _, c := range theme.cases(newScene(t)) {
				t.Run(c.name, c.run)
			}
		})
	}
}

// TestAdversarialIsComplete: each of the 92 numbers has a case, or a reason to
// have none; not both.
func TestAdversarialIsComplete(t *testing.T) {
	const last = 92
	number := regexp.MustCompile(`^(\d\d) \S`)
	cases, names := map[int]int{}, map[string]bool{}
	for _, theme := range adversarialThemes {
		for _, c := range theme.cases(nil) {
			m := number.FindStringSubmatch(c.name)
			if m == nil || names[c.name] {
				t.Errorf("case %q: no number of two digits, or there twice", c.name)
				continue
			}
			names[c.name] = true
			n, _ := strconv.Atoi(m[1])
			cases[n]++
		}
	}
	for n := 1; n <= last; n++ {
		reason, elsewhere := adversarialElsewhere[n]
		switch {
		case cases[n] == 0 && !elsewhere:
			t.Errorf("number %d has no case and no reason to have none", n)
		case cases[n] > 0 && elsewhere:
			t.Errorf("number %d has %d cases and a reason to have none", n, cases[n])
		case elsewhere:
			t.Logf("%d is not here: %s", n, reason)
		}
	}
	for n := range cases {
		if n < 1 || n > last {
			t.Errorf("there is no number %d", n)
		}
	}
	t.Logf("%d cases of %d numbers", len(names), len(cases))
}

// run holds one case to its answer and to the traces it may leave.
func (c adversarial) run(t *testing.T) {
	e := c.ask(t)
	before := readLedger(t, e.w)
	x := e.do(t)
	after := readLedger(t, e.w)

	code, message := x.Errcode()
	if x.Status != c.status || code != c.code {
		t.Errorf("%d %s %q, want %d %s", x.Status, code, message, c.status, c.code)
	}
	// What net/http refuses before any handler is plain text.
	if kind := x.Header.Get("Content-Type"); kind != "application/json" && (c.status == 200 || c.code != "") {
		t.Errorf("Content-Type = %q, want application/json", kind)
	}
	if c.code != "" && message == "" {
		t.Error("the refusal says nothing")
	}
	before.check(t, after, c.leaves, c.status)
	if e.check != nil {
		e.check(t, x)
	}
}

// ledger is everything that knocks can change in a store.
type ledger struct {
	events      map[string]string // ID -> room, sender, type, JSON
	state       map[string]string // room, type, state key -> event ID
	extremities map[string]bool
	decisions   map[string]string // row -> verdict, status, event
	values      int               // what policies remember
}

// readLedger reads the store by a connection of its own, past all that the
// server has in memory.
func readLedger(t *testing.T, w *world) ledger {
	t.Helper()
	if err := w.store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.cfg.StateDir, storeFile)+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l := ledger{events: map[string]string{}, state: map[string]string{}, extremities: map[string]bool{}, decisions: map[string]string{}}
	each := func(query string, row func(cells []string)) {
		t.Helper()
		rows, err := db.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			cells, to := make([]string, len(columns)), make([]any, len(columns))
			for i := range cells {
				to[i] = &cells[i]
			}
			if err := rows.Scan(to...); err != nil {
				t.Fatal(err)
			}
			row(cells)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	each("SELECT event_id, room_id || ' ' || sender, type, state_key, json FROM events", func(c []string) {
		l.events[c[0]] = strings.Join(c[1:], "\n")
	})
	each("SELECT room_id, type, state_key, event_id FROM room_state", func(c []string) { l.state[strings.Join(c[:3], "\n")] = c[3] })
	each("SELECT room_id, event_id FROM extremities", func(c []string) { l.extremities[c[0]+" "+c[1]] = true })
	each("SELECT id, verdict, status, event_id FROM decisions", func(c []string) { l.decisions[c[0]] = strings.Join(c[1:], " ") })
	each("SELECT policy, key, value FROM policy_kv", func([]string) { l.values++ })
	return l
}

// check holds what is new in after to what a case may leave.
func (l ledger) check(t *testing.T, after ledger, want trace, status int) {
	t.Helper()
	for id, event := range l.events {
		if after.events[id] != event {
			t.Errorf("the stored event %s changed:\n%s\n%s", id, event, after.events[id])
		}
	}
	knocks := 0
	state := maps.Clone(l.state)
	for id, event := range after.events {
		if _, old := l.events[id]; old {
			continue
		}
		knocks++
		// room and sender, type, state key, JSON
		cells := strings.SplitN(event, "\n", 2)
		room, sender, _ := strings.Cut(cells[0], " ")
		if !strings.HasPrefix(cells[1], "m.room.member\n"+sender+"\n") || !strings.Contains(cells[1], `"membership":"knock"`) {
			t.Errorf("the new event %s is no knock of its sender: %s", id, event)
		}
		state[room+"\nm.room.member\n"+sender] = id
	}
	if knocks != want.knocks {
		t.Errorf("%d new events, want %d", knocks, want.knocks)
	}
	if !maps.Equal(after.state, state) {
		t.Errorf("the state is\n%v\nwant\n%v", after.state, state)
	}
	if knocks == 0 && !maps.Equal(l.extremities, after.extremities) {
		t.Errorf("forward extremities changed from %v to %v", l.extremities, after.extremities)
	}
	if after.values != l.values {
		t.Errorf("policies remember %d values, and %d before", after.values, l.values)
	}
	var decisions []string
	for id, d := range after.decisions {
		if _, old := l.decisions[id]; !old {
			decisions = append(decisions, d)
		}
	}
	if n := len(decisions); n != want.decisions && !(want.decisions == anyNumber && n > 0) {
		t.Errorf("%d new decisions, want %d: %q", n, want.decisions, decisions)
	}
	for _, d := range decisions {
		verdict, rest, _ := strings.Cut(d, " ")
		said, _, _ := strings.Cut(rest, " ")
		if said != fmt.Sprint(status) || (verdict == "allow") != (status == 200) {
			t.Errorf("the decision says %q of an answer of %d", d, status)
		}
	}
	for id := range l.decisions {
		if _, there := after.decisions[id]; !there {
			t.Errorf("decision %s is gone", id)
		}
	}
	if want.decisions == 0 && want.knocks == 0 && !slices.Equal(slices.Sorted(maps.Keys(l.events)), slices.Sorted(maps.Keys(after.events))) {
		t.Error("events came or went")
	}
}
