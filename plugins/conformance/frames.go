package conformance

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/knockgate/knockgate/sdk/abi"
)

// fields are the fields that every probe knows, by number, with their forms: t is
// text, n a number, b a truth value.
var fields = strings.Fields("json:t room_id:t room_version:t user_id:t user_localpart:t user_server:t origin:t supported_versions:t " +
	"reason:t displayname:t avatar_url:t event:t request_id:t now_ms:n content_hash_ok:b room_known:b room_join_rule:t room_name:t " +
	"room_alias:t room_topic:t room_encrypted:b room_members:n user_membership:t room_age_ms:n room_acl:t room_pending:n " +
	"room_pending_server:n room_members_server:n room_banned:n room_banned_server:n user_membership_since_ms:n user_membership_by:t")

// frame is a request frame with what is in it.
type frame struct {
	name  string
	bytes []byte
	// want is what the fields echo, by name; one that is not in it is absent. nil:
	// the frame is not valid, and the verdict is error.
	want map[string]string
}

// runFrames gives a probe frames that no host of today makes: tables that are short
// or long, and such as are in sdk/abi/testdata.
func runFrames(t *testing.T, wasm []byte, interpreter bool) {
	m := compile(t, wasm, interpreter)
	frames := append(madeFrames(), vectors(t)...)
	for n, f := range fields {
		field, _, _ := strings.Cut(f, ":")
		probed := settings("op=", "echo", "field=", field)
		g := m.start(t)
		if faults := g.configure(t, probed); faults != nil {
			t.Fatal(faults)
		}
		for _, fr := range frames {
			want := result{Verdict: "error"}
			if fr.want != nil {
				want = result{Verdict: "allow", Code: "absent"}
				if value, ok := fr.want[field]; ok {
					want = result{Verdict: "allow", Code: "present", Note: value}
				}
			}
			got, err := g.decide(fr.bytes)
			if err != nil { // the instance is at an end
				got, g = result{Verdict: "error"}, m.start(t)
				if faults := g.configure(t, probed); faults != nil {
					t.Fatal(faults)
				}
			}
			if got.Verdict == "error" {
				got = result{Verdict: "error"} // in the SDK's own words
			}
			if got != want && !(fr.want == nil && inside(fr.bytes, n)) {
				t.Errorf("%s, field %s: %+v, want %+v", fr.name, field, got, want)
			}
		}
	}
	g := m.start(t)
	if faults := g.configure(t, settings("op=", "phase")); faults != nil {
		t.Fatal(faults)
	}
	for phase, want := range map[uint32]string{0: "unknown", 1: "make_knock", 2: "send_knock", 3: "unknown"} {
		if got, err := g.decide(build(phase, 0, nil)); got.Note != want || err != nil {
			t.Errorf("phase %d reads as %+v, %v; want %s", phase, got, err, want)
		}
	}
	// A host that gives no settings at all means {}.
	if got, err := m.start(t).decide(build(2, 0, nil)); got.Verdict != "error" || !strings.Contains(got.Error, "no such field") {
		t.Errorf("without configure: %+v, %v; want the error of a probe with the settings {}", got, err)
	}
	g = m.start(t)
	if g.configure(t, `{"op":1}`) == nil {
		t.Error("a probe accepts a number as op")
	}
	if got, err := g.decide(build(2, 0, nil)); got.Verdict != "error" || err != nil {
		t.Errorf("after refused settings: %+v, %v; want an error", got, err)
	}
}

// inside reports whether a frame is whole but for fields other than field n, which
// an SDK need not look at.
func inside(frame []byte, n int) bool {
	if len(frame) < abi.FrameHeader {
		return false
	}
	le := binary.LittleEndian
	table := uint64(le.Uint32(frame[12:]))
	if le.Uint32(frame) != abi.FrameMagic || uint64(le.Uint32(frame[4:])) != uint64(len(frame)) ||
		abi.FrameHeader+table*abi.FieldEntry > uint64(len(frame)) {
		return false
	}
	at := abi.FrameHeader + n*abi.FieldEntry
	return uint64(n) >= table || uint64(le.Uint32(frame[at:]))+uint64(le.Uint32(frame[at+4:])) <= uint64(len(frame))
}

// madeFrames are frames in which every field is present, cut and extended.
func madeFrames() []frame {
	values, want := map[int][]byte{}, map[string]string{}
	for n, f := range fields {
		field, form, _ := strings.Cut(f, ":")
		text := "value " + strconv.Itoa(n)
		switch form {
		case "n":
			text = strconv.Itoa(-1_000_000_000_000 - n)
			values[n] = binary.LittleEndian.AppendUint64(nil, uint64(-1_000_000_000_000-n))
		case "b":
			text = strconv.FormatBool(n%2 == 0)
			values[n] = []byte{byte(1 - n%2)}
		default:
			values[n] = []byte(text)
		}
		want[field] = text
	}
	var all []frame
	for _, n := range []int{0, 1, 8, 9, 13, 14, 24, 25, 31, 32, 33, 60} {
		some, known := map[int][]byte{}, map[string]string{}
		for i, f := range fields {
			if field, _, _ := strings.Cut(f, ":"); i < n {
				some[i], known[field] = values[i], want[field]
			}
		}
		for i := len(fields); i < n; i++ {
			some[i] = []byte("of a later edition")
		}
		all = append(all, frame{fmt.Sprintf("a table of %d", n), build(2, n, some), known})
	}
	empty := map[int][]byte{8: {}, 9: {}, 24: {}}
	return append(all, frame{"empty texts", build(2, 32, empty), map[string]string{"reason": "", "displayname": "", "room_acl": ""}})
}

