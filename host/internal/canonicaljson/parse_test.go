package canonicaljson

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

// canonical holds the examples of the specification and cases of our own.
var canonical = []struct{ name, in, want string }{
	{"spec 1", `{}`, `{}`},
	{"spec 2", "{\n  \"one\": 1,\n  \"two\": \"Two\"\n}", `{"one":1,"two":"Two"}`},
	{"spec 3", `{ "b": "2", "a": "1" }`, `{"a":"1","b":"2"}`},
	{"spec 4", `{"b":"2","a":"1"}`, `{"a":"1","b":"2"}`},
	{"spec 5", `{"auth":{"success":true,"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"medium":"email","address":"john.doe@example.org"},{"medium":"msisdn","address":"123456789"}]}}}`,
		`{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}`},
	{"spec 6", `{"a":"日本語"}`, `{"a":"日本語"}`},
	{"spec 7", `{"本":2,"日":1}`, `{"日":1,"本":2}`},
	{"spec 8", `{"a":"\u65E5"}`, `{"a":"日"}`},
	{"spec 9", `{"a":null}`, `{"a":null}`},
	{"scalars", ` [ true , false , null , 0 , -1 , "" ] `, `[true,false,null,0,-1,""]`},
	{"bare string", `"x"`, `"x"`},
	{"bare number", `7`, `7`},
	{"largest integers", `[9007199254740991,-9007199254740991]`, `[9007199254740991,-9007199254740991]`},
	{"short escapes", `"\u0008\u0009\u000a\u000c\u000d\u0022\u005c\u002f"`, `"\b\t\n\f\r\"\\/"`},
	{"other controls", `"\u0000\u001F\u000b"`, `"\u0000\u001f\u000b"`},
	{"literal ones", `"\u007f\u2028\u2029<>&\/\u003c"`, "\"\u007f\u2028\u2029<>&/<\""},
	{"surrogate pair", `"\ud83d\ude00"`, `"😀"`},
	{"code points, not UTF-16", `{"😀":1,"\uffee":2}`, `{"￮":2,"😀":1}`},
	{"escaped keys", `{"b\"":1,"a\\":2,"\n":3,"":4}`, `{"":4,"\n":3,"a\\":2,"b\"":1}`},
	{"key that needs no escape after all", `{"\u0062":{"\u0061":"\u0063"},"a":1}`, `{"a":1,"b":{"a":"c"}}`},
	{"empty containers", `{"b":[],"a":{},"c":[[],{}]}`, `{"a":{},"b":[],"c":[[],{}]}`},
	{"prefix sorts first", `{"aa":1,"a":2,"ab":3}`, `{"a":2,"aa":1,"ab":3}`},
}

