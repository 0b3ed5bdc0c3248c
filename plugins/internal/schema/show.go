package schema

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxShown = 48 // bytes of a value in a message
	maxWords = 24 // values or names in a message
)

// shown returns a value for a message: as JSON, in one line, shortened, with
// what is not printable escaped.
func shown(v any) string {
	if text, ok := v.(string); ok {
		if len(text) > maxShown {
			return strconv.Quote(cut(text, maxShown)) + "..."
		}
		return strconv.Quote(text)
	}
	text := string(AppendCanonical(nil, v))
	dots := ""
	if len(text) > maxShown {
		text, dots = cut(text, maxShown), "..."
	}
	return printable(text) + dots
}

// printable escapes what is not printable.
func printable(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRune(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}

// cut returns at most n bytes of a text, of whole characters.
func cut(text string, n int) string {
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// oneOf says that one of these values is wanted.
func oneOf(values []any) string {
	if len(values) == 1 {
		return shown(values[0])
	}
	var list []string
	for _, v := range values {
		list = append(list, shown(v))
	}
	return "one of " + words(list)
}

// words joins names for a message, and leaves out those that are too many.
func words(list []string) string {
	switch {
	case len(list) == 0:
		return "none"
	case len(list) > maxWords:
		return strings.Join(list[:maxWords], ", ") + fmt.Sprintf(" and %d more", len(list)-maxWords)
	}
	return strings.Join(list, ", ")
}

// join returns the path of a key. A key that TOML would quote is quoted.
func join(path, key string) string {
	if _, keyword := keywords[key]; !keyword && !plainKey(key) && key != "*" {
		key = shown(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// meant returns a question if a key is nearly one of the names.
func meant(key string, names []string) string {
	best, least := "", 3
	for _, name := range names {
		if d := distance(key, name, least); d < least && d < len(name) {
			best, least = name, d
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "? "
}

// distance returns how many letters must be put in, left out, exchanged or
// swapped with their neighbour to make a into b, or most if it is not less.
func distance(a, b string, most int) int {
	if len(a) > maxKey || len(b) > maxKey || len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	var rows [3][maxKey + 1]int // of i-2, i-1 and i
	for j := range len(b) + 1 {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		row, last, before := &rows[(i+1)%3], &rows[i%3], &rows[(i+2)%3]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return min(rows[(len(a)+1)%3][len(b)], most)
}
