//go:build !unix

package plugins

import "fmt"

// trustedDir refuses: who owns a directory cannot be told here.
func trustedDir(dir string) error {
	return fmt.Errorf("%s: cannot be checked on this platform; leave the cache in memory", dir)
}
