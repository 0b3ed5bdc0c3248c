package serverkey

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
)

var testTime = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const badKey = "l/O9hxMVKB6Lg+3Hqf0FQQZhVESQcMzbPN1Cz2nM3og="

// seedKey returns a key of its own for each n.
func seedKey(id matrix.KeyID, n byte) *SigningKey {
	return NewSigningKey(id, [32]byte{n})
}

func b64(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }

func publicText(k *SigningKey) string { p := k.Public(); return b64(p[:]) }

// signed returns the object with the signatures of server by the keys.
func signed(t testing.TB, server, object string, keys ...*SigningKey) []byte {
	t.Helper()
	doc, err := canonicaljson.Parse([]byte(object))
	if err != nil {
		t.Fatalf("%s: %v", object, err)
	}
	message := signedBytes(doc.Root())
	var sigs []string
	for _, k := range keys {
		sigs = append(sigs, fmt.Sprintf("%q:%q", k.KeyID(), b64(k.Sign(message))))
	}
	return fmt.Appendf(nil, `{"signatures":{%q:{%s}},%s`, server, strings.Join(sigs, ","), strings.TrimSpace(object)[1:])
}

// TestVector: a document made and signed by another implementation.
func TestVector(t *testing.T) {
	data, err := os.ReadFile("../../testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		ServerKey json.RawMessage `json:"server_key"`
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	doc, err := canonicaljson.Parse(vectors.ServerKey)
	if err != nil {
		t.Fatal(err)
	}
	until := time.UnixMilli(1652262000000)
	got := AppendDocument([]byte("x"), "domain", specKey(t), nil, until)
	if diff := cmp.Diff("x"+string(doc.Bytes()), string(got)); diff != "" {
		t.Errorf("AppendDocument (-want +got):\n%s", diff)
	}
	d, err := ParseDocument("domain", vectors.ServerKey, until.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := d.Keys["ed25519:1"], specKey(t).Public(); got != want || !d.ValidUntil.Equal(until) {
		t.Errorf("got key %x until %v, want %x until %v", got, d.ValidUntil, want, until)
	}
}

// TestCapturedDocuments: what Synapse published.
func TestCapturedDocuments(t *testing.T) {
	data, err := os.ReadFile("../../testdata/synapse-1.160.json")
	if err != nil {
		t.Fatal(err)
	}
	var captures struct {
		VerifyKeys   map[matrix.ServerName]map[matrix.KeyID]string `json:"verify_keys"`
		KeyDocuments map[matrix.ServerName]json.RawMessage         `json:"key_documents"`
	}
	if err := json.Unmarshal(data, &captures); err != nil {
		t.Fatal(err)
	}
	if len(captures.KeyDocuments) < 2 {
		t.Errorf("%d documents, want at least 2", len(captures.KeyDocuments))
	}
	for server, body := range captures.KeyDocuments {
		d, err := ParseDocument(server, body, time.Date(2026, 11, 24, 0, 29, 0, 0, time.UTC))
		if err != nil {
			t.Error(err)
			continue
		}
		for id, text := range captures.VerifyKeys[server] {
			if got, want := d.Keys[id], mustKey(t, text); got != want {
				t.Errorf("%s %s: got %x, want %x", server, id, got, want)
			}
		}
		if got := d.ValidUntil.Sub(d.FetchedAt); got < time.Hour || got > 25*time.Hour {
			t.Errorf("%s: valid for %v, want about a day", server, got)
		}
		_, err = ParseDocument(server+"0", body, testTime)
		if err == nil {
			t.Errorf("%s: accepted for another server", server)
		}
	}
}

func TestParseDocument(t *testing.T) {
	a, b, c := seedKey("ed25519:a", 1), seedKey("ed25519:b", 2), seedKey("ed25519:c", 3)
	keyA := fmt.Sprintf(`"ed25519:a":{"key":%q}`, publicText(a))
	keyB := fmt.Sprintf(`"ed25519:b":{"key":%q}`, publicText(b))
	bad := fmt.Sprintf(`"ed25519:bad":{"key":%q}`, badKey)
	until := testTime.Add(time.Hour).UnixMilli()
	body := func(server, keys, old string, until any) string {
		return fmt.Sprintf(`{"server_name":%q,"verify_keys":{%s},"old_verify_keys":{%s},"valid_until_ts":%v}`, server, keys, old, until)
	}
	plain := body("s.test", keyA, "", until)
	manyKeys := func(n int, format string) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(format, i, publicText(a))
		}
		return strings.Join(list, ",")
	}
	tests := []struct {
		name string
		body []byte
		keys int // -1: refused
		old  int
	}{
		{"plain", signed(t, "s.test", plain, a), 1, 0},
		{"padded key", signed(t, "s.test", strings.Replace(plain, publicText(a), publicText(a)+"=", 1), a), 1, 0},
		{"two keys, two signatures", signed(t, "s.test", body("s.test", keyA+","+keyB, "", until), a, b), 2, 0},
		{"two keys, one signature", signed(t, "s.test", body("s.test", keyA+","+keyB, "", until), b), 2, 0},
		{"old key", signed(t, "s.test", body("s.test", keyA, `"ed25519:b":{"expired_ts":5,"key":"`+publicText(b)+`"}`, until), a), 1, 1},
		{"no old_verify_keys", signed(t, "s.test", fmt.Sprintf(`{"server_name":"s.test","verify_keys":{%s},"valid_until_ts":%d}`, keyA, until), a), 1, 0},
		{"unknown members and unsigned", signed(t, "s.test", `{"unsigned":{"x":1},"x":[{}],`+plain[1:], a), 1, 0},
		{"key of another algorithm", signed(t, "s.test", body("s.test", keyA+`,"rsa:1":{"key":"x"}`, "", until), a), 1, 0},
		{"signature by an unlisted key is not counted", signed(t, "s.test", plain, a, c), 1, 0},
		{"already expired", signed(t, "s.test", body("s.test", keyA, "", 1), a), 1, 0},
		{"unsafe key is left out", signed(t, "s.test", body("s.test", keyA+","+bad, "", until), a), 1, 0},
		{"unsafe old key is left out", signed(t, "s.test", body("s.test", keyA, `"ed25519:b":{"expired_ts":5,"key":"`+badKey+`"}`, until), a), 1, 0},

		{"other server", signed(t, "s.test", body("other.test", keyA, "", until), a), -1, 0},
		{"other case", signed(t, "s.test", body("S.test", keyA, "", until), a), -1, 0},
		{"not signed", []byte(plain), -1, 0},
		{"signed in another name", signed(t, "other.test", plain, a), -1, 0},
		{"signed by an unlisted key only", signed(t, "s.test", plain, c), -1, 0},
		{"signed by an old key only", signed(t, "s.test", body("s.test", keyA, `"ed25519:b":{"expired_ts":5,"key":"`+publicText(b)+`"}`, until), b), -1, 0},
		{"changed after signing", []byte(strings.Replace(string(signed(t, "s.test", plain, a)), fmt.Sprint(until), fmt.Sprint(until+1), 1)), -1, 0},
		{"one good, one wrong signature", signed(t, "s.test", body("s.test", keyA+","+keyB, "", until), a, seedKey("ed25519:b", 9)), -1, 0},
		{"unsafe key only", signed(t, "s.test", body("s.test", bad, "", until), a), -1, 0},
		{"signature no base64", []byte(`{"signatures":{"s.test":{"ed25519:a":"!"}},` + plain[1:]), -1, 0},
		{"signature no string", []byte(`{"signatures":{"s.test":{"ed25519:a":1}},` + plain[1:]), -1, 0},
		{"signatures no object", []byte(`{"signatures":["s.test"],` + plain[1:]), -1, 0},
		{"key too short", signed(t, "s.test", body("s.test", keyA+`,"ed25519:x":{"key":"AAAA"}`, "", until), a), -1, 0},
		{"key URL-safe", signed(t, "s.test", body("s.test", keyA+`,"ed25519:x":{"key":"_`+publicText(a)[1:]+`"}`, "", until), a), -1, 0},
		{"key no object", signed(t, "s.test", body("s.test", keyA+`,"ed25519:x":"AAAA"`, "", until), a), -1, 0},
		{"old key without time", signed(t, "s.test", body("s.test", keyA, keyB, until), a), -1, 0},
		{"no valid_until_ts", signed(t, "s.test", fmt.Sprintf(`{"server_name":"s.test","verify_keys":{%s}}`, keyA), a), -1, 0},
		{"valid_until_ts 0", signed(t, "s.test", body("s.test", keyA, "", 0), a), -1, 0},
		{"valid_until_ts a string", signed(t, "s.test", body("s.test", keyA, "", fmt.Sprintf("%q", fmt.Sprint(until))), a), -1, 0},
		{"verify_keys missing", signed(t, "s.test", fmt.Sprintf(`{"server_name":"s.test","valid_until_ts":%d}`, until), a), -1, 0},
		{"too many keys", signed(t, "s.test", body("s.test", manyKeys(maxKeys+1, `"ed25519:%d":{"key":%q}`), "", until), seedKey("ed25519:0", 1)), -1, 0},
		{"too many old keys", signed(t, "s.test", body("s.test", keyA, manyKeys(maxOldKeys+1, `"ed25519:%d":{"expired_ts":5,"key":%q}`), until), a), -1, 0},
		{"array", []byte(`[]`), -1, 0},
		{"nothing", nil, -1, 0},
		{"not JSON", []byte(`<html>`), -1, 0},
		{"too large", signed(t, "s.test", `{"x":"`+strings.Repeat("x", MaxDocument)+`",`+plain[1:], a), -1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := ParseDocument("s.test", tt.body, testTime)
			if tt.keys < 0 {
				if err == nil || d != nil {
					t.Fatalf("ParseDocument(%.300q) = %+v, %v, want an error alone", tt.body, d, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("ParseDocument(%.300q): %v", tt.body, err)
			}
			if len(d.Keys) != tt.keys || len(d.Old) != tt.old {
				t.Errorf("%d keys and %d old ones, want %d and %d", len(d.Keys), len(d.Old), tt.keys, tt.old)
			}
		})
	}
}

// TestValidityCap: a document that promises the year 3000 is believed for 7 days
// after it was fetched.
func TestValidityCap(t *testing.T) {
	k := seedKey("ed25519:a", 1)
	year3000 := time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)
	for promised, want := range map[time.Time]time.Time{
		year3000:                       testTime.Add(7 * 24 * time.Hour),
		time.UnixMilli(1<<53 - 1):      testTime.Add(7 * 24 * time.Hour),
		testTime.Add(time.Hour):        testTime.Add(time.Hour),
		testTime.Add(-1 * time.Minute): testTime.Add(-1 * time.Minute),
	} {
		d, err := ParseDocument("s.test", AppendDocument(nil, "s.test", k, nil, promised), testTime)
		if err != nil || !d.ValidUntil.Equal(want) {
			t.Errorf("promised %v: %+v, %v, want valid until %v", promised, d, err, want)
		}
	}
}

