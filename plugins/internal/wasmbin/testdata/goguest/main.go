// Goguest is a guest for the tests of wasmbin: a policy's work in Go.
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o goguest.wasm ./goguest
package main

import (
	"encoding/json"
	"fmt"
	"path"
	"sort"
	"strings"
)

func main() {}

type facts struct {
	Room    string            `json:"room_id"`
	User    string            `json:"user_id"`
	Reason  string            `json:"reason"`
	Servers []string          `json:"servers"`
	Members map[string]string `json:"members"`
}

// run does n rounds of work and returns a hash of what came out.
//
//go:wasmexport run
func run(n int32) int64 {
	h := uint64(14695981039346656037)
	for i := range n {
		f := facts{
			Room: fmt.Sprintf("!room%d:example.org", i), User: fmt.Sprintf("@user%d:peer.example.org", i),
			Reason: strings.Repeat("please ", int(i%7)+3), Members: map[string]string{},
		}
		for j := range 20 {
			f.Servers = append(f.Servers, fmt.Sprintf("s%d.example.org", (int(i)*7+j*13)%50))
			f.Members[fmt.Sprintf("@m%d:example.org", j)] = "join"
		}
		doc, err := json.Marshal(f)
		if err != nil {
			return -1
		}
		var got facts
		if err := json.Unmarshal(doc, &got); err != nil {
			return -2
		}
		sort.Strings(got.Servers)
		for _, s := range got.Servers {
			if ok, _ := path.Match("s*1.example.*", s); ok {
				h *= 3
			}
			for _, c := range []byte(s) {
				h = (h ^ uint64(c)) * 1099511628211
			}
		}
		for _, c := range doc {
			h = (h ^ uint64(c)) * 1099511628211
		}
	}
	return int64(h)
}

// fail panics, which in a guest is a trap.
//
//go:wasmexport fail
func fail(n int32) int64 {
	var list []int
	return int64(list[n])
}
