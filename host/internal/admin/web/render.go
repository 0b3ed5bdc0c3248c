package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/knockgate/knockgate/host/internal/admin"
)

// section is a page that the navigation names.
type section struct{ Path, Name string }

var sections = []section{
	{"/", "Overview"}, {"/decisions", "Decisions"}, {"/policies", "Policies"}, {"/knocks", "Knocks"}, {"/playground", "Playground"},
}

// page is what the frame of each page needs.
type page struct {
	Title string
	// Section is the path of the navigation's link that is this page or above it.
	Section string
	Form    string // the session's, "" for who is not logged in
	Data    any
}

// Sections returns what the navigation names.
func (page) Sections() []section { return sections }

// pages are the parsed templates, by name.
type pages struct{ set map[string]*template.Template }

func newPages() *pages {
	p := &pages{set: map[string]*template.Template{}}
	frame := template.Must(template.New("").Funcs(functions).ParseFS(files, "templates/frame.html", "templates/parts.html"))
	for _, name := range []string{"error", "login", "overview", "decisions", "decision", "policies", "confirm", "changed", "knocks", "playground"} {
		p.set[name] = template.Must(template.Must(frame.Clone()).ParseFS(files, "templates/"+name+".html"))
	}
	return p
}

// write answers with a page. A template that fails is our fault and leaves no half
// page behind.
func (p *pages) write(v *visit, status int, name string, content page) {
	content.Form = v.session.form
	var b bytes.Buffer
	if err := p.set[name].ExecuteTemplate(&b, "frame", content); err != nil {
		http.Error(v.w, "the page cannot be shown: "+err.Error(), http.StatusInternalServerError)
		return
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(b.Bytes())
}

// part renders one part of a page.
func (p *pages) part(page, name string, data any) (string, error) {
	var b strings.Builder
	err := p.set[page].ExecuteTemplate(&b, name, data)
	return b.String(), err
}

var functions = template.FuncMap{
	"text":    func(s string) template.HTML { return shown(s, 300) },
	"long":    func(s string) template.HTML { return shown(s, 4000) },
	"short":   func(s string) template.HTML { return shown(s, 80) },
	"words":   func(list []string) template.HTML { return shown(strings.Join(list, ", "), 1000) },
	"json":    shownJSON,
	"at":      func(t time.Time) string { return t.Local().Format(time.DateTime) },
	"stamp":   func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
	"micros":  func(n int64) string { return (time.Duration(n) * time.Microsecond).String() },
	"digest":  func(s string) template.HTML { return shown(s[:min(len(s), 12)], 12) },
	"default": orDefault,
	"verdict": newVerdict,
	"counts":  counts,
	"dict":    func(form string, data any) map[string]any { return map[string]any{"Form": form, "Data": data} },
	"bytes":   size,
	"quoted":  strconv.QuoteToASCII,
	"plain":   plain,
}

// plain leaves out of a text, for a field to write in, what cannot be seen.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
}

func orDefault(policy string) string {
	if policy == "" {
		return "default"
	}
	return policy
}

func size(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}

// verdict is a verdict with the sign that it has beside its colour.
type verdict struct{ Word, Sign, Class, Fault string }

func newVerdict(word, fault string) verdict {
	v := verdict{Word: word, Sign: "?", Class: "other", Fault: fault}
	switch word {
	case "allow":
		v.Sign, v.Class = "✓", "allow"
	case "deny":
		v.Sign, v.Class = "✕", "deny"
	case "incompatible":
		v.Sign, v.Class = "≠", "incompatible"
	case "pass":
		v.Sign, v.Class = "→", "other"
	case "":
		v.Word = "no verdict"
	}
	return v
}

// count is how often something was so.
type count struct {
	Name  string
	Count int64
}

// counts returns what is in m, the most frequent first.
func counts(m map[string]int64) []count {
	list := make([]count, 0, len(m))
	for name, n := range m {
		list = append(list, count{name, n})
	}
	slices.SortFunc(list, func(a, b count) int {
		if a.Count != b.Count {
			return int(max(-1, min(1, b.Count-a.Count)))
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list
}

// maxMarks is how many combining marks may stand on one character: more reach over
// the lines above and below.
const maxMarks = 4

// shown returns a stranger's text for a page: cut, kept apart from the direction of the
// text around it, and with each character that cannot be seen, or that changes what can,
// replaced by its number.
func shown(s string, most int) template.HTML {
	var b strings.Builder
	b.WriteString("<bdi>")
	n, marks := 0, 0
	for _, r := range s {
		if n++; n > most {
			b.WriteString(`</bdi><span class="sign">… cut</span>`)
			return template.HTML(b.String())
		}
		if unicode.Is(unicode.M, r) {
			marks++
		} else {
			marks = 0
		}
		if r != ' ' && !unicode.IsPrint(r) || r == unicode.ReplacementChar || marks > maxMarks {
			fmt.Fprintf(&b, `<span class="sign">U+%04X</span>`, r)
			continue
		}
		b.WriteString(template.HTMLEscapeString(string(r)))
	}
	b.WriteString("</bdi>")
	return template.HTML(b.String())
}

// maxJSON is how much of a JSON text is shown.
const maxJSON = 128 << 10

// shownJSON returns JSON with a member on each line, cut, with what cannot be seen
// escaped as JSON does it.
func shownJSON(raw json.RawMessage) string {
	var indented bytes.Buffer
	if err := json.Indent(&indented, raw, "", "  "); err != nil {
		indented.Reset()
		indented.Write(raw)
	}
	text := indented.String()
	if len(text) > maxJSON {
		text = strings.ToValidUTF8(text[:maxJSON], "") + "\n… cut"
	}
	return escaped(text, false)
}

// escaped returns a text in which what cannot be seen is escaped as JSON and TOML do it
// in their strings. They differ beyond 16 bits.
func escaped(text string, toml bool) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		case toml:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		}
	}
	return b.String()
}

// bars is a histogram as rows.
type bars struct {
	Rows     []bar
	All      int64
	P50, P99 string
}

type bar struct {
	Upto  string
	Count int64
}

// newBars returns a histogram with its bounds in words.
func newBars(h admin.Histogram, unit func(float64) string) bars {
	var b bars
	for i, n := range h.Counts {
		b.All += n
		switch {
		case n == 0:
		case i < len(h.Bounds):
			b.Rows = append(b.Rows, bar{"up to " + unit(h.Bounds[i]), n})
		case len(h.Bounds) > 0:
			b.Rows = append(b.Rows, bar{"over " + unit(h.Bounds[len(h.Bounds)-1]), n})
		}
	}
	b.P50, b.P99 = quantile(h, 0.5, unit), quantile(h, 0.99, unit)
	return b
}

// quantile returns the bound below which the share q of the values lies, "" for none.
func quantile(h admin.Histogram, q float64, unit func(float64) string) string {
	var all, below int64
	for _, n := range h.Counts {
		all += n
	}
	if all == 0 || len(h.Bounds) == 0 {
		return ""
	}
	for i, n := range h.Counts {
		below += n
		if float64(below) >= q*float64(all) && i < len(h.Bounds) {
			return "at most " + unit(h.Bounds[i])
		}
	}
	return "over " + unit(h.Bounds[len(h.Bounds)-1])
}

func microseconds(f float64) string { return time.Duration(f * float64(time.Microsecond)).String() }
func ticks(f float64) string        { return fmt.Sprintf("%.0f ticks", f) }
