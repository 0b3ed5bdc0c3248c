package canonicaljson

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func parse(t *testing.T, src string) Value {
	t.Helper()
	d, err := Parse([]byte(src))
	if err != nil {
		t.Fatalf("Parse(%s): %v", src, err)
	}
	return d.Root()
}

func TestValue(t *testing.T) {
	v := parse(t, `{"n":null,"t":true,"f":false,"i":-12,"s":"a\nb","p":"plain","a":[1,"x"],"o":{"k":{"z":1,"y":2}},"S":"case","":0}`)

	kinds := map[string]Kind{"n": Null, "t": Bool, "f": Bool, "i": Int, "s": String, "p": String, "a": Array, "o": Object, "S": String, "": Int, "N": Invalid, "absent": Invalid}
	for key, want := range kinds {
		if got := v.Get(key).Kind(); got != want {
			t.Errorf("Get(%q) is of kind %v, want %v", key, got, want)
		}
	}
	if b, ok := v.Get("t").Bool(); !b || !ok {
		t.Errorf("true is %v, %v", b, ok)
	}
	if b, ok := v.Get("f").Bool(); b || !ok {
		t.Errorf("false is %v, %v", b, ok)
	}
	if _, ok := v.Get("i").Bool(); ok {
		t.Error("an integer is a boolean")
	}
	if n, ok := v.Get("i").Int(); n != -12 || !ok {
		t.Errorf("-12 is %d, %v", n, ok)
	}
	if _, ok := v.Get("t").Int(); ok {
		t.Error("a boolean is an integer")
	}
	for key, want := range map[string]string{"s": "a\nb", "p": "plain", "S": "case"} {
		if got, ok := v.Get(key).Text(); got != want || !ok {
			t.Errorf("Get(%q).Text() = %q, %v, want %q", key, got, ok, want)
		}
	}
	if _, ok := v.Get("n").Text(); ok {
		t.Error("null is a string")
	}
	if got := v.Get("o").Get("k").Get("y"); string(got.Canonical()) != "2" || string(got.CanonicalMember()) != `"y":2` {
		t.Errorf("o.k.y is %s, %s", got.Canonical(), got.CanonicalMember())
	}
	var elems []string
	for e := range v.Get("a").Elems() {
		elems = append(elems, string(e.Canonical()), string(e.CanonicalMember()))
	}
	if diff := cmp.Diff([]string{"1", "1", `"x"`, `"x"`}, elems); diff != "" {
		t.Errorf("elements (-want +got):\n%s", diff)
	}
	if got := v.Get("a").Len() + v.Get("o").Len() + v.Get("s").Len(); got != 3 {
		t.Errorf("lengths add up to %d, want 3", got)
	}
	var keys []string
	for key := range v.Members() {
		keys = append(keys, string(key))
	}
	if want := slices.Sorted(slices.Values(keys)); !slices.Equal(keys, want) || len(keys) != v.Len() {
		t.Errorf("keys %q, want %q", keys, want)
	}
	if !v.Get("n").IsNull() || !v.Get("o").IsObject() || !v.Get("a").IsArray() || !v.Get("s").IsString() {
		t.Error("a kind is not what it is")
	}
}

func TestAbsent(t *testing.T) {
	var v Value
	if v.Exists() || v.Kind() != Invalid || v.Len() != 0 || v.Canonical() != nil || v.CanonicalMember() != nil {
		t.Error("the zero Value is there")
	}
	if _, ok := v.Text(); ok {
		t.Error("the zero Value is a string")
	}
	if v.Get("a").Get("b").Exists() || parse(t, `[1]`).Get("0").Exists() {
		t.Error("Get found something where nothing is")
	}
	for range v.Members() {
		t.Error("the zero Value has a member")
	}
	for range v.Elems() {
		t.Error("the zero Value has an element")
	}
	if (&Doc{}).Root().Exists() {
		t.Error("a Doc that parsed nothing has a root")
	}
	var d Doc
	v.CopyTo(&d)
	if d.Root().Exists() {
		t.Error("the copy of nothing is something")
	}
}

// walk writes v out through its getters alone.
func walk(dst []byte, v Value) []byte {
	switch v.Kind() {
	case String:
		s, _ := v.Text()
		return AppendString(dst, s)
	case Array:
		dst = append(dst, '[')
		first := true
		for e := range v.Elems() {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = walk(dst, e)
		}
		return append(dst, ']')
	case Object:
		dst = append(dst, '{')
		first := true
		for key, e := range v.Members() {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = walk(AppendKey(dst, string(key)), e)
		}
		return append(dst, '}')
	}
	return append(dst, v.Canonical()...)
}

// copies checks that every value below v, copied, says what v says, also when
// v is gone.
func copies(t *testing.T, v Value) {
	t.Helper()
	var d, other Doc
	v.CopyTo(&d)
	want := string(v.Canonical())
	if got := string(d.Bytes()); got != want {
		t.Errorf("the copy of %s is %s", want, got)
	}
	if got := string(walk(nil, d.Root())); got != want {
		t.Errorf("the copy of %s reads %s", want, got)
	}
	d.Root().CopyTo(&other)
	if got := string(walk(nil, other.Root())); got != want {
		t.Errorf("the copy of the copy of %s reads %s", want, got)
	}
	for _, e := range v.Members() {
		copies(t, e)
	}
	for e := range v.Elems() {
		copies(t, e)
	}
}

func TestCopyTo(t *testing.T) {
	for _, c := range canonical {
		copies(t, parse(t, c.in))
	}
	copies(t, parse(t, `{"z\n":{"b\t":["x\ny",{"\"":"\u0001"},"plain"],"a":"\\"},"y":"\n","x\r":[[["\b"]]]}`))
	copies(t, parse(t, knock))

	d, err := Parse([]byte(`{"a":{"b":"\n"}}`))
	if err != nil {
		t.Fatal(err)
	}
	var own Doc
	d.Root().Get("a").CopyTo(&own)
	if err := d.Parse([]byte(`{"overwritten":"\"\"\"\"\"\""}`)); err != nil {
		t.Fatal(err)
	}
	if got, _ := own.Root().Get("b").Text(); got != "\n" {
		t.Errorf("the copy changed with its source: %q", got)
	}
}

func TestQuote(t *testing.T) {
	cases := []struct{ in, want string }{
		{"", `""`},
		{"a\"\\/\b\f\n\r\t\x00\x1f\x7f", `"a\"\\/\b\f\n\r\t\u0000\u001f` + "\x7f\""},
		{"<&>\u2028日😀", "\"<&>\u2028日😀\""},
	}
	for _, c := range cases {
		if got := string(AppendString([]byte("x"), c.in)); got != "x"+c.want {
			t.Errorf("AppendString(%q) = %s, want x%s", c.in, got, c.want)
		}
		if got := string(AppendStringBytes(nil, []byte(c.in))); got != c.want {
			t.Errorf("AppendStringBytes(%q) = %s, want %s", c.in, got, c.want)
		}
		if got := string(AppendKey(nil, c.in)); got != c.want+":" {
			t.Errorf("AppendKey(%q) = %s, want %s:", c.in, got, c.want)
		}
	}
}
