package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/knockgate/knockgate/host/internal/peer"
)

// knockPrinter prints knocks as a person would read them, or as JSON lines.
type knockPrinter struct {
	w    io.Writer
	json bool
}

func newKnockPrinter(w io.Writer, asJSON bool) *knockPrinter {
	return &knockPrinter{w: w, json: asJSON}
}

func (p *knockPrinter) print(k peer.Knock, r *peer.Result, err error) {
	if p.json {
		p.printJSON(k, r, err)
		return
	}
	first, second := k.Endpoints()
	does := "knocks on"
	if k.Retract {
		does = "takes back a knock on"
	}
	fmt.Fprintf(p.w, "%s %s %s, by way of %s\n\n", printableLine(string(k.User)), does, k.Room, k.Server)
	p.exchange(first, r.Make, r.Template != nil)
	if r.Template != nil {
		p.block("template", r.Template)
	}
	if r.Event != nil {
		p.block("signed event "+string(r.EventID), r.Event)
	}
	p.exchange(second, r.Send, false)
	fmt.Fprintf(p.w, "%s\n\n", p.conclusion(k, r, err))
}

// exchange prints a request and its answer. The body of the answer is left out
// where what matters of it is printed elsewhere.
func (p *knockPrinter) exchange(name string, x *peer.Exchange, elsewhere bool) {
	if x == nil {
		return
	}
	fmt.Fprintf(p.w, "%s  %s %s\n", name, x.Method, x.Target)
	fmt.Fprintf(p.w, "  Authorization: %s\n", x.Authorization)
	if x.Status == 0 {
		fmt.Fprint(p.w, "  no answer\n\n")
		return
	}
	fmt.Fprintf(p.w, "  %d %s, %s\n", x.Status, http.StatusText(x.Status), x.Took.Round(10*time.Microsecond))
	if elsewhere {
		fmt.Fprintln(p.w)
		return
	}
	p.block("answer", x.Body)
}

// block prints JSON, indented. Control characters of a peer do not reach the terminal.
func (p *knockPrinter) block(title string, body []byte) {
	fmt.Fprintf(p.w, "  %s:\n    %s\n\n", title, strings.ReplaceAll(printable(indent(body)), "\n", "\n    "))
}

func (p *knockPrinter) conclusion(k peer.Knock, r *peer.Result, err error) string {
	if err != nil {
		return "Failed: " + printable(err.Error())
	}
	last := r.Send
	if last == nil {
		last = r.Make
	}
	code, message := last.Errcode()
	said := printable(message)
	switch r.Outcome() {
	case peer.Allowed:
		done := "Allowed: %s has knocked, event %s."
		if k.Retract {
			done = "Taken back: %s has left, event %s."
		}
		return fmt.Sprintf(done, printableLine(string(k.User)), r.EventID)
	case peer.Denied:
		return "Denied: " + said
	case peer.Incompatible:
		return "Version-incompatible: " + said
	}
	return fmt.Sprintf("Failed: %d %s %s", last.Status, printable(code), said)
}

func (p *knockPrinter) printJSON(k peer.Knock, r *peer.Result, err error) {
	type exchange struct {
		Method        string          `json:"method"`
		Target        string          `json:"target"`
		Authorization string          `json:"authorization"`
		Sent          json.RawMessage `json:"sent,omitempty"`
		Status        int             `json:"status"`
		Answer        json.RawMessage `json:"answer,omitempty"`
		AnswerText    string          `json:"answer_text,omitempty"`
		Micros        int64           `json:"us"`
	}
	convert := func(x *peer.Exchange) *exchange {
		if x == nil {
			return nil
		}
		e := &exchange{Method: x.Method, Target: x.Target, Authorization: x.Authorization, Sent: x.Sent, Status: x.Status, Micros: x.Took.Microseconds()}
		if json.Valid(x.Body) {
			e.Answer = x.Body
		} else {
			e.AnswerText = string(x.Body)
		}
		return e
	}
	out := struct {
		Outcome   string    `json:"outcome"`
		Error     string    `json:"error,omitempty"`
		Server    string    `json:"server"`
		Room      string    `json:"room_id"`
		User      string    `json:"user_id"`
		EventID   string    `json:"event_id,omitempty"`
		Make      *exchange `json:"make_knock,omitempty"`
		Send      *exchange `json:"send_knock,omitempty"`
		MakeLeave *exchange `json:"make_leave,omitempty"`
		SendLeave *exchange `json:"send_leave,omitempty"`
	}{Outcome: string(peer.Failed), Server: string(k.Server), Room: string(k.Room), User: string(k.User), EventID: string(r.EventID)}
	if k.Retract {
		out.MakeLeave, out.SendLeave = convert(r.Make), convert(r.Send)
	} else {
		out.Make, out.Send = convert(r.Make), convert(r.Send)
	}
	if err != nil {
		out.Error = err.Error()
	} else {
		out.Outcome = string(r.Outcome())
	}
	// The values are strings, numbers and JSON that has been validated.
	_ = printJSON(p.w, out)
}

func indent(body []byte) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(json.RawMessage(body)); err != nil {
		return string(body)
	}
	return strings.TrimRight(b.String(), "\n")
}

// printable replaces what a terminal might act on: control characters, bidi
// overrides, invalid UTF-8.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
