//go:build !linux

package plugins

import (
	"context"
	"errors"
)

// canBoundChild says whether this platform has the limits of [Compiler].
const canBoundChild = false

var errNoLimits = errors.New("compiling in a child process needs Linux")

func boundSelf(compileOrder) error { return errNoLimits }

func ours(error) bool { return false }

func (c *compiler) runChild(context.Context, string, []byte, uint32) error { return errNoLimits }
