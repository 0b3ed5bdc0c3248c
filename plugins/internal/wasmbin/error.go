package wasmbin

import "fmt"

// Error says why a binary was refused. A refused binary must not be run.
type Error struct {
	// Offset is where in the binary the fault was seen, in bytes.
	Offset int
	// What names the fault. For a limit it gives the thing counted, the figure
	// and the limit.
	What string
}

func (e *Error) Error() string {
	return fmt.Sprintf("wasm byte %d: %s", e.Offset, e.What)
}
