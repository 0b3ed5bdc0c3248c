package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// TestArrows holds the import graph to the layout of README.md: sdk/abi
// imports nothing of ours, plugins imports sdk/abi and itself, policies and
// the Go SDK import the SDK only, nothing imports the program, and inside
// host/internal imports go strictly down the levels.
func TestArrows(t *testing.T) {
	const module = "github.com/knockgate/knockgate/"
	level := map[string]int{
		"matrix": 0, "canonicaljson": 0, "certificate": 0, "author": 0,
		"pdu": 1, "discovery": 1, "config": 1,
		"serverkey": 2, "xmatrix": 2, "knock": 2, "store": 2, "revisions": 2,
		"facts": 3, "resident": 3, "upstream": 3, "decisionlog": 3, "peer": 3, "doctor": 3, "policykv": 3, "policylist": 3, "appservice": 3, "permits": 3,
		"gateway": 4, "admin": 4, "policytest": 4, "rejudge": 4, "notices": 4,
		"metrics": 5, "admin/web": 5, "admin/web/webtest": 5,
	}
	packages := listPackages(t)
	if len(packages) < 10 {
		t.Fatalf("go list found %d packages; this test would say nothing", len(packages))
	}
	for _, p := range packages {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, path := range p.Imports {
			to, ours := strings.CutPrefix(path, module)
			if !ours {
				if path == "golang.org/x/crypto/ed25519" && from != "host/internal/serverkey" {
					t.Errorf("%s imports %s; only host/internal/serverkey may", from, path)
				}
				continue
			}
			if why := arrow(level, from, to); why != "" {
				t.Errorf("%s imports %s: %s", from, to, why)
			}
		}
	}
}

// arrow says why an import is not allowed, or "".
func arrow(level map[string]int, from, to string) string {
	top, _, _ := strings.Cut(from, "/")
	target, _, _ := strings.Cut(to, "/")
	switch {
	case to == "host":
		return "the program is imported by nobody"
	case strings.HasPrefix(from, "sdk/abi"):
		return "the contract imports nothing of ours"
	case top == "sdk" && target != "sdk":
		return "an SDK knows the contract only"
	case top == "plugins" && to != "sdk/abi" && target != "plugins":
		return "the Wasm side knows the contract and itself only"
	case top == "policies" && target == "host":
		return "a policy knows the SDK only"
	case from == "host":
		return ""
	}
	a, inner := strings.CutPrefix(from, "host/internal/")
	b, toInner := strings.CutPrefix(to, "host/internal/")
	if !inner || !toInner {
		return ""
	}
	la, okA := level[a]
	lb, okB := level[b]
	switch {
	case !okA || !okB:
		return "a package without a level: give it one here and in host/README.md"
	case la <= lb:
		return "imports inside host/internal go strictly down the levels"
	}
	return ""
}

type listed struct {
	ImportPath string
	Imports    []string
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "../...")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var packages []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}
