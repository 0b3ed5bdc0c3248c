package author

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/knockgate/knockgate/sdk"
)

//go:embed all:templates
var templates embed.FS

// names are what a policy can be called: a package or a crate is called the same.
var names = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)

// reserved are names that a toolchain takes for something else.
var reserved = map[string]bool{"sdk": true, "test": true, "main": true, "std": true, "core": true, "alloc": true, "knockgate": true, "testdata": true, "con": true, "nul": true}

// New makes the folder dir of a policy that builds and passes its tests, with the SDK
// of its language in it, and returns the file to edit. What is last in dir is the
// policy's name. It fails if there is something at dir other than an empty folder, and
// leaves nothing then.
func New(dir, lang string) (source string, err error) {
	l, err := find(lang)
	if err != nil {
		return "", err
	}
	name, err := Name(dir)
	if err != nil {
		return "", err
	}
	if !names.MatchString(name) || reserved[name] {
		return "", fmt.Errorf("the name %q: it must be 1 to 64 lower-case letters, digits, '-' and '_', begin with a letter, and be no word of a toolchain's own", name)
	}
	switch entries, err := os.ReadDir(dir); {
	case err == nil && len(entries) > 0:
		return "", fmt.Errorf("%s: there is something in it already; choose another name, or empty it", dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	files, err := l.files(name)
	if err != nil {
		return "", err
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return "", err
	}
	temp, err := os.MkdirTemp(parent, "."+name+"-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp) // of no effect once it is renamed
	for file, text := range files {
		at := filepath.Join(temp, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
			return "", err
		}
		if err := os.WriteFile(at, text, 0o666); err != nil {
			return "", err
		}
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return "", err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // the empty folder
		return "", err
	}
	return filepath.Join(dir, filepath.FromSlash(l.source)), os.Rename(temp, dir)
}

// files returns a new policy's files, by their path in its folder.
func (l *language) files(name string) (map[string][]byte, error) {
	files := map[string][]byte{}
	values := map[string]string{"Name": name, "Title": l.title, "Source": l.source, "SDK": l.sdk, "Build": l.about}
	for _, root := range [...]string{"templates/common", "templates/" + l.name} {
		err := fs.WalkDir(templates, root, func(at string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			t, err := template.ParseFS(templates, at)
			if err != nil {
				return err
			}
			var text bytes.Buffer
			if err := t.Option("missingkey=error").Execute(&text, values); err != nil {
				return err
			}
			files[strings.TrimSuffix(strings.TrimPrefix(at, root+"/"), ".tmpl")] = text.Bytes()
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if l.sdk == "" {
		return files, nil
	}
	copied, err := sdk.FS(l.name)
	if err != nil {
		return nil, err
	}
	for at, text := range l.extra {
		files[at] = []byte(text)
	}
	return files, fs.WalkDir(copied, ".", func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[path.Join(l.sdk, at)], err = fs.ReadFile(copied, at)
		return err
	})
}