func TestCanonical(t *testing.T) {
	var d Doc
	for _, c := range canonical {
		t.Run(c.name, func(t *testing.T) {
			if err := d.Parse([]byte(c.in)); err != nil {
				t.Fatalf("Parse(%s): %v", c.in, err)
			}
			if got := string(d.Bytes()); got != c.want {
				t.Errorf("Parse(%s)\n got %s\nwant %s", c.in, got, c.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	const syntax, strict = "syntax", "strict"
	cases := []struct{ name, in, want string }{
		{"nothing", ``, syntax},
		{"white space", ` `, syntax},
		{"byte order mark", "\ufeff{}", syntax},
		{"open object", `{`, syntax},
		{"open array", `[1`, syntax},
		{"open string", `"a`, syntax},
		{"open escape", `"\`, syntax},
		{"open key", `{"a`, syntax},
		{"no value", `{"a":`, syntax},
		{"no colon", `{"a" 1}`, syntax},
		{"comma at the end of an array", `[1,]`, syntax},
		{"comma at the end of an object", `{"a":1,}`, syntax},
		{"comma at the start", `[,1]`, syntax},
		{"no comma", `[1 2]`, syntax},
		{"wrong end", `[1}`, syntax},
		{"key is no string", `{1:1}`, syntax},
		{"single quotes", `'a'`, syntax},
		{"word", `nul`, syntax},
		{"capital", `True`, syntax},
		{"NaN", `NaN`, syntax},
		{"plus", `+1`, syntax},
		{"only minus", `-`, syntax},
		{"leading zero", `01`, syntax},
		{"minus, leading zero", `-01`, syntax},
		{"no digit before the point", `.5`, syntax},
		{"no digit after the point", `1.`, syntax},
		{"no exponent", `1e`, syntax},
		{"sign of no exponent", `1e+`, syntax},
		{"hexadecimal", `0x1`, strict},
		{"unknown escape", `"\x"`, syntax},
		{"short \\u", `"\u12"`, syntax},
		{"no \\u", `"\u12g4"`, syntax},
		{"raw control", "\"\x01\"", syntax},
		{"raw control after an escape", "\"\\n\n\"", syntax},
		{"invalid UTF-8", "\"\xff\"", syntax},
		{"invalid UTF-8 after an escape", "\"\\n\xff\"", syntax},
		{"encoded surrogate", "\"\xed\xa0\x80\"", syntax},
		{"overlong", "\"\xc0\x80\"", syntax},
		{"comment", `{}//`, strict},
		{"spec 10, lenient", `{"a":-0,"b":1e10}`, strict},
		{"fraction", `1.0`, strict},
		{"fraction of zero", `0.0`, strict},
		{"exponent", `1E2`, strict},
		{"zero with an exponent", `0e1`, strict},
		{"negative zero", `-0`, strict},
		{"2^53", `9007199254740992`, strict},
		{"-2^53", `-9007199254740992`, strict},
		{"2^64+1", `18446744073709551617`, strict},
		{"many digits", strings.Repeat("9", 1000), strict},
		{"high surrogate", `"\ud800"`, strict},
		{"low surrogate", `"\udc00"`, strict},
		{"high surrogate, no low one", `"\ud800\u0041"`, strict},
		{"two high surrogates", `"\ud800\ud800"`, strict},
		{"lone surrogate in a key", `{"\ud800":1}`, strict},
		{"duplicate key", `{"a":1,"a":2}`, strict},
		{"duplicate key apart", `{"a":1,"b":2,"a":2}`, strict},
		{"duplicate key, unsorted", `{"z":1,"b":2,"z":2}`, strict},
		{"duplicate key by an escape", `{"a":1,"\u0061":2}`, strict},
		{"duplicate key inside", `[{"x":{"a":1,"a":1}}]`, strict},
		{"duplicate empty key", `{"":1,"":1}`, strict},
		{"trailing value", `{} {}`, strict},
		{"trailing bracket", `[]]`, strict},
		{"101 levels", strings.Repeat("[", 101) + strings.Repeat("]", 101), strict},
		{"nesting bomb", strings.Repeat("[", 100_000), strict},
		{"nesting bomb of objects", strings.Repeat(`{"a":`, 25_000), strict},
		{"32,769 values", "[" + strings.Repeat("1,", 32_767) + "1]", strict},
	}
	var d Doc
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := d.Parse([]byte(c.in))
			got := "accepted"
			var s *SyntaxError
			var r *StrictError
			if errors.As(err, &s) {
				got = syntax
			} else if errors.As(err, &r) {
				got = strict
			}
			if got != c.want {
				t.Errorf("Parse(%.60q): %v, want a %s error", c.in, err, c.want)
			}
			if d.Root().Exists() || d.Bytes() != nil {
				t.Errorf("Parse(%.60q) failed and left %q", c.in, d.Bytes())
			}
		})
	}
}

func TestLimits(t *testing.T) {
	lim := Limits{MaxBytes: 10, MaxDepth: 2, MaxNodes: 4}
	cases := []struct {
		in string
		ok bool
	}{
		{`[[1]]`, true},
		{`[[[]]]`, false},
		{`[1,2,3]`, true},
		{`[1,2,3,4]`, false},
		{`"12345678"`, true},
	}
	var d Doc
	for _, c := range cases {
		if err := d.ParseLimits([]byte(c.in), lim); (err == nil) != c.ok {
			t.Errorf("ParseLimits(%s): %v, want accepted %v", c.in, err, c.ok)
		}
	}
	if err := d.ParseLimits([]byte(`"123456789"`), lim); !errors.Is(err, ErrTooLarge) {
		t.Errorf("11 bytes: %v, want %v", err, ErrTooLarge)
	}
	if err := d.Parse([]byte(strings.Repeat("[", 100) + strings.Repeat("]", 100))); err != nil {
		t.Errorf("100 levels: %v", err)
	}
}

// Members are sorted to find a duplicate; BenchmarkParse has what it takes.
func TestManyKeys(t *testing.T) {
	var b strings.Builder
	b.WriteByte('{')
	for i, k := range rand.Perm(20_000) {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%x":0`, k)
	}
	src := []byte(b.String() + "}")
	var d Doc
	lim := Limits{MaxBytes: 1 << 20, MaxDepth: 2, MaxNodes: 1 << 15}
	if err := d.ParseLimits(src, lim); err != nil {
		t.Fatal(err)
	}
	if got := d.Root().Len(); got != 20_000 {
		t.Errorf("%d members, want 20000", got)
	}
	twin := append(src[:len(src)-1:len(src)-1], `,"1f":0}`...)
	var strict *StrictError
	if err := d.ParseLimits(twin, lim); !errors.As(err, &strict) || strict.Msg != "duplicate key" {
		t.Errorf("one key twice: %v, want a duplicate key", err)
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	src := []byte(knock)
	var d Doc
	if err := d.Parse(src); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = d.Parse(src) }); n != 0 {
		t.Errorf("%v allocations a parse, want 0", n)
	}
}

// A Doc in a pool does not keep the memory of the largest thing it ever parsed.
func TestParseDropsHugeTape(t *testing.T) {
	var d Doc
	if err := d.Parse([]byte("[" + strings.Repeat("1,", 30_000) + "1]")); err != nil {
		t.Fatal(err)
	}
	if err := d.Parse([]byte(knock)); err != nil {
		t.Fatal(err)
	}
	if cap(d.nodes) > keepNodes || cap(d.children) > keepNodes {
		t.Errorf("room for %d nodes and %d children is kept, want at most %d", cap(d.nodes), cap(d.children), keepNodes)
	}
}

// TestWideInputIsCheap: the tape of a wide input is not copied again and again
// as it grows, to be dropped afterwards: that made 9 MB of 128 KiB.
func TestWideInputIsCheap(t *testing.T) {
	for name, in := range map[string]string{
		"values": "[" + strings.Repeat("0,", 60_000) + "0]",
		"keys":   keys(11_000),
		"arrays": "[" + strings.Repeat("[[]],", 20_000) + "[]]",
	} {
		src := []byte(in)
		var d Doc
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = d.Parse(src)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
			t.Errorf("%s: %d bytes of input made %d bytes of garbage, want at most 4 MiB", name, len(src), got)
		}
	}
}

// keys returns an object with n keys in no order.
func keys(n int) string {
	b := &strings.Builder{}
	for i, k := range rand.Perm(n) {
		fmt.Fprintf(b, `%c"%x":0`, "{,"[min(i, 1)], k)
	}
	return b.String() + "}"
}

const knock = `{"auth_events":["$0Q5D4ugoqqYzKxxXPuDzgr6yfkM10-RuFYQSx1gWibs","$5MjKuJHawGLGjT6KzBC67ktpKZFt0Cx79k-pUOb9x-w","$6zMiO8BBaG6uIP1Xz45jnJL4W4ZoVG5zS0b32QuPeFU"],"content":{"avatar_url":null,"displayname":"bob1005011","membership":"knock","reason":"\u65e5\u672c \u000b\"q\\"},"depth":9,"hashes":{"sha256":"Yqn0PyrAUyG816SaYHEzMRhv7K1E1WVN7x0gSBcVlCI"},"origin_server_ts":1795480141057,"prev_events":["$Rpvx_GxIjcb-AW77Z5GevlYaVVxPz1PZ_tqQMXfS9_I"],"room_id":"!PYNpbMzcVUpcQfgyKm:a.test:18648","sender":"@bob1005011:b.test:28648","signatures":{"b.test:28648":{"ed25519:a_Gpgj":"C7/LNfH3QWt6tSXb5LOjcSMH6R/dVpdhgLuOt9/e4akdmMug2rhM7gT14fiFSsZucv2VdiiPILThvg2kO1WvAg"}},"type":"m.room.member","state_key":"@bob1005011:b.test:28648","unsigned":{"age":3}}`

func BenchmarkParse(b *testing.B) {
	cases := []struct{ name, in string }{
		{"knock", knock},
		{"reason of 60 KiB", `{"reason":"` + strings.Repeat("abcdefgh", 7680) + `"}`},
		{"12,000 keys", keys(12_000)},
		{"nesting bomb", strings.Repeat("[", 100_000)},
	}
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) {
			src := []byte(c.in)
			var d Doc
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				_ = d.Parse(src)
			}
		})
	}
}
