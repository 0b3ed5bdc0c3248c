package serverkey

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

func TestParseOldKeyFile(t *testing.T) {
	a := publicText(seedKey("ed25519:a", 1))
	line := "ed25519 a " + a + " 1000\n"
	many := func(n int) (text string) {
		for i := range n {
			text += fmt.Sprintf("ed25519 k%d %s 1\n", i, a)
		}
		return text
	}
	tests := []struct {
		name, text string
		keys       int // -1: refused
	}{
		{"empty", "", 0},
		{"one", line, 1},
		{"padded, comments, blank lines, CRLF", "# old\r\n\r\ned25519 a " + a + "= 1000 # 2020\r\n", 1},
		{"two", line + "ed25519 b " + a + " 0\n", 2},
		{"as many as can be published", many(maxOldKeys), maxOldKeys},
		{"compromised", line + "ed25519 b " + badKey + " 1\n", 1},

		{"one more", many(maxOldKeys + 1), -1},
		{"twice", line + line, -1},
		{"a signing key", "ed25519 a " + specSeed + "\n", -1},
		{"other algorithm", "rsa a " + a + " 1\n", -1},
		{"bad version", "ed25519 a-b " + a + " 1\n", -1},
		{"bad key", "ed25519 a " + a[1:] + " 1\n", -1},
		{"no time", "ed25519 a " + a + " soon\n", -1},
		{"negative time", "ed25519 a " + a + " -1\n", -1},
		{"time beyond the wire", "ed25519 a " + a + " 9007199254740992\n", -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			old, err := parseOldKeyFile([]byte(tt.text))
			if tt.keys < 0 {
				if err == nil || old != nil || !strings.Contains(err.Error(), "line") && !strings.Contains(err.Error(), "at most") {
					t.Errorf("got %d keys, %v, want an error that says where", len(old), err)
				}
				return
			}
			if err != nil || len(old) != tt.keys {
				t.Errorf("got %d keys, %v, want %d", len(old), err, tt.keys)
			}
		})
	}
}

// FuzzParseOldKeyFile: what was parsed is written to a file that parses to the
// same keys, none twice; nothing is returned on error.
func FuzzParseOldKeyFile(f *testing.F) {
	a := publicText(seedKey("ed25519:a", 1))
	f.Add([]byte("ed25519 a " + a + " 1000\n# x\ned25519 b " + a + " 0"))
	f.Add([]byte("ed25519 a " + a))
	f.Fuzz(func(t *testing.T, data []byte) {
		old, err := parseOldKeyFile(data)
		if err != nil {
			if old != nil {
				t.Fatalf("%v with error %v", old, err)
			}
			return
		}
		again, err := parseOldKeyFile(formatOldKeys(old))
		if diff := cmp.Diff(old, again); err != nil || diff != "" {
			t.Fatalf("%q: written and parsed: %v (-want +got):\n%s", data, err, diff)
		}
		if _, err := ParseDocument("s.test", AppendDocument(nil, "s.test", seedKey("ed25519:__new", 1), old, testTime), testTime); err != nil {
			t.Fatalf("%q: cannot be published: %v", data, err)
		}
	})
}

// clock returns a time that moves on by a second at each look.
func clock() func() time.Time {
	now := testTime
	return func() time.Time { now = now.Add(time.Second); return now }
}