// build makes a frame with a table of n entries.
func build(phase uint32, n int, values map[int][]byte) []byte {
	le := binary.LittleEndian
	b := make([]byte, abi.FrameHeader+n*abi.FieldEntry)
	for i := range n {
		if v, ok := values[i]; ok {
			at := abi.FrameHeader + i*abi.FieldEntry
			le.PutUint32(b[at:], uint32(len(b)))
			le.PutUint32(b[at+4:], uint32(len(v)))
			b = append(b, v...)
		}
	}
	le.PutUint32(b, abi.FrameMagic)
	le.PutUint32(b[4:], uint32(len(b)))
	le.PutUint32(b[8:], phase)
	le.PutUint32(b[12:], uint32(n))
	return b
}

// shared reads a file of sdk/abi/testdata into a list, wherever the tests run that
// call Run.
func shared(t *testing.T, name string, list any) {
	_, here, _, _ := runtime.Caller(0)
	path := filepath.Join(filepath.Dir(here), "..", "..", "sdk", "abi", "testdata", name)
	if err := json.Unmarshal(read(t, path), list); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// maxNote is what every SDK cuts a note to.
const maxNote = 1024

func vectors(t *testing.T) []frame {
	var list []struct {
		Name    string
		Valid   bool
		Texts   map[string]string
		Numbers map[string]int64
		Truths  map[string]bool
		Frame   string
	}
	if shared(t, "frames.json", &list); len(list) < 10 {
		t.Fatalf("%d shared frames; this test would say little", len(list))
	}
	var all []frame
	for _, v := range list {
		bytes, err := hex.DecodeString(v.Frame)
		if err != nil {
			t.Fatal(err)
		}
		f := frame{name: v.Name, bytes: bytes}
		if v.Valid {
			f.want = map[string]string{}
		}
		for name, value := range v.Texts {
			n := min(len(value), maxNote)
			for n < len(value) && value[n]&0xc0 == 0x80 {
				n--
			}
			f.want[name] = value[:n]
		}
		for name, value := range v.Numbers {
			f.want[name] = strconv.FormatInt(value, 10)
		}
		for name, value := range v.Truths {
			f.want[name] = strconv.FormatBool(value)
		}
		for name := range f.want {
			if !slices.ContainsFunc(fields, func(known string) bool { return strings.HasPrefix(known, name+":") }) {
				t.Errorf("%s: the field %s is in no SDK; fields in frames.go, and each SDK and probe, lack it", v.Name, name)
			}
		}
		all = append(all, f)
	}
	return all
}

// runMalformed gives a probe settings that are not JSON as the ABI has it. A host
// does not send them: that a probe refuses them is what holds its reader to the
// others'.
func runMalformed(t *testing.T, wasm []byte, interpreter bool) {
	m := compile(t, wasm, interpreter)
	for _, v := range settingsVectors(t) {
		faults := m.start(t).configure(t, v.text)
		refused := len(faults) == 1 && faults[0].Path == "" && strings.HasPrefix(faults[0].Message, "the settings are not JSON: ")
		if v.valid && faults != nil || !v.valid && !refused {
			t.Errorf("settings %.80q: %+v; want none of JSON that is right, and one of the whole of other", v.text, faults)
		}
	}
	for text, want := range map[string]string{
		`[]`: "the settings must be an object, not a list", `"x"`: "the settings must be an object, not a text",
		`5`: "the settings must be an object, not a number", `null`: "the settings must be an object, not null",
	} {
		if faults := m.start(t).configure(t, text); len(faults) != 1 || faults[0].Path != "" || faults[0].Message != want {
			t.Errorf("settings %s: %+v, want %q", text, faults, want)
		}
	}
	for _, text := range []string{`{"number":1.5}`, `{"number":1e3}`, `{"number":-1.0E+2}`} {
		faults := m.start(t).configure(t, text)
		if len(faults) != 1 || faults[0].Path != "number" || faults[0].Message != "must be a whole number, not a fraction" {
			t.Errorf("settings %s: %+v, want that number is a fraction", text, faults)
		}
	}
}

type settingsVector struct {
	text  string
	valid bool
}

// settingsVectors are the shared settings, and some that are too long for a file.
func settingsVectors(t *testing.T) []settingsVector {
	var list []struct {
		Text, Hex string
		Valid     bool
	}
	if shared(t, "settings.json", &list); len(list) < 50 {
		t.Fatalf("%d shared settings; this test would say little", len(list))
	}
	deep := func(n int) string { return strings.Repeat(`{"op":`, n) + `1` + strings.Repeat(`}`, n) }
	all := []settingsVector{{deep(1000), false}, {strings.Repeat("[", 60_000), false}}
	for _, v := range list {
		bytes, err := hex.DecodeString(v.Hex)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, settingsVector{v.Text + string(bytes), v.Valid})
	}
	return all
}

