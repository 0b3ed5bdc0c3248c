package xmatrix

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sig86 is a signature whose bytes are all 0xff.
var sig86 = strings.Repeat("/", 85) + "w"

func fullSig() (s [64]byte) {
	for i := range s {
		s[i] = 0xff
	}
	return s
}

func TestParseField(t *testing.T) {
	want := field{"a.test", "b.test", Signature{"ed25519:1", fullSig()}}
	noDest := want
	noDest.destination = ""
	ipv6 := want
	ipv6.origin = "[::1]:8448"
	tests := []struct {
		name, header string
		want         field
		ok           bool
	}{
		{"as Synapse writes it", `X-Matrix origin="a.test",key="ed25519:1",sig="` + sig86 + `",destination="b.test"`, want, true},
		{"any order", `X-Matrix sig="` + sig86 + `",destination="b.test",key="ed25519:1",origin="a.test"`, want, true},
		{"no destination", `X-Matrix origin="a.test",key="ed25519:1",sig="` + sig86 + `"`, noDest, true},
		{"case of scheme and names", `x-mAtRiX ORIGIN="a.test",Key="ed25519:1",sIg="` + sig86 + `",Destination="b.test"`, want, true},
		{"space and tabs", " X-Matrix \t origin=\"a.test\" ,\tkey=\"ed25519:1\"\t,  sig=\"" + sig86 + "\" , destination=\"b.test\" \t", want, true},
		{"space round the equals sign", `X-Matrix origin = "a.test",key= ed25519:1,sig ="` + sig86 + `",destination="b.test"`, want, true},
		{"unquoted", `X-Matrix origin=a.test,key=ed25519:1,sig=` + sig86 + `,destination=b.test`, want, true},
		{"unquoted, padded", `X-Matrix origin=a.test,key=ed25519:1,sig=` + sig86 + `==,destination=b.test`, want, true},
		{"unquoted IPv6 and port", `X-Matrix origin=[::1]:8448,key=ed25519:1,sig=` + sig86 + `,destination=b.test`, ipv6, true},
		{"quoted, padded", `X-Matrix origin="a.test",key="ed25519:1",sig="` + sig86 + `==",destination="b.test"`, want, true},
		{"backslash pairs", `X-Matrix origin="\a.\t\est",key="ed25519\:1",sig="` + sig86 + `",destination="b.test"`, want, true},
		{"unknown parameters", `X-Matrix x=1,origin="a.test",y="a,b=\"c\",origin=d",key="ed25519:1",sig="` + sig86 + `",destination="b.test",z="\\"`, want, true},

		{"no parameters", `X-Matrix`, field{}, false},
		{"no parameters, space", `X-Matrix `, field{}, false},
		{"no origin", `X-Matrix key="ed25519:1",sig="` + sig86 + `"`, field{}, false},
		{"no key", `X-Matrix origin="a.test",sig="` + sig86 + `"`, field{}, false},
		{"no sig", `X-Matrix origin="a.test",key="ed25519:1"`, field{}, false},
		{"signature is not sig", `X-Matrix origin="a.test",key="ed25519:1",signature="` + sig86 + `"`, field{}, false},
		{"origin twice", `X-Matrix origin="a.test",key="ed25519:1",sig="` + sig86 + `",origin="a.test"`, field{}, false},
		{"sig twice in another case", `X-Matrix origin="a.test",key="ed25519:1",sig="` + sig86 + `",SIG="` + sig86 + `"`, field{}, false},
		{"unknown twice", `X-Matrix origin="a.test",key="ed25519:1",sig="` + sig86 + `",x=1,x=1`, field{}, false},
		{"two challenges in one", `X-Matrix origin="a.test",key="ed25519:1",sig="` + sig86 + `", X-Matrix origin="a.test",key="ed25519:1",sig="` + sig86 + `"`, field{}, false},
		{"trailing comma", `X-Matrix origin="a.test",key="ed25519:1",sig="` + sig86 + `",`, field{}, false},
		{"empty element", `X-Matrix origin="a.test",,key="ed25519:1",sig="` + sig86 + `"`, field{}, false},
		{"no comma", `X-Matrix origin="a.test" key="ed25519:1",sig="` + sig86 + `"`, field{}, false},
		{"semicolons", `X-Matrix origin="a.test";key="ed25519:1";sig="` + sig86 + `"`, field{}, false},
		{"empty value", `X-Matrix origin=,key="ed25519:1",sig="` + sig86 + `"`, field{}, false},
		{"empty quotes", `X-Matrix origin="",key="ed25519:1",sig="` + sig86 + `"`, field{}, false},
		{"quote that does not end", `X-Matrix key="ed25519:1",sig="` + sig86 + `",origin="a.test`, field{}, false},
		{"backslash at the end", `X-Matrix key="ed25519:1",sig="` + sig86 + `",origin="a.test\`, field{}, false},
		{"something after a quote", `X-Matrix origin="a.test"x,key="ed25519:1",sig="` + sig86 + `"`, field{}, false},
		{"control character", "X-Matrix origin=\"a.test\",x=\"\x01\",key=\"ed25519:1\",sig=\"" + sig86 + `"`, field{}, false},
		{"control character, escaped", "X-Matrix origin=\"a.test\",x=\"\\\x01\",key=\"ed25519:1\",sig=\"" + sig86 + `"`, field{}, false},
		{"origin no server name", `X-Matrix origin="a test",key="ed25519:1",sig="` + sig86 + `"`, field{}, false},
		{"destination no server name", `X-Matrix origin="a.test",key="ed25519:1",sig="` + sig86 + `",destination="@u:b.test"`, field{}, false},
		{"other algorithm", `X-Matrix origin="a.test",key="rsa:1",sig="` + sig86 + `"`, field{}, false},
		{"key without version", `X-Matrix origin="a.test",key="ed25519:",sig="` + sig86 + `"`, field{}, false},
		{"sig short", `X-Matrix origin="a.test",key="ed25519:1",sig="` + sig86[1:] + `"`, field{}, false},
		{"sig long", `X-Matrix origin="a.test",key="ed25519:1",sig="A` + sig86 + `"`, field{}, false},
		{"sig URL-safe", `X-Matrix origin="a.test",key="ed25519:1",sig="_` + sig86[1:] + `"`, field{}, false},
		{"sig with stray bits", `X-Matrix origin="a.test",key="ed25519:1",sig="` + sig86[:85] + `x"`, field{}, false},
		{"sig padded once", `X-Matrix origin="a.test",key="ed25519:1",sig="` + sig86 + `="`, field{}, false},
		{"too long", `X-Matrix origin="a.test",key="ed25519:1",sig="` + sig86 + `",x="` + strings.Repeat("x", MaxHeader) + `"`, field{}, false},
		{"too many parameters", `X-Matrix origin="a.test",key="ed25519:1",sig="` + sig86 + `"` + manyParams(maxParams), field{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseField(tt.header)
			if (err == nil) != tt.ok || errors.Is(err, errNotXMatrix) {
				t.Fatalf("parseField(%q): error %v, want success %v", tt.header, err, tt.ok)
			}
			if tt.ok && got != tt.want {
				t.Errorf("parseField(%q) = %v, want %v", tt.header, got, tt.want)
			}
		})
	}
	for _, other := range []string{"", "Bearer abc", "Basic eDp5", "X-Matrixx origin=a", `X-Matrix"a"`, "X-Matrix,", `"X-Matrix" origin=a`} {
		if _, err := parseField(other); !errors.Is(err, errNotXMatrix) {
			t.Errorf("parseField(%q): error %v, want another scheme", other, err)
		}
	}
}

func manyParams(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ",x%d=1", i)
	}
	return b.String()
}

// FuzzParseField: what was parsed renders to a header that parses to the same
// and renders the same again; nothing is returned on error.
func FuzzParseField(f *testing.F) {
	for _, s := range []string{
		`X-Matrix origin="a.test",key="ed25519:1",sig="` + sig86 + `",destination="b.test"`,
		"x-matrix\tkey=ed25519:a_1 , sig=" + sig86 + "==, ORIGIN=\"\\[::1]:8448\",x=\"\\\"\"",
		`X-Matrix origin="a.test",origin="b.test"`,
		`X-Matrix`, `Bearer x`, ``, `X-Matrix a="`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseField(s)
		if err != nil {
			if got != (field{}) {
				t.Fatalf("parseField(%q) = %v with error %v", s, got, err)
			}
			return
		}
		rendered := string(got.append(nil))
		again, err := parseField(rendered)
		if err != nil || again != got {
			t.Fatalf("parseField(%q) = %v; rendered %q, parsed as %v, %v", s, got, rendered, again, err)
		}
		if diff := cmp.Diff(rendered, string(again.append(nil))); diff != "" {
			t.Fatalf("rendered twice:\n%s", diff)
		}
	})
}
