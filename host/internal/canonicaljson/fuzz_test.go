package canonicaljson

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
)

// FuzzParse: what Parse takes, encoding/json takes too; the canonical form
// decodes to the same value there, is taken by Parse and is its own canonical
// form; and the getters and copies read it. What encoding/json refuses, Parse
// calls no JSON, unless it refused it as too strict before it got that far.
func FuzzParse(f *testing.F) {
	for _, c := range canonical {
		f.Add([]byte(c.in))
	}
	f.Add([]byte(knock))
	f.Add([]byte(`{"b":[{"a":1,"a":2}],"c":-0}`))
	f.Add([]byte(`{"z\n":{"b\t":["x\ny",{"\"":"\u0001"},"plain"],"a":"\\"},"y":"\n","x\r":[[["\b"]]]}`))
	f.Add([]byte("[\"\xed\xa0\x80\",\"\\ud800\"]"))
	f.Fuzz(func(t *testing.T, src []byte) {
		var d Doc
		err := d.Parse(src)
		if err != nil {
			if d.Root().Exists() || d.Bytes() != nil {
				t.Fatalf("Parse(%q) failed and left %q", src, d.Bytes())
			}
			var syntax *SyntaxError
			if errors.As(err, &syntax) && json.Valid(src) && bytes.ToValidUTF8(src, nil) != nil && len(bytes.ToValidUTF8(src, nil)) == len(src) {
				t.Fatalf("Parse(%q): %v; encoding/json takes it", src, err)
			}
			return
		}
		want, ok := decode(src)
		if !ok {
			t.Fatalf("Parse takes %q, encoding/json does not", src)
		}
		if got, ok := decode(d.Bytes()); !ok || !reflect.DeepEqual(got, want) {
			t.Fatalf("Parse(%q) became %q: %v, want %v", src, d.Bytes(), got, want)
		}
		if len(d.Bytes()) > len(src) {
			t.Fatalf("Parse(%q) became longer: %q", src, d.Bytes())
		}
		again, err := Parse(d.Bytes())
		if err != nil || !bytes.Equal(again.Bytes(), d.Bytes()) {
			t.Fatalf("the canonical form %q of %q is not: %v", d.Bytes(), src, err)
		}
		if got := walk(nil, d.Root()); !bytes.Equal(got, d.Bytes()) {
			t.Fatalf("the getters of %q read %q", d.Bytes(), got)
		}
		var own Doc
		for _, v := range d.Root().Members() {
			v.CopyTo(&own)
			if got := walk(nil, own.Root()); !bytes.Equal(got, v.Canonical()) {
				t.Fatalf("the copy of %q reads %q", v.Canonical(), got)
			}
		}
	})
}

// decode returns what encoding/json makes of src, numbers as their digits.
func decode(src []byte) (v any, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(src))
	dec.UseNumber()
	err := dec.Decode(&v)
	return v, err == nil && json.Valid(src)
}
