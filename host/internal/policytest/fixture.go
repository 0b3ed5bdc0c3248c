// Package policytest holds a policy's module to its fixtures, in the engine that
// the host runs policies in, and measures it.
//
// A fixture says what is known of a knock and what the policy must answer.
// policies/README.md, "Fixtures", is how a file of them is written.
package policytest

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/knockgate/knockgate/sdk/abi"
)

const (
	maxFile  = 4 << 20 // bytes of a file
	maxTimes = 1000    // rounds of a step
)

// File is one file of fixtures. They share the settings.
type File struct {
	// Name is the file's name without ".json".
	Name string `json:"-"`
	// Path is where it was read.
	Path string `json:"-"`

	About    string          `json:"about"`
	Settings json.RawMessage `json:"settings"`
	// Grants are the policy's capabilities; absent, those that its module needs.
	Grants *[]string `json:"grants"`
	// Fuel is what the configuration would set; 0 is the engine's default.
	Fuel int64 `json:"fuel"`
	// Lists, KV and Facts are what each case begins with.
	Lists map[string][]string `json:"lists"`
	KV    map[string]Value    `json:"kv"`
	Facts Facts               `json:"facts"`
	// Refused are the faults with which the settings must be refused. There are
	// cases or faults, not both.
	Refused []Refusal `json:"refused"`
	Cases   []Case    `json:"cases"`

	text  []byte
	spans map[string]span
}

// Refusal is a fault of the settings: its path, and a part of what is said of it.
type Refusal struct {
	Path string `json:"path"`
	Says string `json:"says"`
}

// Case is one knock, or several in a row with what the policy remembers of them.
type Case struct {
	Name  string              `json:"name"`
	Lists map[string][]string `json:"lists"`
	KV    map[string]Value    `json:"kv"`
	Facts Facts               `json:"facts"`
	Want  *Want               `json:"want"`
	Steps []Step              `json:"steps"`
}

// Step is one knock of a case that has several.
type Step struct {
	Name string `json:"name"`
	// After is how much later it is than at the step before.
	After Duration `json:"after"`
	// Times is how often it is done, each time with the same answer; 0 is once.
	Times int   `json:"times"`
	Facts Facts `json:"facts"`
	Want  *Want `json:"want"`
}

// Want is the answer that a policy must give. What is not there may be any.
type Want struct {
	Verdict string  `json:"verdict"`
	Message *string `json:"message"`
	Code    *string `json:"code"`
	Note    *string `json:"note"`
	// Fault is the class of the fault, with the verdict error.
	Fault *string `json:"fault"`
	// Fuel is the most ticks that it may take.
	Fuel *int64 `json:"fuel"`
}

// Value is what stands at a key before a case: a counter, a text, or {"hex"}.
type Value []byte

func (Value) shape() *shape { return &shape{} }

// UnmarshalJSON reads a value.
func (v *Value) UnmarshalJSON(text []byte) error {
	var form struct{ Hex *string }
	var s string
	switch {
	case json.Unmarshal(text, &s) == nil:
		*v = Value(s)
	case json.Unmarshal(text, &form) == nil && form.Hex != nil:
		b, err := hex.DecodeString(*form.Hex)
		if err != nil {
			return fmt.Errorf("the value at a key: %w", err)
		}
		*v = b
	default:
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("the value %s at a key; it must be a text, a whole number for a counter, or {\"hex\": \"00ff\"}", text)
		}
		*v = Value(counter(n))
	}
	return nil
}

// Duration is a time in JSON, such as "90s".
type Duration time.Duration

func (Duration) shape() *shape { return &shape{kind: "a text"} }

// UnmarshalJSON reads a duration.
func (d *Duration) UnmarshalJSON(text []byte) error {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 || v%time.Millisecond != 0 {
		return fmt.Errorf("the time %q; it must be like \"90s\", \"10m\" or \"1h30m\", of whole milliseconds", s)
	}
	*d = Duration(v)
	return nil
}

