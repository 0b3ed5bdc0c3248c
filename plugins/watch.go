package plugins

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// watchQuiet is how long nothing may happen before a change is told:
	// editors and builds write in several steps.
	watchQuiet = 200 * time.Millisecond
	// watchPatience is after how long a change is told though it goes on.
	watchPatience = 2 * time.Second
	// watchPoll is how often the files are looked at regardless of
	// notifications, which network file systems and some containers do not give.
	watchPoll = 5 * time.Second
)

// Watch calls changed once it watches, since what was read before may have
// changed meanwhile, and again when one of the files at paths is written,
// replaced, made or removed, until ctx is done. It returns once changed is not
// running any more. Changes close together are one call. A path need not
// exist, nor need its folder.
//
// It watches the folders, so that a file replaced by a rename is seen, and
// looks at the files every few seconds besides, so that it also works where the
// system gives no notifications. It returns an error if there is nothing to
// watch.
func Watch(ctx context.Context, paths []string, changed func()) error {
	return watcher{quiet: watchQuiet, patience: watchPatience, poll: watchPoll, notify: true, begin: true}.run(ctx, paths, changed)
}

// watcher is Watch with its times.
type watcher struct {
	quiet, patience, poll time.Duration
	notify                bool          // use notifications, where the system has them
	started               chan struct{} // closed when no change is missed any more; may be nil
	begin                 bool          // call changed then
}

func (w watcher) run(ctx context.Context, paths []string, changed func()) error {
	if len(paths) == 0 {
		return errors.New("no files to watch")
	}
	watched := files{}
	for _, p := range paths {
		watched[filepath.Clean(p)] = fileState{}
	}
	var events chan fsnotify.Event
	var faults chan error
	follow := func() {}
	if w.notify {
		// Without notifications, because the system has too many or none, the
		// slow look is what is left.
		if n, err := fsnotify.NewWatcher(); err == nil {
			defer n.Close()
			events, faults = n.Events, n.Errors
			follow = func() { watched.follow(n) }
		}
	}
	follow()
	watched.look() // after the subscription, so that nothing falls between
	if w.started != nil {
		close(w.started)
	}
	if w.begin {
		changed()
	}

	poll := time.NewTicker(w.poll)
	defer poll.Stop()
	fire := time.NewTimer(w.quiet)
	fire.Stop()
	defer fire.Stop()
	var since time.Time // when the first change not yet told was seen
	for {
		different := false
		select {
		case <-ctx.Done():
			return nil
		case ev := <-events:
			_, ours := watched[filepath.Clean(ev.Name)]
			different = ours && ev.Op != fsnotify.Chmod || watched.differ()
		case <-faults: // such as too many events: some are lost
			different = watched.differ()
		case <-poll.C:
			follow()
			// A change that is about to be told must not wait for another look.
			different = since.IsZero() && watched.differ()
		case <-fire.C:
			since = time.Time{}
			watched.look()
			changed()
		}
		if different {
			now := time.Now()
			if since.IsZero() {
				since = now
			}
			fire.Reset(max(0, min(w.quiet, w.patience-now.Sub(since))))
		}
	}
}

// files is what was last seen of each watched file, by its clean path.
type files map[string]fileState

// fileState tells one version of a file from another without reading it. The
// zero value is a file that is not there.
type fileState struct {
	info os.FileInfo
}

func (s fileState) same(t fileState) bool {
	if s.info == nil || t.info == nil {
		return s.info == nil && t.info == nil
	}
	return os.SameFile(s.info, t.info) && s.info.Size() == t.info.Size() &&
		s.info.Mode() == t.info.Mode() && s.info.ModTime().Equal(t.info.ModTime())
}

func stateOf(path string) fileState {
	// Stat follows symbolic links: some deployments swap a link further up.
	info, err := os.Stat(path)
	if err != nil {
		return fileState{}
	}
	return fileState{info}
}

func (f files) look() {
	for path := range f {
		f[path] = stateOf(path)
	}
}

func (f files) differ() bool {
	for path, was := range f {
		if !stateOf(path).same(was) {
			return true
		}
	}
	return false
}

// follow subscribes to the folders that are there. Adding one again does no
// harm, and is what a folder needs that was removed and made anew.
func (f files) follow(n *fsnotify.Watcher) {
	for path := range f {
		_ = n.Add(filepath.Dir(path))
	}
}
