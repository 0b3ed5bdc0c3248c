package plugins

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/sdk/abi"
)

func TestRegoItems(t *testing.T) {
	for in, want := range map[string][]string{
		`[]`:                            nil,
		`set()`:                         nil,
		`["a"]`:                         {`"a"`},
		`{1, "b, c"}`:                   {`1`, `"b, c"`},
		`["]\"", [1, {2}], {"x": "}"}]`: {`"]\""`, `[1, {2}]`, `{"x": "}"}`},
	} {
		items, ok := regoItems([]byte(in))
		var got []string
		for _, item := range items {
			got = append(got, string(item))
		}
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("regoItems(%s): ok %t (-want +got):\n%s", in, ok, diff)
		}
	}
	for _, in := range []string{``, `"a"`, `1`, `{"a": 1}`, `{"a": [1], "b": 2}`, `[1}`, `[`, `["a]`, `[[1]`, `[1]]`, `null`} {
		if items, ok := regoItems([]byte(in)); ok {
			t.Errorf("regoItems(%s) = %q, want not ok", in, items)
		}
	}
}

// FuzzRegoSprintf: whatever format and operands, sprintf gives a JSON string
// within its limit, or nothing, or ends the guest's call; and what fmt makes of
// them is no longer than was foreseen.
func FuzzRegoSprintf(f *testing.F) {
	for _, seed := range [][2]string{{"%s is %5.2f", `["a", 1.5]`}, {"%[3]*.[2]*[1]f", `[12.0, 2, 6]`}, {"%", `[]`}, {"%512x%-512q", `["\u0000é", {1}]`}, {"% #x%U%e%t", `["abc", 1, 1e308, true]`}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, format, list string) {
		if len(format)+len(list) > maxOperands {
			return
		}
		defer func() {
			if r := recover(); r != nil {
				if _, ok := r.(guestError); !ok {
					panic(r)
				}
			}
		}()
		if items, ok := regoItems([]byte(list)); ok {
			args, most, ok := sprintfArgs(format, items)
			if n := len(fmt.Sprintf(format, args...)); ok && n > most {
				t.Errorf("sprintf(%q, %s) has %d bytes, %d were foreseen", format, list, n, most)
			}
		}
		g := &guestState{in: &instance{}}
		out, ok := regoSprintf(g, nil, [][]byte{appendJSONText(nil, []byte(format)), []byte(list)})
		if !ok {
			return
		}
		if text, is := regoString(out); !is || len(text) > maxFormatted {
			t.Errorf("sprintf(%q, %s) = %q", format, list, out)
		}
	})
}

// FuzzOPAResult: what is no error has a verdict, and clean words.
func FuzzOPAResult(f *testing.F) {
	for _, seed := range []string{`[]`, `[{"result":"allow"}]`, `[{"result":{"verdict":"deny","message":"m","detail":{"a":[1]}}}]`, `[{"result":7}]`, `[{"result":{}}]`, `[{`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var a answer
		if parseOPAResult(b, &a) != nil {
			return
		}
		if v, ok := abi.ParseVerdict(a.verdict.String()); !ok || v != a.verdict {
			t.Errorf("%q gives the verdict %d", b, a.verdict)
		}
		if len(a.message) > abi.MaxMessage || strings.ContainsAny(a.message, "\x00\n") || (a.verdict == abi.Error) != (a.errorText != "") {
			t.Errorf("%q gives %+v", b, a)
		}
	})
}

// FuzzOPAErrors: what is no error has entries with a message.
func FuzzOPAErrors(f *testing.F) {
	for _, seed := range []string{`[]`, `[{"result":[]}]`, `[{"result":[{"path":"a","message":"m"},{"message":"n","path":""}]}]`, `[{"result":{}}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		refused, err := parseOPAErrors(b)
		if err != nil {
			return
		}
		for _, e := range refused.Errors {
			if e.Message == "" {
				t.Errorf("%q gives %+v", b, refused)
			}
		}
	})
}

// FuzzOPANames: what is no error has numbers of 31 bits, each once.
func FuzzOPANames(f *testing.F) {
	for _, seed := range []string{`{}`, `{"sprintf":0,"trace":1}`, `{"a":0,"a":1}`, `{"a":-1}`, `{"a":1e3}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		names, err := parseOPANames(b)
		seen := map[uint32]bool{}
		for name, n := range names {
			if err == nil && (n > 1<<31-1 || seen[n]) {
				t.Errorf("%q gives %s the number %d", b, name, n)
			}
			seen[n] = true
		}
	})
}
