// Package matrix holds the words of the Matrix specification that the rest of
// the host speaks in: identifiers, room versions and the errors of the wire.
// It imports nothing of ours.
//
// An identifier type is only made by its Parse function; a value of it is
// known to follow the grammar.
package matrix
