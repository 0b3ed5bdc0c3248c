package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

func TestMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path)
	makeRoom(t, s, testRoom)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o600 {
			t.Errorf("mode of %q is %o, want 600", suffix, got)
		}
	}
}

func TestReadersCannotWrite(t *testing.T) {
	s := openTest(t)
	if _, err := s.readers.Exec("DELETE FROM rooms"); err == nil {
		t.Error("a reader wrote")
	}
}

// TestOpenRefuses: every failure names the file and what to do, changes no
// file that was there and leaves none that was not.
func TestOpenRefuses(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(t *testing.T, path string)
		want    []string // parts of the error, beside the path
	}{
		{"missing folder", func(t *testing.T, path string) {
			if err := os.Remove(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
		}, []string{"does not exist", "make it"}},
		{"a folder", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, []string{"not a regular file"}},
		{"garbage", func(t *testing.T, path string) { writeFile(t, path, strings.Repeat("garbage ", 1000)) },
			[]string{"not a store", "move it away"}},
		{"a truncated store", func(t *testing.T, path string) {
			s := openAt(t, path)
			makeRoom(t, s, testRoom)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, 8192); err != nil {
				t.Fatal(err)
			}
		}, []string{"not a store", "backup"}},
		{"another program's database", func(t *testing.T, path string) { rawSQL(t, path, "CREATE TABLE t (x)") },
			[]string{"another program", "name another file"}},
		{"a newer schema", func(t *testing.T, path string) {
			if err := openAt(t, path).Close(); err != nil {
				t.Fatal(err)
			}
			rawSQL(t, path, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
		}, []string{"newer version", "99", "backup"}},
		{"locked", func(t *testing.T, path string) {
			if err := openAt(t, path).Close(); err != nil {
				t.Fatal(err)
			}
			db := rawOpen(t, path)
			db.SetMaxOpenConns(1)
			for _, q := range []string{"PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE"} {
				if _, err := db.Exec(q); err != nil {
					t.Fatal(err)
				}
			}
			t.Cleanup(func() { db.Close() })
		}, []string{"locked by another process", "stop that process"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "store.db")
			tt.prepare(t, path)
			before := listing(t, dir)
			s, err := open(context.Background(), path, 20*time.Millisecond)
			if err == nil {
				s.Close()
				t.Fatal("Open took it")
			}
			for _, part := range append(tt.want, path) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error %q does not say %q", err, part)
				}
			}
			if diff := cmp.Diff(before, listing(t, dir)); diff != "" {
				t.Errorf("Open changed the folder (-before +after):\n%s", diff)
			}
		})
	}
}

// TestOpenCancelled: a file that Open made does not outlive its failure.
func TestOpenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := t.TempDir()
	if s, err := Open(ctx, filepath.Join(dir, "store.db")); err == nil {
		s.Close()
		t.Fatal("Open with a cancelled context succeeded")
	}
	if got := listing(t, dir); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

// TestDurability: the settings that durability rests on hold on the connection
// that writes, and a connection that has others is refused.
func TestDurability(t *testing.T) {
	s := openTest(t)
	for name, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
		var got string
		if err := s.writer.conn.QueryRowContext(context.Background(), "PRAGMA "+name).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %s, %v; want %s", name, got, err, want)
		}
	}
	if _, err := openOther(":memory:"); err == nil || !strings.Contains(err.Error(), "journal_mode is memory") {
		t.Errorf("a database without a write-ahead log: %v, want it refused by name", err)
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func rawOpen(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// TestOldMembers: members of before there was a column for it have their
// membership in it.
func TestOldMembers(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "store.db")
	s := openAt(t, path)
	makeRoom(t, s, testRoom)
	for seq, membership := range []string{"join", "knock", "knock", "leave"} {
		a := event(testRoom, int64(seq)+1)
		a.JSON, a.Membership = []byte(`{"content":{"membership":"`+membership+`"}}`), membership
		if err := s.Write(ctx, func(tx *Tx) error { return tx.Append(a) }); err != nil {
			t.Fatal(err)
		}
	}
	check := func(s *Store) {
		t.Helper()
		data, err := s.LoadRoom(ctx, testRoom, 1)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[matrix.ServerName]int64{"there.example": 2}, data.Waiting); diff != "" {
			t.Errorf("waiting (-want +got):\n%s", diff)
		}
	}
	check(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(t.TempDir(), "store.db")
	makeOld(t, old, 4)
	rawSQL(t, old, "ATTACH '"+path+"' AS now; INSERT INTO rooms SELECT * FROM now.rooms; INSERT INTO events SELECT * FROM now.events;"+
		"INSERT INTO room_state SELECT room_id, type, state_key, event_id, position, own FROM now.room_state;"+
		"INSERT INTO extremities SELECT * FROM now.extremities")
	check(openAt(t, old))
}

// makeOld makes an empty store of an older schema.
func makeOld(t testing.TB, path string, version int64) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	p, err := provider(db)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(context.Background(), version); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		t.Fatal(err)
	}
}

func rawSQL(t *testing.T, path, query string) {
	t.Helper()
	db := rawOpen(t, path)
	defer db.Close()
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
}

// listing returns the files of a folder with their content.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			files[e.Name()] = "folder"
			continue
		}
		if strings.HasSuffix(e.Name(), "-shm") {
			continue // SQLite's scratch memory
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(b)
	}
	return files
}