// TestAppendDocument: what we publish, others can read; old keys are sorted and
// stand once.
func TestAppendDocument(t *testing.T) {
	k, old := seedKey("ed25519:a", 1), seedKey("ed25519:0", 2)
	list := []OldKey{
		{"ed25519:z", old.Public(), testTime},
		{"ed25519:a", old.Public(), testTime}, // the current ID
		{"ed25519:0", old.Public(), testTime.Add(-time.Hour)},
		{"ed25519:z", old.Public(), testTime},
	}
	body := AppendDocument(nil, "s.test:8448", k, list, testTime.Add(time.Hour))
	doc, err := canonicaljson.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(doc.Bytes()), string(body)); diff != "" {
		t.Errorf("not canonical (-want +got):\n%s", diff)
	}
	d, err := ParseDocument("s.test:8448", body, testTime)
	if err != nil {
		t.Fatal(err)
	}
	want := map[matrix.KeyID]OldKey{
		"ed25519:0": {"ed25519:0", old.Public(), testTime.Add(-time.Hour)},
		"ed25519:z": {"ed25519:z", old.Public(), testTime},
	}
	if diff := cmp.Diff(want, d.Old); diff != "" {
		t.Errorf("old keys (-want +got):\n%s", diff)
	}
	if list[0].ID != "ed25519:z" || list[3].ID != "ed25519:z" {
		t.Error("AppendDocument changed its argument")
	}
}

