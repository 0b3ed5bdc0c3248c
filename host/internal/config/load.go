package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"

	"github.com/BurntSushi/toml"
)

// MaxBytes is the largest configuration file.
const MaxBytes = 4 << 20

// Load reads and checks the file at path. Its error names every fault of the
// file, a line for each.
func Load(path string) (*Config, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	fi, err := os.Stat(abs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: no such file; run from the folder that holds config.toml, or name one with --config", path)
	}
	if err != nil {
		return nil, err
	}
	if fi.Size() > MaxBytes {
		return nil, fmt.Errorf("%s: %d bytes; at most %d are read", path, fi.Size(), MaxBytes)
	}
	text, err := os.ReadFile(abs)
	if err != nil {
		return nil, err
	}
	return Parse(string(text), abs)
}

// Parse checks the text of a configuration file. path names it in errors and
// is what relative paths start from; it is not read.
func Parse(text, path string) (*Config, error) {
	file := defaults()
	meta, err := toml.Decode(text, &file)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", path, decodeError(err))
	}
	faults := faults{path: path}
	for _, key := range meta.Undecoded() {
		if len(key) > 2 && key[0] == "policy" && key[1] == "settings" {
			continue // the library counts inline tables of a free-form map as undecoded
		}
		faults.addf(key.String(), "unknown key; known here: %s", strings.Join(knownKeys(reflect.TypeOf(file), key), ", "))
	}
	c := file.check(&faults, filepath.Dir(path))
	c.Path = path
	if err := faults.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// decodeError says in one line what the TOML library found, with the line
// number, and without its repetition of the file.
func decodeError(err error) string {
	var parse toml.ParseError
	if errors.As(err, &parse) {
		return fmt.Sprintf("line %d: %s", parse.Position.Line, strings.TrimSpace(parse.Message))
	}
	return strings.TrimPrefix(err.Error(), "toml: ")
}

// faults gathers everything wrong with one file.
type faults struct {
	path string
	list []error
}

func (f *faults) addf(key, format string, args ...any) {
	f.list = append(f.list, fmt.Errorf("%s: %s: %s", f.path, key, fmt.Sprintf(format, args...)))
}

func (f *faults) err() error { return errors.Join(f.list...) }

// knownKeys returns the keys of the table that key stands in.
func knownKeys(t reflect.Type, key toml.Key) []string {
	for _, part := range key[:len(key)-1] {
		next, ok := fieldByKey(t, part)
		if !ok {
			break
		}
		t = next
	}
	var keys []string
	for i := range t.NumField() {
		keys = append(keys, t.Field(i).Tag.Get("toml"))
	}
	sort.Strings(keys)
	return keys
}

// fieldByKey returns the struct type that the key part names inside t, through
// slices and pointers.
func fieldByKey(t reflect.Type, part string) (reflect.Type, bool) {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("toml") != part {
			continue
		}
		ft := t.Field(i).Type
		for ft.Kind() == reflect.Slice || ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		return ft, ft.Kind() == reflect.Struct
	}
	return t, false
}
