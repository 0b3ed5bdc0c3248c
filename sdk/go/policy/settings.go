package policy

import (
	"strconv"
	"strings"
)

// SettingError is one setting that is wrong.
type SettingError struct {
	Path    string // such as "rules[2].allow"; "" is the settings as a whole
	Message string // what is wrong and what would be right
}

// Error returns the path and the message on one line.
func (e SettingError) Error() string {
	if e.Path == "" {
		return e.Message
	}
	return e.Path + ": " + e.Message
}

// SettingsError is every fault of a policy's settings, in the order they were
// found.
type SettingsError []SettingError

// Error returns the faults, one a line.
func (e SettingsError) Error() string {
	var b strings.Builder
	for i, one := range e {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(one.Error())
	}
	return b.String()
}

// Settings is one object of a policy's settings. A policy asks for each key it
// knows; a method that finds the wrong kind of value notes the fault, with its
// path, and returns the default. A key that was never asked for is a fault too,
// so that no misspelt setting is silently without effect.
type Settings struct {
	path   string
	value  value
	seen   []bool   // by member: it was asked for
	asked  []string // every key asked for, for the text of a fault
	report *report
}

// report is shared by all objects of one settings document.
type report struct {
	errs SettingsError
	all  []*Settings
}

func newSettings(root value) *Settings {
	r := &report{}
	if root.kind != kindObject {
		r.errs = append(r.errs, SettingError{"", "the settings must be an object, not " + root.kind.String()})
		root = value{kind: kindObject}
	}
	return r.object("", root)
}

func (r *report) object(path string, v value) *Settings {
	s := &Settings{path: path, value: v, seen: make([]bool, len(v.members)), report: r}
	r.all = append(r.all, s)
	return s
}

// finish notes a fault for every member that was not asked for.
func (s *Settings) finish() {
	for _, o := range s.report.all {
		for i, seen := range o.seen {
			if seen {
				continue
			}
			text := "unknown setting; there are no settings here"
			if len(o.asked) > 0 {
				text = "unknown setting; known here: " + strings.Join(o.asked, ", ")
			}
			o.Fail(o.value.members[i].key, text)
		}
	}
}

// Fail notes that the setting of a key is wrong. The message says what is wrong
// and what would be right. With key "" it is about the object itself.
func (s *Settings) Fail(key, message string) { s.failAt(s.pathOf(key), message) }

func (s *Settings) failAt(path, message string) {
	s.report.errs = append(s.report.errs, SettingError{path, message})
}

func (s *Settings) pathOf(key string) string {
	if s.path == "" || key == "" {
		return s.path + key
	}
	return s.path + "." + key
}

// Path returns where the object stands in the settings, such as "rules[2]"; it
// is "" for the settings as a whole.
func (s *Settings) Path() string { return s.path }

// Has reports whether the key is set, and counts as asking for it.
func (s *Settings) Has(key string) bool {
	_, ok := s.get(key)
	return ok
}

func (s *Settings) get(key string) (value, bool) {
	known := false
	for _, a := range s.asked {
		known = known || a == key
	}
	if !known {
		s.asked = append(s.asked, key)
	}
	for i := range s.value.members {
		if s.value.members[i].key == key {
			s.seen[i] = true
			return s.value.members[i].value, true
		}
	}
	return value{}, false
}

// want returns the value of a key if it is of one of two kinds, and notes a
// fault if it is of another.
func (s *Settings) want(key, what string, k, or kind) (value, bool) {
	v, ok := s.get(key)
	if ok && v.kind != k && v.kind != or {
		s.Fail(key, "must be "+what+", not "+v.kind.String())
		ok = false
	}
	return v, ok
}

// Bool returns a truth value, def if the key is not set.
func (s *Settings) Bool(key string, def bool) bool {
	if v, ok := s.want(key, "true or false", kindBool, kindBool); ok {
		return v.truth
	}
	return def
}

// Int returns a whole number between least and most, def if the key is not set.
func (s *Settings) Int(key string, def, least, most int64) int64 {
	v, ok := s.want(key, "a whole number", kindInt, kindInt)
	if !ok {
		return def
	}
	if v.number < least || v.number > most {
		s.Fail(key, "must be from "+strconv.FormatInt(least, 10)+" to "+strconv.FormatInt(most, 10)+
			", not "+strconv.FormatInt(v.number, 10))
		return def
	}
	return v.number
}

// Text returns a text, def if the key is not set.
func (s *Settings) Text(key, def string) string {
	if v, ok := s.want(key, "a text", kindText, kindText); ok {
		return v.text
	}
	return def
}

// OneOf returns a text that must be one of the choices, def if the key is not
// set.
func (s *Settings) OneOf(key, def string, choices ...string) string {
	text := s.Text(key, def)
	for _, c := range choices {
		if text == c {
			return text
		}
	}
	if s.Has(key) {
		s.Fail(key, "must be one of "+strings.Join(choices, ", ")+", not "+strconv.Quote(text))
	}
	return def
}

// Item is one text of a list, with its place.
type Item struct {
	Text string
	path string
	s    *Settings
}

// Fail notes that this item is wrong, under its own path such as
// "rules[2].allow[1]".
func (i Item) Fail(message string) { i.s.failAt(i.path, message) }

// Texts returns a list of texts, nil if the key is not set. One text alone is
// taken as a list of one.
func (s *Settings) Texts(key string) []Item {
	const what = "a text or a list of texts"
	v, ok := s.want(key, what, kindText, kindList)
	if !ok {
		return nil
	}
	path := s.pathOf(key)
	if v.kind == kindText {
		return []Item{{v.text, path, s}}
	}
	items := make([]Item, 0, len(v.elems))
	for i, e := range v.elems {
		at := path + "[" + strconv.Itoa(i) + "]"
		if e.kind != kindText {
			s.failAt(at, "must be a text, not "+e.kind.String())
			continue
		}
		items = append(items, Item{e.text, at, s})
	}
	return items
}

// Object returns the object of a key, and whether it is set. If it is not, the
// object is empty.
func (s *Settings) Object(key string) (*Settings, bool) {
	v, ok := s.want(key, "an object", kindObject, kindObject)
	if !ok {
		v = value{kind: kindObject}
	}
	return s.report.object(s.pathOf(key), v), ok
}

// Objects returns a list of objects, nil if the key is not set.
func (s *Settings) Objects(key string) []*Settings {
	v, ok := s.want(key, "a list of objects", kindList, kindList)
	if !ok {
		return nil
	}
	list := make([]*Settings, 0, len(v.elems))
	for i, e := range v.elems {
		at := s.pathOf(key) + "[" + strconv.Itoa(i) + "]"
		if e.kind != kindObject {
			s.failAt(at, "must be an object, not "+e.kind.String())
			continue
		}
		list = append(list, s.report.object(at, e))
	}
	return list
}