func rotate(t *testing.T, dir string) *Keyset {
	t.Helper()
	s, err := Rotate(dir, clock())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRotate: the key is another, the one before is an old key until a
// millisecond after it was replaced, and its private half is nowhere.
func TestRotate(t *testing.T) {
	dir := t.TempDir()
	if _, err := Rotate(dir, time.Now); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("Rotate without a key: %v, want that there is no such file", err)
	}
	wantFiles(t, dir)
	own, created, err := OpenOwn(dir, nil)
	if err != nil || !created {
		t.Fatalf("OpenOwn = created %v, %v", created, err)
	}
	first := own.Keys()
	if len(first.Old) != 0 || own.Keys() != first {
		t.Errorf("%d old keys, want none, and the same keys at each look", len(first.Old))
	}
	seed := strings.Fields(string(first.Key.marshal()))[2]

	second := rotate(t, dir)
	want := []OldKey{{first.Key.KeyID(), first.Key.Public(), testTime.Add(2*time.Second + time.Millisecond)}}
	if diff := cmp.Diff(want, second.Old); diff != "" || second.Key.KeyID() == first.Key.KeyID() || second.Key.Public() == first.Key.Public() {
		t.Errorf("after one rotation: key %v after %v, old keys (-want +got):\n%s", second.Key, first.Key, diff)
	}
	third := rotate(t, dir)
	if len(third.Old) != 2 {
		t.Errorf("%d old keys after two rotations, want 2", len(third.Old))
	}
	if got := own.Keys(); got.Key.Public() != third.Key.Public() || len(got.Old) != 2 {
		t.Errorf("the open keys are %v with %d old ones, want %v with 2", got.Key, len(got.Old), third.Key)
	}

	wantFiles(t, dir, OldKeysFile, SigningKeyFile, lockFile)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil || strings.Contains(string(text), seed) {
			t.Errorf("%s holds the private key that was replaced (%v)", e.Name(), err)
		}
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v, want 0600", e.Name(), info.Mode(), err)
		}
	}
}

