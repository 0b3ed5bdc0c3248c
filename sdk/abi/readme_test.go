package abi_test

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sections are the tables of sdk/README.md that hold constants, with the prefix
// that the Go names have. In "Exports" and "Host functions" the name is the
// value.
var sections = map[string]string{
	"Exports":           "Export",
	"Host functions":    "Import",
	"Host results":      "",
	"Sizes":             "",
	"Levels":            "Log",
	"The request frame": "",
	"Phases":            "",
	"Fields":            "Field",
	"Verdicts":          "",
}

// TestReadmeTables holds the tables of the normative text to the constants of
// this package, both ways.
func TestReadmeTables(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{"module": "knock_v1", "metadatasection": "knock.policy"} // stand in sentences
	if !strings.Contains(string(text), "Import module `knock_v1`") {
		t.Error("README.md does not name the import module")
	}
	if !strings.Contains(string(text), "one custom section named\n`knock.policy`") {
		t.Error("README.md does not name the metadata section")
	}
	section := ""
	for line := range strings.Lines(string(text)) {
		if title := strings.TrimLeft(line, "#"); title != line {
			section = strings.TrimSpace(title)
		}
		prefix, ok := sections[section]
		cells := strings.Split(line, "|")
		if !ok || len(cells) < 3 || !strings.Contains(cells[1], "`") {
			continue
		}
		name := strings.Trim(cells[1], " `")
		value := strings.TrimSpace(cells[2])
		if prefix == "Export" || prefix == "Import" {
			value = name
			name = strings.TrimPrefix(strings.TrimPrefix(name, "knock_v1_"), "_")
		}
		key := plainName(prefix + name)
		if _, ok := got[key]; ok {
			t.Errorf("README.md, %s: %s stands twice", section, name)
		}
		got[key] = decimal(value)
	}
	if diff := cmp.Diff(constants(t), got); diff != "" {
		t.Errorf("the constants (-) are not those of README.md (+):\n%s", diff)
	}
}

// decimal makes one spelling of numbers in different bases.
func decimal(s string) string {
	if v := constant.MakeFromLiteral(s, token.INT, 0); v.Kind() == constant.Int {
		return v.ExactString()
	}
	return s
}

// plainName makes FieldRoomID and room_id with prefix Field the same.
func plainName(name string) string {
	return strings.ToLower(strings.ReplaceAll(name, "_", ""))
}

// constants returns the exported constants of the package, as the compiler
// sees them.
func constants(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	// Constants need no imported package, so that the errors about those that
	// are missing say nothing.
	conf := types.Config{Error: func(error) {}}
	pkg, _ := conf.Check("abi", fset, files, nil)
	list := map[string]string{}
	for _, name := range pkg.Scope().Names() {
		c, ok := pkg.Scope().Lookup(name).(*types.Const)
		if !ok || !c.Exported() {
			continue
		}
		value := c.Val().ExactString()
		if c.Val().Kind() == constant.String {
			value = constant.StringVal(c.Val())
		}
		list[plainName(name)] = value
	}
	if len(list) < 40 {
		t.Fatalf("found %d constants, want all of them", len(list))
	}
	return list
}
