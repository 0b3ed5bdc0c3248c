package policylist

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strings"
	"unicode"
)

const (
	// maxState is the largest answer with a room's state, in bytes. A rule takes
	// some 500 there, and its line in the list some 30.
	maxState = 1 << 30
	// maxStateEvent is the most of it that one event takes. The event itself is at most
	// 64 KiB, and has that of its predecessor beside it, both perhaps in escapes.
	maxStateEvent = 1 << 20
	// maxRules is the most rules of a room, as each is noted for a while.
	maxRules = 2_000_000
)

var (
	errState       = errors.New("no state of a room: it must be a list of events with an m.room.create")
	errStateLong   = fmt.Errorf("more than %d MiB, which is the most", maxState>>20)
	errEventLong   = fmt.Errorf("an event of more than %d KiB", maxStateEvent>>10)
	errManyRules   = fmt.Errorf("more than %d rules, or of more than %d MiB, which is the most", maxRules, maxText>>20)
	recommendBan   = []string{"m.ban", "org.matrix.mjolnir.ban", "m.takedown", "org.matrix.msc4204.takedown"}
	recommendAllow = []string{"m.allow", "org.matrix.mjolnir.allow", "fi.mau.meowlnir.unban"}
)

// tally is what there was in a room's state beside the rules that are taken.
type tally struct {
	// faulty are rules without a usable entity; other have a recommendation that is
	// neither to ban nor to allow.
	faulty, other int
}

// ruleTypes are the types of rules, from the newest on. A rule hides those of older
// types and the same state key, even when it was withdrawn.
//
// Spec: Client-Server API, "Moderation policy lists"; MSC2313 and what bots wrote before.
var ruleTypes = [...]string{"m.policy.rule.", "m.room.rule.", "org.matrix.mjolnir.rule."}

// ruleType returns what a type of events says, and its place in ruleTypes.
func ruleType(eventType string) (k kind, age int, ok bool) {
	for age, prefix := range ruleTypes {
		if word, ok := strings.CutPrefix(eventType, prefix); ok {
			for k, w := range kindWords {
				if w == word {
					return kind(k), age, true
				}
			}
		}
	}
	return 0, 0, false
}

// readState returns the rules in a room's state, as text for parseRules. The state is
// a list of events, or has one as its state, and is never held as a whole. What
// others write is theirs to choose: an event that makes no sense is counted.
func readState(r io.Reader) (text []byte, t tally, err error) {
	b := &bounded{r: r, whole: maxState, left: maxStateEvent}
	d := json.NewDecoder(b)
	s := &stateReader{seed: maphash.MakeSeed(), newest: map[uint64]int{}}
	first, err := d.Token()
	if err != nil {
		return nil, t, unreadable(err)
	}
	switch first {
	case json.Delim('['):
		err = s.events(d, b)
	case json.Delim('{'):
		err = s.object(d, b)
	default:
		err = errState
	}
	if err != nil {
		return nil, t, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, t, unreadable(cmp.Or(err, errState))
	}
	if !s.created {
		return nil, t, errState
	}
	for _, o := range s.older {
		if s.newest[o.place] >= o.age {
			s.text = append(s.text, o.line...)
		}
	}
	return inOrder(s.text), s.tally, nil
}

// stateReader takes the events of a state.
type stateReader struct {
	tally
	text    []byte
	size    int // of text and older
	created bool
	// newest is the place in ruleTypes of the newest rule of a kind and state key, by
	// a hash of both.
	seed   maphash.Seed
	newest map[uint64]int
	older  []olderRule
	// event and content are used again for each.
	event, content map[string]json.RawMessage
}

// olderRule is a rule of a type that a newer one may hide.
type olderRule struct {
	place uint64
	age   int
	line  []byte
}

