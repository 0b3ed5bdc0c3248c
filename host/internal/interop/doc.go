// Package interop holds tests only. In them a Matrix federation client that
// nobody here wrote knocks on rooms of a running "knockgate serve", and another
// JSON Schema says what a schema accepts.
//
// It is a module of its own, so that what it imports stays out of the
// program's dependencies.
package interop