// TestRotateTwiceAtOnce: of many rotations at once none loses a key.
func TestRotateTwiceAtOnce(t *testing.T) {
	const rotations = 16
	dir := t.TempDir()
	own, _, err := OpenOwn(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := make([]*Keyset, rotations+1)
	seen[rotations] = own.Keys()
	var wg sync.WaitGroup
	for i := range rotations {
		wg.Go(func() {
			s, err := Rotate(dir, time.Now)
			if err != nil {
				t.Error(err)
				return
			}
			seen[i] = s
			own.Keys()
		})
	}
	wg.Wait()
	last := own.Keys()
	known := map[matrix.PublicKey]bool{last.Key.Public(): true}
	for _, o := range last.Old {
		known[o.Key] = true
	}
	for i, s := range seen {
		if s == nil || !known[s.Key.Public()] {
			t.Errorf("the key of rotation %d is lost", i)
		}
	}
	if len(known) != rotations+1 {
		t.Errorf("%d keys, want %d", len(known), rotations+1)
	}
}

// TestRotateEndsHalfway: the key that signs is kept as an old one from before
// it is replaced; a document published then has it as the current one alone,
// and the next rotation puts its end right.
func TestRotateEndsHalfway(t *testing.T) {
	dir := t.TempDir()
	own, _, err := OpenOwn(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	k := own.Keys().Key
	halfway := formatOldKeys([]OldKey{{k.KeyID(), k.Public(), time.UnixMilli(5)}})
	if err := os.WriteFile(filepath.Join(dir, OldKeysFile), halfway, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := ParseDocument("s.test", NewPublisher("s.test", own.Keys, time.Hour, nil).Body(), time.Now())
	if err != nil || len(d.Keys) != 1 || len(d.Old) != 0 {
		t.Errorf("published %+v, %v, want the current key alone", d, err)
	}
	s := rotate(t, dir)
	if len(s.Old) != 1 || s.Old[0].ID != k.KeyID() || !s.Old[0].ExpiredAt.After(testTime) {
		t.Errorf("old keys %+v, want %v with the end of this rotation", s.Old, k)
	}
}

// TestRotateRefuses: a faulty file stops a rotation, and nothing changes.
func TestRotateRefuses(t *testing.T) {
	full := make([]OldKey, maxOldKeys)
	for i := range full {
		full[i] = OldKey{matrix.KeyID(fmt.Sprintf("ed25519:k%d", i)), seedKey("", 1).Public(), testTime}
	}
	for name, files := range map[string]map[string]string{
		"old keys faulty":   {OldKeysFile: "hello\n"},
		"old keys full":     {OldKeysFile: string(formatOldKeys(full))},
		"signing key empty": {SigningKeyFile: ""},
	} {
		dir := t.TempDir()
		if _, _, err := OpenOwn(dir, nil); err != nil {
			t.Fatal(err)
		}
		for file, text := range files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before := contents(t, dir)
		if s, err := Rotate(dir, time.Now); err == nil || s != nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: Rotate = %v, %v, want an error that names the file", name, s, err)
		}
		after := contents(t, dir)
		delete(after, lockFile)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s: the files have changed (-before +after):\n%s", name, diff)
		}
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(text)
	}
	return out
}

// TestOwnFilesGoWrong: keys that were good stay in use, the log says so once for
// each change, and good files are taken up again.
func TestOwnFilesGoWrong(t *testing.T) {
	dir := t.TempDir()
	var log strings.Builder
	own, _, err := OpenOwn(dir, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	first := own.Keys()
	path := filepath.Join(dir, SigningKeyFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() error{
		"not a key":         func() error { return os.WriteFile(path, []byte("hello, this is no key\n"), 0o600) },
		"gone":              func() error { return os.Remove(path) },
		"writable by all":   func() error { return os.Chmod(path, 0o606) },
		"old keys no keys":  func() error { return os.WriteFile(filepath.Join(dir, OldKeysFile), []byte("x\n"), 0o600) },
		"a folder in place": func() error { _ = os.Remove(path); return os.Mkdir(path, 0o700) },
	} {
		log.Reset()
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if got := own.Keys(); got.Key.Public() != first.Key.Public() {
				t.Errorf("%s: key %v, want the one before", name, got.Key)
			}
		}
		if got := strings.Count(log.String(), "level=ERROR"); got != 1 {
			t.Errorf("%s: %d errors in the log, want 1:\n%s", name, got, &log)
		}
		_ = os.Remove(path)
		_ = os.Remove(filepath.Join(dir, OldKeysFile))
		if err := replaceFile(path, good); err != nil {
			t.Fatal(err)
		}
		own.Keys()
	}
	next := rotate(t, dir)
	if got := own.Keys(); got.Key.Public() != next.Key.Public() {
		t.Errorf("key %v after all, want %v", got.Key, next.Key)
	}
}

func replaceFile(path string, data []byte) error {
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// TestCompromisedOwnKey: a server does not start on a key that others know; a
// rotation replaces it and does not publish it as an old one.
func TestCompromisedOwnKey(t *testing.T) {
	dir := t.TempDir()
	k := specKey(t)
	compromise(t, k)
	if err := os.WriteFile(filepath.Join(dir, SigningKeyFile), k.marshal(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := OpenOwn(dir, nil); err == nil || !strings.Contains(err.Error(), "key rotate") {
		t.Errorf("OpenOwn: %v, want an error that says what to do", err)
	}
	if _, _, err := LoadOrCreate(filepath.Join(dir, SigningKeyFile)); err == nil {
		t.Error("LoadOrCreate: got nil, want an error")
	}
	s := rotate(t, dir)
	if len(s.Old) != 0 || s.Key.Public() == k.Public() {
		t.Errorf("after the rotation: key %v, old keys %v, want another key and none", s.Key, s.Old)
	}
}

// compromise puts a key on the list for one test.
func compromise(t *testing.T, k *SigningKey) {
	t.Helper()
	before := compromised
	compromised = func(p matrix.PublicKey) bool { return p == k.Public() || before(p) }
	t.Cleanup(func() { compromised = before })
}

// TestRotateKeepsOwner: root rotates for the user that the server runs as.
func TestRotateKeepsOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs to be root to give files away")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, SigningKeyFile)
	if _, _, err := LoadOrCreate(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 4321, 4322); err != nil {
		t.Skip(err)
	}
	rotate(t, dir)
	for _, name := range []string{SigningKeyFile, OldKeysFile, lockFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := owner(info); got != "4321:4322" {
			t.Errorf("%s belongs to %s, want 4321:4322", name, got)
		}
	}
}

// owner returns the user and group of a file, on a system that has them.
func owner(info fs.FileInfo) string {
	sys := reflect.ValueOf(info.Sys()).Elem()
	return fmt.Sprintf("%d:%d", sys.FieldByName("Uid").Uint(), sys.FieldByName("Gid").Uint())
}