// object reads an object that has the state.
func (s *stateReader) object(d *json.Decoder, b *bounded) error {
	found := false
	for b.next(); d.More(); b.next() {
		key, err := d.Token()
		if err != nil {
			return unreadable(err)
		}
		if key != "state" {
			if err := d.Decode(new(json.RawMessage)); err != nil {
				return unreadable(err)
			}
			continue
		}
		if open, err := d.Token(); err != nil || open != json.Delim('[') || found {
			return unreadable(cmp.Or(err, errState))
		}
		found = true
		if err := s.events(d, b); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return unreadable(err)
}

// events reads the rest of a list of events.
func (s *stateReader) events(d *json.Decoder, b *bounded) error {
	var raw json.RawMessage
	for b.next(); d.More(); b.next() {
		if err := d.Decode(&raw); err != nil {
			return unreadable(err)
		}
		s.take(raw)
		if s.size > maxText || len(s.newest) > maxRules {
			return errManyRules
		}
	}
	_, err := d.Token()
	return unreadable(err)
}

// take takes one event. Keys are looked up as they are written: a decoder of
// structs takes them in any case.
func (s *stateReader) take(raw []byte) {
	clear(s.event)
	clear(s.content)
	_ = json.Unmarshal(raw, &s.event) // what is no object has no type
	eventType, key := text(s.event["type"]), text(s.event["state_key"])
	if _, isState := s.event["state_key"]; !isState {
		return
	}
	s.created = s.created || eventType == "m.room.create" && key == ""
	k, age, ok := ruleType(eventType)
	if !ok {
		return
	}
	place := maphash.String(s.seed, kindWords[k]+" "+key)
	if newest, ok := s.newest[place]; !ok || age < newest {
		s.newest[place] = age
	}
	_ = json.Unmarshal(s.event["content"], &s.content) // what is no object has no entity
	line := s.line(k)
	s.size += len(line)
	switch {
	case line == nil:
	case age == 0:
		s.text = append(s.text, line...)
	default:
		s.older = append(s.older, olderRule{place, age, line})
	}
}

// line returns the line of a rule with the content that was read, nil if there is
// none: it was withdrawn, or is not for this server.
func (s *stateReader) line(k kind) []byte {
	entity, isClear := s.content["entity"]
	hashes := s.content["hashes"]
	if hashes == nil {
		hashes = s.content["org.matrix.msc4205.hashes"]
	}
	if !isClear && hashes == nil {
		if s.content["recommendation"] != nil {
			s.faulty++
		}
		return nil
	}
	var entry string
	if isClear {
		entry = text(entity)
		if !isEntity(entry) {
			entry = ""
		}
	} else {
		entry = hashEntry(hashes)
	}
	word := ""
	switch said := text(s.content["recommendation"]); {
	case entry == "" || said == "":
		s.faulty++
		return nil
	case slices.Contains(recommendBan, said):
	case slices.Contains(recommendAllow, said):
		word = allow
	default:
		s.other++
		return nil
	}
	return []byte(word + kindWords[k] + " " + entry + "\n")
}

// isEntity reports whether an entity can stand for something: no identifier has a
// space, and none but a glob begins with a dot.
func isEntity(entity string) bool {
	return entity != "" && len(entity) <= maxEntry && entity[0] != '.' && !strings.HasPrefix(entity, hashed) &&
		!strings.ContainsFunc(entity, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == unicode.ReplacementChar })
}

// hashEntry returns the entry that hashes are, "" if there is no SHA-256 among them.
func hashEntry(hashes json.RawMessage) string {
	var all map[string]json.RawMessage
	_ = json.Unmarshal(hashes, &all) // what is no object has none
	written := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text(all["sha256"]), "="))
	sum, err := base64.RawStdEncoding.Strict().DecodeString(written)
	if err != nil || len(written) != hashText {
		return ""
	}
	return hashed + base64.RawStdEncoding.EncodeToString(sum)
}

// inOrder returns the lines of a text in order, each once, so that the same rules are
// the same text whatever order they came in.
func inOrder(text []byte) []byte {
	lines := slices.Collect(bytes.Lines(text))
	slices.SortFunc(lines, bytes.Compare)
	lines = slices.CompactFunc(lines, bytes.Equal)
	return bytes.Join(lines, nil)
}

// text returns the string that raw is; "" if it is none.
func text(raw json.RawMessage) (s string) {
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// unreadable returns the error of a state that ends too early, or is none.
func unreadable(err error) error {
	switch {
	case err == nil, errors.Is(err, errStateLong), errors.Is(err, errEventLong), errors.Is(err, errState):
		return err
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return fmt.Errorf("no state of a room: %w", err)
}

// bounded reads up to whole bytes, and left until the next event begins.
type bounded struct {
	r           io.Reader
	whole, left int
}

// next begins another event.
func (b *bounded) next() { b.left = maxStateEvent }

func (b *bounded) Read(p []byte) (int, error) {
	switch {
	case b.whole <= 0:
		return 0, errStateLong
	case b.left <= 0:
		return 0, errEventLong
	}
	n, err := b.r.Read(p[:min(len(p), b.whole, b.left)])
	b.whole -= n
	b.left -= n
	return n, err
}
