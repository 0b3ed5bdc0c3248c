package plugins

import (
	"slices"
	"strings"
	"testing"
)

func TestInspect(t *testing.T) {
	for _, tt := range []struct {
		module       []byte
		stage        Stage
		reason       string
		capabilities []string
		line         string // among imports or exports
	}{
		{annotated(t, "allow", echoMetadata), "", "", nil, "knock_v1_decide (i32) -> i64"},
		{readModule(t, "kv_counter"), "", "", []string{"kv"}, "knock_v1.kv_incr (i32 i32 i64 i64) -> i64"},
		{readModule(t, "import_memory"), StageImports, `memory "env.memory"`, nil, "env.memory memory"},
		{readModule(t, "no_buffer"), StageExports, "no function knock_v1_buffer", nil, "memory memory"},
		{readModule(t, "start_loop"), "", "", nil, "memory memory"}, // it is not run
		{append(readModule(t, "allow"), custom("knock.policy", "no")...), StageMetadata, "not JSON", nil, "memory memory"},
		{[]byte("no module"), StageScan, "not a WebAssembly module", nil, ""},
		{make([]byte, MaxModule+1), StageSize, "16 MiB", nil, ""},
	} {
		in := Inspect(tt.module)
		if in.Digest != "sha256:"+digest(tt.module) || in.Size != len(tt.module) {
			t.Errorf("%q: digest %s, size %d", tt.line, in.Digest, in.Size)
		}
		if in.Stage != tt.stage || (in.Err == nil) != (tt.stage == "") || in.Err != nil && !strings.Contains(in.Err.Error(), tt.reason) {
			t.Errorf("%q: refused at %q: %v; want %q: %s", tt.line, in.Stage, in.Err, tt.stage, tt.reason)
		}
		if !slices.Equal(in.Capabilities, tt.capabilities) {
			t.Errorf("%q: capabilities %q, want %q", tt.line, in.Capabilities, tt.capabilities)
		}
		if lines := slices.Concat(in.Imports, in.Exports); tt.line != "" && !slices.Contains(lines, tt.line) {
			t.Errorf("%q is not among %q", tt.line, lines)
		}
	}
	if in := Inspect(annotated(t, "echo", echoMetadata)); in.Metadata == nil || in.Metadata.Name != "echo" {
		t.Errorf("metadata %+v, want that of echo", in.Metadata)
	}
}
