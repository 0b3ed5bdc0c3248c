package plugins

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
)

const (
	maxWidth     = 512      // the largest width or precision of a verb of sprintf
	maxFormatted = 64 << 10 // what sprintf may make, before its result is measured
)

// regoSprintf formats as fmt does: texts as they are, numbers as whole or
// floating ones, and other values as Rego writes them.
func regoSprintf(g *guestState, dst []byte, operands [][]byte) ([]byte, bool) {
	format, ok := regoString(operands[0])
	items, isList := regoItems(operands[1])
	if !ok || !isList || operands[1][0] != '[' {
		return dst, false
	}
	args, most, ok := sprintfArgs(format, items)
	if !ok {
		return dst, false
	}
	if most > maxFormatted {
		panic(guestError(fmt.Sprintf("sprintf: the result may have %d bytes; at most %d", most, maxFormatted)))
	}
	g.charge(uint64(most) / bytesOfTick)
	return appendJSONText(dst, fmt.Appendf(nil, format, args...)), true
}

// sprintfArgs returns what fmt is given for the items of a list, and the most
// that a format can make of it.
func sprintfArgs(format string, items [][]byte) (args []any, most int, ok bool) {
	args, ok = make([]any, len(items)), true
	longest, rest := 0, 0
	for i, item := range items {
		longest, rest = max(longest, len(item)), rest+len(item)+32
		if args[i], ok = sprintfArg(item); !ok {
			return nil, 0, false
		}
	}
	// Operands that no verb takes are listed at the end.
	return args, len(format) + sprintfRoom(format, longest) + rest + 32, true
}

// sprintfArg returns what fmt is given for a value.
func sprintfArg(b []byte) (arg any, ok bool) {
	switch {
	case len(b) == 0:
		return nil, false
	case b[0] == '"':
		return regoString(b)
	case b[0] != '-' && (b[0] < '0' || b[0] > '9'):
		return string(b), true
	case bytes.ContainsAny(b, ".eE"):
		f, err := strconv.ParseFloat(string(b), 64)
		return f, err == nil
	}
	if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
		return n, true
	}
	n, ok := new(big.Int).SetString(string(b), 10)
	return n, ok
}

// sprintfRoom returns the most that the verbs of a format can make of operands
// of at most longest bytes. It ends the call for a width or a precision that is
// too large, or that is taken from an operand.
func sprintfRoom(format string, longest int) (room int) {
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		number, plain, index := 0, true, false
		verb := byte(0)
		for i++; i < len(format) && verb == 0; i++ {
			switch c := format[i]; {
			case c == '*':
				panic(guestError("sprintf: a width of *; write the number into the format"))
			case c == '[' || c == ']':
				index = c == '['
			case index:
			case '0' <= c && c <= '9':
				if number = number*10 + int(c-'0'); number > maxWidth {
					panic(guestError(fmt.Sprintf("sprintf: a width or precision above %d", maxWidth)))
				}
				room += number
			case c == '.':
				number = 0
			case c == '+' || c == '-' || c == '#' || c == ' ':
				plain = false
			default:
				verb = c
			}
		}
		i--
		switch {
		case plain && (verb == 's' || verb == 'v' || verb == 'd'):
			room += longest + 40 // which has room for %!d(string=...)
		default: // quoted, in hexadecimal, in binary; a floating number in full
			room += 5*longest + 400
		}
	}
	return room
}

// appendJSONText appends a JSON string. What is no UTF-8 is replaced.
func appendJSONText(dst, text []byte) []byte {
	quoted, _ := json.Marshal(string(text)) // a string never fails
	return append(dst, quoted...)
}
