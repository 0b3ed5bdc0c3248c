// Package policylist keeps the lists that policies may ask: it reads their files
// again when they change, and fetches those that have a URL or are the rules of a
// policy room.
package policylist

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/knockgate/knockgate/host/internal/config"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/plugins"
)

// Options is where lists come from.
type Options struct {
	Lists []config.List
	// Rooms tells of the rooms that are lists; nil if none is, or Offline.
	Rooms Rooms
	// Dir is the folder for copies of what was fetched. It is made when needed.
	Dir string
	// Offline takes the copies only: a list without one is empty. It is for commands
	// that look.
	Offline bool
	Log     *slog.Logger
}

// Lists are the configured lists. They are safe for concurrent use.
type Lists struct {
	log   *slog.Logger
	lists map[string]*list // never changed
	rest  time.Duration    // minRest; a test's own
}

// origin is where a list is fetched from. It keeps the last good copy.
type origin interface {
	// load returns the list of the copy. It fails with fs.ErrNotExist where there is
	// none.
	load() (*set, error)
	// fetch returns the list as it is now, once it is checked and the copy is replaced;
	// errUnchanged if it is as it was.
	fetch(ctx context.Context) (*set, error)
}

type list struct {
	name   string
	file   string
	source origin // nil for a list of a file
	every  time.Duration
	room   matrix.RoomID // "" unless it is one
	// changed holds a token when the room has; nil unless it is one.
	changed chan struct{}
	set     atomic.Pointer[set]
	stale   atomic.Bool // the file, URL or room had no list the last time
}

// Status is what a list holds at the moment.
type Status struct {
	Name    string
	Entries int
	// Modified is the time of the file that was read, or when the URL or room last had
	// this.
	Modified time.Time
	// Stale says that the file has since changed into one that could not be read, or
	// that the URL or room gave no list the last time.
	Stale bool
}

// Status returns what each list holds, in the order of their names.
func (l *Lists) Status() []Status {
	list := make([]Status, 0, len(l.lists))
	for _, name := range slices.Sorted(maps.Keys(l.lists)) {
		one := l.lists[name]
		s := one.set.Load()
		list = append(list, Status{Name: name, Entries: s.entries, Modified: s.modified, Stale: one.stale.Load()})
	}
	return list
}

// Open reads all lists. It fails if a file cannot be read, or if a list that is
// fetched has no copy yet and cannot be fetched; where it has one, that is taken, and
// [Lists.Watch] fetches it.
func Open(ctx context.Context, o Options) (*Lists, error) {
	l := &Lists{log: o.Log, lists: map[string]*list{}, rest: minRest}
	client := newClient()
	for _, c := range o.Lists {
		one := &list{name: c.Name, file: c.File, every: c.Every, room: c.Room}
		copyFile := filepath.Join(o.Dir, c.Name+".txt")
		switch {
		case c.URL != nil:
			one.source = &source{url: c.URL, client: client, copy: copyFile}
		case c.Room != "":
			one.source = &roomSource{name: c.Name, room: c.Room, rooms: o.Rooms, copy: copyFile, log: o.Log}
			one.changed = make(chan struct{}, 1)
		}
		s, err := one.open(ctx, o.Offline)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", c.Name, err)
		}
		one.set.Store(s)
		l.lists[c.Name] = one
	}
	return l, nil
}

func (one *list) open(ctx context.Context, offline bool) (*set, error) {
	if one.source == nil {
		return read(one.file)
	}
	s, err := one.source.load()
	switch {
	case err == nil:
		return s, nil
	case offline && errors.Is(err, fs.ErrNotExist):
		return &set{}, nil
	case offline:
		return nil, err
	}
	s, fetchErr := one.source.fetch(ctx)
	if fetchErr != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(fetchErr, err)
	}
	return s, fetchErr
}

// Of returns lists with these entries, by name, in the form that the lines of a file
// have. It fails, naming the list, if an entry is no entry.
func Of(entries map[string][]string) (*Lists, error) {
	l := &Lists{log: slog.New(slog.DiscardHandler), lists: map[string]*list{}}
	for name, lines := range entries {
		s, err := parse([]byte(strings.Join(lines, "\n")))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		one := &list{}
		one.set.Store(s)
		l.lists[name] = one
	}
	return l, nil
}

// Has reports whether a list holds key, and whether there is such a list. It
// implements plugins.Lists.
func (l *Lists) Has(name, key []byte) (has, known bool) {
	one, known := l.lists[string(name)]
	return known && one.set.Load().has(key), known
}

// Forget has the lists that a room is fetched anew, as when its state has changed.
func (l *Lists) Forget(room matrix.RoomID) {
	for _, one := range l.lists {
		if one.changed == nil || one.room != room {
			continue
		}
		select {
		case one.changed <- struct{}{}:
		default: // it is known already
		}
	}
}

// Watch reads lists again when their files change, unless watchFiles is false, and
// fetches those with a URL or a room at once and then as often as configured, until
// ctx is done. What is faulty, or cannot be fetched, leaves its list as it is.
func (l *Lists) Watch(ctx context.Context, watchFiles bool) error {
	group, ctx := errgroup.WithContext(ctx)
	var paths []string
	for _, one := range l.lists {
		if one.source == nil {
			paths = append(paths, one.file)
			continue
		}
		group.Go(func() error {
			l.fetchAgain(ctx, one)
			return nil
		})
	}
	if watchFiles && len(paths) > 0 {
		group.Go(func() error { return plugins.Watch(ctx, paths, l.Reload) })
	}
	return group.Wait()
}

// minRest is the least time between two fetches of a room whose changes are told.
const minRest = time.Second

// fetchAgain fetches a list at once and then every while, and when its room has
// changed, until ctx is done.
func (l *Lists) fetchAgain(ctx context.Context, one *list) {
	every := time.NewTicker(one.every)
	defer every.Stop()
	for {
		began := time.Now()
		s, err := one.source.fetch(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errUnchanged):
			same := *one.set.Load()
			same.modified = time.Now()
			l.swap(one, &same)
		case err == nil:
			l.swap(one, s)
		default:
			one.stale.Store(true)
			l.log.Error("list not fetched; it stays as it was", "list", one.name, "err", err)
		}
		if one.changed != nil {
			// Who changes the room again and again has it fetched half of the time.
			select {
			case <-ctx.Done():
				return
			case <-time.After(max(l.rest, time.Since(began))):
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		case <-one.changed:
		}
	}
}

// Reload reads all files again. Lists that are fetched have their own times.
func (l *Lists) Reload() {
	for name, one := range l.lists {
		if one.source != nil {
			continue
		}
		s, err := read(one.file)
		if err != nil {
			one.stale.Store(true)
			l.log.Error("list not read; it stays as it was", "list", name, "err", err)
			continue
		}
		l.swap(one, s)
	}
}

func (l *Lists) swap(one *list, s *set) {
	one.stale.Store(false)
	if old := one.set.Swap(s); old.text != s.text {
		l.log.Info("list read", "list", one.name, "entries", s.entries)
	}
}
