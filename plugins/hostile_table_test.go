package plugins

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestHostileTable holds that README.md has a row for each of the corpus's 31
// attacks, and that the tests it names are there.
func TestHostileTable(t *testing.T) {
	sources := func(pattern string) string {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, err %v", pattern, len(files), err)
		}
		var all strings.Builder
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(b)
		}
		return all.String()
	}
	here, wasmbin := sources("*_test.go"), sources("internal/wasmbin/*_test.go")
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (\d+) \|[^|]+\| (.+) \|$`).FindAllStringSubmatch(string(readme), -1)
	if len(rows) != 31 {
		t.Fatalf("%d rows, want 31", len(rows))
	}
	names := regexp.MustCompile("`(Test[A-Za-z]+)`")
	for i, row := range rows {
		if want := fmt.Sprint(i + 1); row[1] != want {
			t.Errorf("row %s stands where row %s should", row[1], want)
		}
		ours, theirs, _ := strings.Cut(row[2], "wasmbin ")
		found := 0
		for _, part := range []struct{ text, source string }{{ours, here}, {theirs, wasmbin}} {
			for _, name := range names.FindAllStringSubmatch(part.text, -1) {
				found++
				if !strings.Contains(part.source, "func "+name[1]+"(") {
					t.Errorf("row %s: there is no %s", row[1], name[1])
				}
			}
		}
		if found == 0 {
			t.Errorf("row %s names no test", row[1])
		}
	}
}
