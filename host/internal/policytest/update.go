package policytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/knockgate/knockgate/plugins"
)

// Update returns the text of a file with what came out as what is wanted, and
// everything else as it was. Of what a want leaves open nothing is added, but for
// the verdict; one that is not there gets all that was said. A fixture that holds
// stays as it is.
func (f *File) Update(r *Report) []byte {
	var edits []edit
	for i := range r.Results {
		result := &r.Results[i]
		if result.File != f.Name || len(result.Differences) == 0 {
			continue
		}
		if result.Path == "refused" {
			if faults := r.Refusals[f.Path]; faults != nil {
				edits = append(edits, f.replace("refused", refusedJSON(faults)))
			}
			continue
		}
		if result.Got.Verdict == "" { // the settings were refused: that is for the author to say
			continue
		}
		want := f.want(result.Path).updated(result.Got)
		edits = append(edits, f.replace(result.Path+".want", want))
	}
	slices.SortFunc(edits, func(a, b edit) int { return b.from - a.from })
	text := bytes.Clone(f.text)
	for _, e := range edits {
		text = slices.Replace(text, e.from, e.to, []byte(e.text)...)
	}
	return text
}

type edit struct {
	span
	text string
}

// want returns what the step at path wants, nil if it says nothing.
func (f *File) want(path string) *Want {
	for i := range f.Cases {
		for _, s := range f.steps(i) {
			if s.path == path {
				return s.step.Want
			}
		}
	}
	return nil
}

// member is a key with its value as JSON.
type member struct{ key, value string }

// updated returns the members of a want that the answer fulfils.
func (w *Want) updated(got Answer) []member {
	list := []member{{"verdict", quote(got.Verdict)}}
	for _, m := range [...]struct {
		key, got string
		old      *string
	}{{"message", got.Message, w.field(func(w *Want) *string { return w.Message })},
		{"code", got.Code, w.field(func(w *Want) *string { return w.Code })},
		{"note", got.Note, w.field(func(w *Want) *string { return w.Note })},
		{"fault", got.Fault, w.field(func(w *Want) *string { return w.Fault })}} {
		if m.key == "fault" && got.Fault == "" {
			continue // there is none without the verdict error
		}
		if m.old != nil || w == nil && m.got != "" {
			list = append(list, member{m.key, quote(m.got)})
		}
	}
	if w != nil && w.Fuel != nil {
		list = append(list, member{"fuel", fmt.Sprint(max(*w.Fuel, got.Fuel))})
	}
	return list
}

func (w *Want) field(of func(*Want) *string) *string {
	if w == nil {
		return nil
	}
	return of(w)
}

func quote(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string has JSON
	return strings.TrimSuffix(b.String(), "\n")
}

// replace returns the edit that puts members in the place of the value at path,
// or, where there is none, at the end of the object that it would be in.
func (f *File) replace(path string, value any) edit {
	if at, ok := f.spans[path]; ok {
		old := f.text[at.from:at.to]
		if bytes.IndexByte(old, '\n') < 0 {
			return edit{at, oneLine(value)}
		}
		return edit{at, f.lines(value, f.indent(at.from))}
	}
	parent, key := "", path
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		parent, key = path[:i], path[i+1:]
	}
	object := f.spans[parent]
	inner := bytes.TrimRight(f.text[object.from:object.to-1], " \t\r\n")
	end := object.from + len(inner)
	comma := ","
	if len(inner) == 1 { // nothing but the bracket
		comma = ""
	}
	insert := comma + " " + quote(key) + ": " + oneLine(value)
	if bytes.IndexByte(f.text[object.from:object.to], '\n') >= 0 {
		insert = comma + "\n" + f.indent(end) + quote(key) + ": " + oneLine(value)
	} else if comma == "" {
		insert = insert[1:]
	}
	return edit{span{end, end}, insert}
}

// indent returns the white space at the beginning of the line that a byte is in.
func (f *File) indent(at int) string {
	line := f.text[bytes.LastIndexByte(f.text[:at], '\n')+1 : at]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

// unit returns one step of the file's indentation.
func (f *File) unit() string {
	if i := bytes.Index(f.text, []byte("\n ")); i >= 0 {
		rest := f.text[i+1:]
		return string(rest[:len(rest)-len(bytes.TrimLeft(rest, " "))])
	}
	return "\t"
}

func oneLine(value any) string {
	switch v := value.(type) {
	case []member:
		parts := make([]string, len(v))
		for i, m := range v {
			parts[i] = quote(m.key) + ": " + m.value
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case [][]member:
		parts := make([]string, len(v))
		for i, m := range v {
			parts[i] = oneLine(m)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return ""
}

// lines is oneLine with a line for each member; the first follows what is there.
func (f *File) lines(value any, indent string) string {
	unit := f.unit()
	var text bytes.Buffer
	_ = json.Indent(&text, []byte(oneLine(value)), indent, unit) // it is JSON
	return text.String()
}

func refusedJSON(faults []plugins.SettingError) [][]member {
	list := make([][]member, len(faults))
	for i, f := range faults {
		list[i] = []member{{"path", quote(f.Path)}, {"says", quote(f.Message)}}
	}
	return list
}
