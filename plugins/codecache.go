package plugins

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
)

// maxCode bounds the files of native code in a cache, together. A Go policy is
// 7 MB, the largest module that a child may make 256 MiB.
const maxCode = 512 << 20

// sparedTime is how long code is safe from being thrown out after it was used,
// so that no load loses what it has just had made.
const sparedTime = time.Minute

const jobPrefix = "job-"

// codeCache is the folder of native code that child processes fill:
//
//	wazero-<version>/<key>  native code, as wazero reads it
//	<digest>                a link there, for each module that was compiled to its end
//	job-*                   where a child works
//
// Processes may share it: everything comes by a rename, and what another has
// removed is made anew.
type codeCache struct {
	dir       string
	version   string // wazero's folder
	temporary bool   // close removes dir
	max       int64  // maxCode, but in tests
}

// openCodeCache returns the cache in dir, or in a temporary folder if that is
// "". Jobs that another process has left there are removed once they are older
// than stale.
func openCodeCache(dir string, stale time.Duration) (_ *codeCache, err error) {
	c := &codeCache{dir: dir, max: maxCode}
	if dir == "" {
		if c.dir, err = os.MkdirTemp("", "knockgate-compiled-"); err != nil {
			return nil, err
		}
		c.temporary = true
	} else if c.dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if err := trustedDir(c.dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), jobPrefix) && time.Since(info.ModTime()) > stale {
			c.endJob(filepath.Join(c.dir, e.Name()))
		}
	}
	c.version, err = c.findVersion()
	return c, err
}

// findVersion returns the name of wazero's folder, by having it make one.
func (c *codeCache) findVersion() (string, error) {
	dir, err := c.newJob()
	if err != nil {
		return "", err
	}
	defer c.endJob(dir)
	if _, err := wazero.NewCompilationCacheWithDir(dir); err != nil {
		return "", err
	}
	made, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	if len(made) != 1 {
		return "", fmt.Errorf("%s: wazero made %d folders, not one", dir, len(made))
	}
	return made[0].Name(), nil
}

// close removes a temporary cache.
func (c *codeCache) close() error {
	if !c.temporary {
		return nil
	}
	return os.RemoveAll(c.dir)
}

// newJob makes a folder for a child. It fails if the cache can no longer be
// trusted.
func (c *codeCache) newJob() (dir string, err error) {
	if err := trustedDir(c.dir); err != nil {
		return "", fmt.Errorf("cache of compiled modules: %w", err)
	}
	return os.MkdirTemp(c.dir, jobPrefix)
}

// endJob removes a child's folder. What cannot be removed now goes at a later
// start.
func (c *codeCache) endJob(dir string) { _ = os.RemoveAll(dir) }

// has says whether the code of a module is there, and notes that it is used.
func (c *codeCache) has(name string) bool {
	now := time.Now()
	return os.Chtimes(filepath.Join(c.dir, name), now, now) == nil // of what the link leads to
}

// keep takes over what a child has made of a module in its folder.
func (c *codeCache) keep(job, name string) error {
	made, err := fs.Glob(os.DirFS(job), "*/*")
	if err != nil || len(made) != 1 {
		return fmt.Errorf("the compiling process made %d files of code, not one", len(made))
	}
	version, key := filepath.Split(made[0])
	if version = filepath.Clean(version); version != c.version {
		return fmt.Errorf("the compiling process made code for %q, and this program runs %q: it was replaced by another version; restart it", version, c.version)
	}
	from, to := filepath.Join(job, version, key), filepath.Join(version, key)
	if info, err := os.Lstat(from); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: made by the compiling process, and not a file", from)
	}
	if err := os.MkdirAll(filepath.Join(c.dir, version), 0o700); err != nil {
		return err
	}
	if err := os.Rename(from, filepath.Join(c.dir, to)); err != nil {
		return err
	}
	c.bound()
	link := filepath.Join(c.dir, name)
	_ = os.Remove(link)
	if err := os.Symlink(to, link); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// drop removes a module's code.
func (c *codeCache) drop(name string) {
	link := filepath.Join(c.dir, name)
	if to, err := os.Readlink(link); err == nil && filepath.IsLocal(to) {
		_ = os.Remove(filepath.Join(c.dir, to))
	}
	_ = os.Remove(link)
}

// bound removes what was not used for longest until the rest has at most max
// bytes, and links that lead nowhere.
func (c *codeCache) bound() {
	type file struct {
		path string
		info fs.FileInfo
	}
	var files []file
	var size int64
	root := os.DirFS(c.dir)
	names, _ := fs.Glob(root, "wazero-*/*")
	for _, name := range names {
		path := filepath.Join(c.dir, name)
		if info, err := os.Lstat(path); err == nil {
			size += info.Size()
			files = append(files, file{path, info})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return a.info.ModTime().Compare(b.info.ModTime()) })
	for _, f := range files {
		if size > c.max && time.Since(f.info.ModTime()) > sparedTime && os.Remove(f.path) == nil {
			size -= f.info.Size()
		}
	}
	entries, _ := os.ReadDir(c.dir)
	for _, e := range entries {
		path := filepath.Join(c.dir, e.Name())
		if _, err := os.Stat(path); e.Type() == fs.ModeSymlink && errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(path)
		}
	}
}
