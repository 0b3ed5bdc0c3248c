package plugins

import (
	"context"
	"testing"

	"github.com/knockgate/knockgate/sdk/abi"
)

// isolations are what the benchmarks compare; "compare" is reset where the
// platform does not say which pages were written to.
var isolations = []Isolation{IsolationReuse, IsolationReset, "compare", IsolationFresh}

func isolated(b *testing.B, spec PolicySpec, isolation Isolation) *Chain {
	b.Helper()
	e := newEngine(b, EngineOptions{Limits: slow})
	e.limits.Isolation = isolation
	if isolation == "compare" {
		e.heapMemory, e.limits.Isolation = true, IsolationReset
	}
	return load(b, e, ChainSpec{Policies: []PolicySpec{spec}, Default: abi.Allow})
}

// BenchmarkIsolation is one decision, facts to decision, with each isolation.
//
//	go test ./plugins -run xxx -bench Isolation -benchmem -cpu 1,2
func BenchmarkIsolation(b *testing.B) {
	for _, spec := range guestPolicies {
		for _, isolation := range isolations {
			c := isolated(b, spec, isolation)
			b.Run(spec.Name+"/"+string(isolation), func(b *testing.B) { benchEvaluate(b, c) })
		}
	}
}

// BenchmarkRestore is reset alone. Each round writes to as many pages as a
// decision of the guest does.
//
//	go test ./plugins -run xxx -bench Restore -cpu 2
func BenchmarkRestore(b *testing.B) {
	for _, spec := range guestPolicies {
		for _, isolation := range isolations[1:3] {
			p := isolated(b, spec, isolation).policies[0]
			b.Run(spec.Name+"/"+string(isolation), func(b *testing.B) {
				in, _ := p.pool.get(context.Background())
				defer p.pool.put(in)
				f := knockFacts()
				frame := abi.AppendFrame(nil, f)
				var a answer
				in.ask(frame, f, &a)
				memory, _ := in.mem.Read(0, in.mem.Size())
				var written []int
				for at := 0; at < len(memory); at += pageOf {
					if string(memory[at:at+pageOf]) != string(in.image.picture.bytes[at:at+pageOf]) {
						written = append(written, at)
					}
				}
				for b.Loop() {
					for _, at := range written {
						memory[at]++
					}
					if !in.restore() {
						b.Fatal("restore gave up")
					}
				}
				b.ReportMetric(float64(len(written)), "written-pages")
				b.ReportMetric(float64(len(memory))/(1<<20), "MiB")
			})
		}
	}
}
