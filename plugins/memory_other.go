//go:build !linux

package plugins

import (
	"bytes"

	"github.com/tetratelabs/wazero/experimental"
)

// picture is memory as it was after configure.
type picture struct{ bytes []byte }

func newPicture(b []byte) *picture { return &picture{bytes.Clone(b)} }

func (p *picture) free() {}

// mapping would be memory that knows its written pages; there is none here.
type mapping struct{ experimental.MemoryAllocator }

func newMapping() *mapping { return nil }

func (m *mapping) free() {}

func (m *mapping) lay(*picture) (bool, error) { return false, nil }

func (m *mapping) undo(*picture) error { panic("plugins: nothing is laid on a picture here") }