// FuzzParseDocument: a document that is accepted is of the server that was
// asked, has a key, and is not believed beyond 7 days; nothing is returned on
// error.
func FuzzParseDocument(f *testing.F) {
	k := seedKey("ed25519:a", 1)
	f.Add(AppendDocument(nil, "s.test", k, []OldKey{{"ed25519:0", k.Public(), testTime}}, testTime))
	f.Add(signed(f, "s.test", `{"server_name":"s.test","verify_keys":{},"valid_until_ts":1}`, k))
	f.Add([]byte(`{"server_name":"s.test"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := ParseDocument("s.test", body, testTime)
		if err != nil {
			if d != nil {
				t.Fatalf("%+v with error %v", d, err)
			}
			return
		}
		if d.Server != "s.test" || len(d.Keys) == 0 || d.ValidUntil.After(testTime.Add(MaxValidity)) {
			t.Fatalf("ParseDocument(%q) = %+v", body, d)
		}
	})
}

// TestPublisher: at any moment the document promises between an hour and 7 days.
func TestPublisher(t *testing.T) {
	for _, lifetime := range []time.Duration{0, time.Minute, time.Hour, 24 * time.Hour, 365 * 24 * time.Hour} {
		now := testTime.Add(123456 * time.Nanosecond)
		p := NewPublisher("s.test", keys(seedKey("ed25519:a", 1)), lifetime, func() time.Time { return now })
		bodies := map[string]bool{}
		for range 24 * 60 {
			var doc struct {
				ValidUntil int64 `json:"valid_until_ts"`
			}
			body := p.Body()
			bodies[string(body)] = true
			if err := json.Unmarshal(body, &doc); err != nil {
				t.Fatal(err)
			}
			left := time.UnixMilli(doc.ValidUntil).Sub(now)
			if left < MinLifetime || left > MaxValidity {
				t.Fatalf("lifetime %v: promised %v", lifetime, left)
			}
			now = now.Add(time.Minute)
		}
		if most := 25; len(bodies) > most {
			t.Errorf("lifetime %v: signed %d times in a day, want at most %d", lifetime, len(bodies), most)
		}
	}
}
