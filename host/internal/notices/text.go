package notices

import (
	"fmt"
	"html"
	"strings"
	"time"
)

// Bounds of a text for people.
const (
	// maxLines is how many groups it has; an event is at most 64 KiB.
	maxLines = 25
	// maxShown is how much of an identifier it shows, in characters.
	maxShown = 100
)

// part is a piece of a line: words of ours, or an identifier that a stranger chose.
type part struct {
	text     string
	stranger bool
}

// parts returns what a group says.
func (g *group) parts() []part {
	say := func(format string, args ...any) part { return part{text: line(fmt.Sprintf(format, args...))} }
	policy := g.Policy
	if policy == "" {
		policy = "the chain's default"
	}
	from := func(first part) []part {
		all := []part{first}
		if g.Origin != "" {
			all = append(all, say(" from "), part{g.Origin, true})
		}
		if g.Room != "" {
			all = append(all, say(" into "), part{g.Room, true})
		}
		return all
	}
	switch g.Kind {
	case Reload:
		return []part{say("The policies were not loaded again%s; those before stay: %s", times(g.count), g.Detail)}
	case Faults:
		return []part{say("%s of the policy %s: %s", count(g.count, "fault"), policy, g.Class)}
	case Dropped:
		return []part{say("%s in the log and not in the store", count(g.count, "decision"))}
	case Lists:
		return []part{say("The list %s cannot be read or fetched; it stays as it was", g.Detail)}
	case Monitor:
		return []part{say("The policy %s is in monitor mode and decides nothing", policy)}
	case Undecided:
		return from(say("%s %s", count(g.count, "knock"), undecided[g.Class]))
	case Denied:
		denied := "denied"
		if g.Class == "incompatible" {
			denied = "answered incompatible"
		}
		return append(from(say("%s %s", count(g.count, "knock"), denied)), say(" by %s", policy))
	}
	return append(from(say("%s let in", count(g.count, "knock"))), say(" by %s", policy))
}

// The classes of Undecided, and what they say.
const (
	OwnUser     = "own_user"
	OtherServer = "other_server"
)

var undecided = map[string]string{
	OwnUser:     "of the homeserver's own users without a decision",
	OtherServer: "round this server",
	"":          "without a decision",
}

func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func times(n int64) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf(" (%d times)", n)
}

// texts returns a digest for people, as plain text and as HTML. Plain text does not
// show what strangers chose, as it may turn up in a notification; HTML has it as a
// spoiler.
//
// Spec: Client-Server API, "Spoiler messages".
func (d *Digest) texts() (plain, formatted string) {
	var p, h strings.Builder
	title := line(fmt.Sprintf("Knockgate on %s, %s to %s UTC (%s)", d.server,
		d.from.UTC().Format("2006-01-02 15:04"), d.to.UTC().Format("15:04"), span(d.to.Sub(d.from))))
	p.WriteString(title)
	fmt.Fprintf(&h, "<p>%s</p><ul>", html.EscapeString(title))
	shown := 0
	for i := range d.groups {
		if shown == maxLines {
			break
		}
		shown++
		p.WriteString("\n- ")
		h.WriteString("<li>")
		for _, part := range d.groups[i].parts() {
			if !part.stranger {
				p.WriteString(part.text)
				h.WriteString(html.EscapeString(part.text))
				continue
			}
			p.WriteString("[hidden]")
			fmt.Fprintf(&h, "<span data-mx-spoiler>%s</span>", html.EscapeString(show(part.text)))
		}
		h.WriteString("</li>")
	}
	for _, more := range d.andMore(shown) {
		fmt.Fprintf(&p, "\n- %s", more)
		fmt.Fprintf(&h, "<li>%s</li>", html.EscapeString(more))
	}
	h.WriteString("</ul>")
	return p.String(), h.String()
}

// andMore says what a text that shows the first groups does not.
func (d *Digest) andMore(shown int) (lines []string) {
	if rest := len(d.groups) - shown; rest > 0 {
		lines = append(lines, fmt.Sprintf("and %s more", count(int64(rest), "group")))
	}
	for _, kind := range Kinds {
		if n := d.more[kind]; n > 0 {
			lines = append(lines, fmt.Sprintf("and %d more of the kind %s", n, kind))
		}
	}
	return lines
}

// show returns an identifier as a text shows it.
func show(id string) string {
	runes := []rune(line(id))
	if len(runes) > maxShown {
		return string(runes[:maxShown-1]) + "…"
	}
	return string(runes)
}

// span says how long a time was.
func span(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Round(time.Second).Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
	}
	return fmt.Sprintf("%d h", int(d.Round(time.Hour).Hours()))
}
