package policylist

import (
	"errors"
	"fmt"
	"strings"
)

// A kind is what a rule of a room is about.
type kind int

const (
	userRule kind = iota
	serverRule
	roomRule
	kinds
)

// kindWords are what the text of a room's rules calls them.
var kindWords = [kinds]string{"user", "server", "room"}

// kindOf returns the kind of rules that can stand for key.
func kindOf(key []byte) kind {
	switch {
	case len(key) > 0 && key[0] == '@':
		return userRule
	case len(key) > 0 && (key[0] == '!' || key[0] == '#'):
		return roomRule
	}
	return serverRule
}

// rules are those of one kind: a key that is banned is in the list, unless another
// rule allows it.
type rules struct{ banned, allowed matcher }

// allow begins the line of an exception.
const allow = "allow "

// parseRules returns the rules of a text, which it changes: lines of kind and entity,
// such as "user @a:evil.example". Globs beyond what is the most are left out and counted.
func parseRules(text []byte) (s *set, leftOut int, err error) {
	lower(text)
	s = &set{text: string(text), rules: new([kinds]rules)}
	for i := range s.rules {
		s.rules[i].banned.table.text, s.rules[i].allowed.table.text = s.text, s.text
	}
	number, at := 0, 0
	for line := range strings.Lines(s.text) {
		number++
		end := at + len(strings.TrimSuffix(line, "\n"))
		at += len(line)
		line, exception := strings.CutPrefix(strings.TrimSuffix(line, "\n"), allow)
		word, entity, _ := strings.Cut(line, " ")
		k := kind(0)
		for k < kinds && kindWords[k] != word {
			k++
		}
		if k == kinds || entity == "" {
			return nil, 0, fmt.Errorf("line %d: no kind and entity, such as \"user @a:evil.example\"", number)
		}
		m := &s.rules[k].banned
		if exception {
			m = &s.rules[k].allowed
		}
		switch err := m.add(end-len(entity), entity); {
		case errors.Is(err, errGlobs):
			leftOut++
			continue
		case err != nil:
			return nil, 0, fmt.Errorf("line %d: %w", number, err)
		}
		s.entries++
	}
	return s, leftOut, nil
}