// module is a probe under a small host of this package's own, which checks nothing:
// it shows the bytes that a probe sees and makes.
type module struct {
	runtime wazero.Runtime
	code    wazero.CompiledModule
}

func compile(t *testing.T, wasm []byte, interpreter bool) module {
	ctx := context.Background()
	config := wazero.NewRuntimeConfigCompiler()
	if interpreter {
		config = wazero.NewRuntimeConfigInterpreter()
	}
	r := wazero.NewRuntimeWithConfig(ctx, config)
	t.Cleanup(func() {
		if err := r.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		t.Fatal(err)
	}
	host := r.NewHostModuleBuilder(abi.Module)
	i32, i64 := api.ValueTypeI32, api.ValueTypeI64
	for name, types := range map[string][2][]api.ValueType{
		abi.ImportLog:       {{i32, i32, i32}, nil},
		abi.ImportNowMS:     {nil, {i64}},
		abi.ImportRandom:    {{i32, i32}, nil},
		abi.ImportGlobMatch: {{i32, i32, i32, i32}, {i32}},
		abi.ImportACLAllows: {{i32, i32, i32, i32}, {i32}},
		abi.ImportKVGet:     {{i32, i32, i32, i32}, {i32}},
		abi.ImportKVPut:     {{i32, i32, i32, i32, i64}, {i32}},
		abi.ImportKVIncr:    {{i32, i32, i64, i64}, {i64}},
		abi.ImportListHas:   {{i32, i32, i32, i32}, {i32}},
	} {
		none := api.GoFunc(func(context.Context, []uint64) { panic("a frame asks for no host function") })
		host.NewFunctionBuilder().WithGoFunction(none, types[0], types[1]).Export(name)
	}
	if _, err := host.Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	code, err := r.CompileModule(ctx, wasm)
	if err != nil {
		t.Fatal(err)
	}
	return module{r, code}
}

// guest is one instance.
type guest struct {
	mod    api.Module
	buffer uint32
}

func (m module) start(t *testing.T) guest {
	mod, err := m.runtime.InstantiateModule(context.Background(), m.code,
		wazero.NewModuleConfig().WithName("").WithStartFunctions(abi.ExportInitialize))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mod.Close(context.Background()) })
	refused, err := mod.ExportedFunction(abi.ExportBuffer).Call(context.Background(), abi.MaxFrame+1)
	if err != nil || refused[0] != 0 {
		t.Fatalf("a buffer of one byte too many: %v, %v; want 0", refused, err)
	}
	out, err := mod.ExportedFunction(abi.ExportBuffer).Call(context.Background(), abi.MaxFrame)
	if err != nil || out[0] == 0 {
		t.Fatalf("no buffer: %v, %v", out, err)
	}
	return guest{mod, uint32(out[0])}
}

func (g guest) call(export string, input []byte) (ptr, size uint32, err error) {
	if !g.mod.Memory().Write(g.buffer, input) {
		return 0, 0, errors.New("the buffer is not in memory")
	}
	out, err := g.mod.ExportedFunction(export).Call(context.Background(), uint64(len(input)))
	if err != nil {
		return 0, 0, fmt.Errorf("%s of %d bytes: %w", export, len(input), err)
	}
	ptr, size = abi.Unpack(out[0])
	return ptr, size, nil
}

// object reads a JSON object of the guest.
func (g guest) object(ptr, size uint32, into any) error {
	text, ok := g.mod.Memory().Read(ptr, size)
	if !ok || size > abi.MaxResult {
		return fmt.Errorf("a result of %d bytes at %d", size, ptr)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%w in %s", err, text)
	}
	return nil
}

type fault struct{ Path, Message string }

func (g guest) configure(t *testing.T, settings string) []fault {
	t.Helper()
	ptr, size, err := g.call(abi.ExportConfigure, []byte(settings))
	if err == nil && ptr == 0 && size == 0 {
		return nil
	}
	var out struct{ Errors []fault }
	if err == nil {
		err = g.object(ptr, size, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Errors
}

// result is the JSON object of a verdict.
type result struct{ Verdict, Message, Note, Code, Error string }

// decide returns an error where the guest traps, or says what is no result.
func (g guest) decide(frame []byte) (r result, err error) {
	ptr, size, err := g.call(abi.ExportDecide, frame)
	if err != nil || ptr == 0 {
		return result{Verdict: abi.Verdict(size).String()}, err
	}
	return r, g.object(ptr, size, &r)
}
