package main

import (
	"fmt"
	"regexp"
)

// A version of semantic versioning without build metadata, which a Debian version
// has no place for.
var versionGrammar = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z]+(\.[0-9A-Za-z]+)*)?$`)

// checkVersion returns an error unless version can name packages.
func checkVersion(version string) error {
	if !versionGrammar.MatchString(version) {
		return fmt.Errorf("version %q; must be like 1.2.3 or 1.2.3-rc.1", version)
	}
	return nil
}