// Load returns the files of fixtures in a folder, in the order of their names. It
// fails, naming file and path, if one is not as it must be; and if there are none.
func Load(folder string) ([]*File, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no fixtures: there is no %s; write {\"cases\": [{\"name\": \"an ordinary knock\"}]} to one and run the tests with --update", filepath.Join(folder, "*.json"))
	}
	slices.Sort(paths)
	var files []*File
	for _, path := range paths {
		f, err := load(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		files = append(files, f)
	}
	return files, nil
}

var fileShape = shapeOf(reflect.TypeFor[File]())

func load(path string) (*File, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("not a file")
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%d bytes; at most %d", info.Size(), maxFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parse(path, text)
}

// parse reads one file.
func parse(path string, text []byte) (*File, error) {
	spans, err := check(text, fileShape)
	if err != nil {
		return nil, err
	}
	base := filepath.Base(path)
	f := &File{Name: base[:len(base)-len(filepath.Ext(base))], Path: path, text: text, spans: spans}
	if err := json.Unmarshal(text, f); err != nil {
		return nil, err
	}
	if (len(f.Refused) == 0) == (len(f.Cases) == 0) {
		return nil, errors.New("it must have either cases, or refused with the faults of the settings")
	}
	for i := range f.Cases {
		if err := f.checkCase(i); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// checkCase returns what a case must not be, and makes the facts of each of its
// knocks to see that they can be made.
func (f *File) checkCase(i int) error {
	c, path := &f.Cases[i], fmt.Sprintf("cases[%d]", i)
	if c.Steps != nil && c.Want != nil {
		return fmt.Errorf("%s: want stands beside steps; each step has its own", path)
	}
	if c.Steps != nil && len(c.Steps) == 0 {
		return fmt.Errorf("%s.steps: none; leave them out, or write one", path)
	}
	for j := range f.steps(i) {
		s := f.steps(i)[j]
		if s.step.Times < 0 || s.step.Times > maxTimes {
			return fmt.Errorf("%s.times: %d; it must be 1 to %d", s.path, s.step.Times, maxTimes)
		}
		if err := s.step.Want.check(); err != nil {
			return fmt.Errorf("%s.want%w", s.path, err)
		}
		if _, err := f.facts(i, s, start); err != nil {
			return fmt.Errorf("%s.%w", s.path, err)
		}
	}
	return nil
}

func (w *Want) check() error {
	if w == nil {
		return nil
	}
	v, ok := abi.ParseVerdict(w.Verdict)
	switch {
	case !ok:
		return fmt.Errorf(".verdict: %q; it must be allow, deny, incompatible, pass or error", w.Verdict)
	case w.Fault != nil && v != abi.Error:
		return errors.New(".fault: only with the verdict error")
	case w.Fuel != nil && *w.Fuel < 0:
		return fmt.Errorf(".fuel: %d; it is the most ticks that the policy may take", *w.Fuel)
	}
	return nil
}

// placed is a step with where it stands.
type placed struct {
	step *Step
	name string // of case and step, for people
	path string // such as "cases[2].steps[0]"
}

// steps returns the knocks of a case. A case without steps is one.
func (f *File) steps(i int) []placed {
	c := &f.Cases[i]
	path, name := fmt.Sprintf("cases[%d]", i), c.Name
	if name == "" {
		name = fmt.Sprintf("case %d", i+1)
	}
	if c.Steps == nil {
		return []placed{{&Step{Want: c.Want}, name, path}}
	}
	list := make([]placed, len(c.Steps))
	for j := range c.Steps {
		step := &c.Steps[j]
		own := step.Name
		if own == "" {
			own = fmt.Sprintf("step %d", j+1)
		}
		list[j] = placed{step, name + ": " + own, fmt.Sprintf("%s.steps[%d]", path, j)}
	}
	return list
}
