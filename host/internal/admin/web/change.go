package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/knockgate/knockgate/host/internal/admin"
)

const (
	// replaySince is how far back a change is tried before it is made.
	replaySince = 7 * 24 * time.Hour
	// replayTime bounds that.
	replayTime = 10 * time.Minute
)

// changeOf returns the change that a form describes.
func changeOf(form url.Values) (admin.Change, error) {
	c := admin.Change{
		Do: form.Get("do"), Revision: form.Get("revision"), Policy: strings.TrimSpace(form.Get("policy")), Module: form.Get("module"),
		Mode: form.Get("mode"), Before: form.Get("before"), Grants: fields(form.Get("grants")), Phases: form["phases"],
		Rooms: fields(form.Get("rooms")), Origins: fields(form.Get("origins")),
	}
	if c.Revision == "" {
		return c, fmt.Errorf("the form names no revision: %w", admin.ErrInvalid)
	}
	if text := strings.TrimSpace(form.Get("settings")); text != "" && (c.Do == "add" || c.Do == "replace") {
		if !json.Valid([]byte(text)) || text[0] != '{' {
			return c, fmt.Errorf("the settings are not a JSON object, such as {\"required\": true}: %w", admin.ErrInvalid)
		}
		c.Settings = json.RawMessage(text)
	}
	return c, nil
}

// fields splits a list as people write one.
func fields(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' || r == '\t' })
}

type confirmData struct {
	Change   admin.Change
	Encoded  string // the change, as the form hands it on
	What     string
	Since    time.Duration
	Replayed *admin.Rejudged
	Failed   string // why it could not be replayed
	Took     time.Duration
}

// replay shows what the last days' decisions would have been with a change, and asks
// whether to make it.
func (s *site) replay(v *visit) error {
	c, err := changeOf(v.r.PostForm)
	if err != nil {
		return err
	}
	encoded, err := json.Marshal(c)
	if err != nil {
		return err
	}
	data := confirmData{Change: c, Encoded: escaped(string(encoded), false), What: describe(c), Since: replaySince}
	noDeadline(v.w)
	ctx, cancel := context.WithTimeout(v.ctx(), replayTime)
	defer cancel()
	began := s.Now()
	tried := c
	if c.Do == "mode" && c.Mode == "monitor" {
		// What a change names is judged as if it was enforced; this is the other way.
		tried = admin.Change{Do: "remove", Revision: c.Revision, Policy: c.Policy}
	}
	data.Replayed, err = s.Policies.Rejudge(ctx, tried, began.Add(-replaySince), func(int64, int64) {})
	data.Took = s.Now().Sub(began).Round(time.Millisecond)
	switch status := statusOf(err); {
	case err == nil:
	case status != http.StatusInternalServerError && tried.Do == c.Do:
		return err // no such chain can be made
	default:
		data.Failed = err.Error()
	}
	s.pages.write(v, http.StatusOK, "confirm", page{Title: "Before it is in force", Section: "/policies", Data: data})
	return nil
}

// describe says what a change does.
func describe(c admin.Change) string {
	policy := fmt.Sprintf("%q", c.Policy)
	switch c.Do {
	case "add":
		mode := c.Mode
		if mode == "" {
			mode = "monitor"
		}
		where := "asked last"
		if c.Before != "" {
			where = fmt.Sprintf("asked before %q", c.Before)
		}
		return fmt.Sprintf("Add the policy %s in %s mode, %s", policy, mode, where)
	case "replace":
		return "Replace the module or the settings of " + policy
	case "mode":
		return fmt.Sprintf("Put %s into %s mode", policy, c.Mode)
	case "remove":
		return "Remove " + policy
	case "rollback":
		return "Roll back to the revision before"
	case "configured":
		return "Go back to what the configuration says"
	}
	return fmt.Sprintf("An unknown change %q", c.Do)
}

// change makes a change that was asked about.
func (s *site) change(v *visit) error {
	var c admin.Change
	decoder := json.NewDecoder(strings.NewReader(v.r.PostForm.Get("change")))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return fmt.Errorf("%w: the change: %v", errForm, err)
	}
	revision, err := s.Policies.Apply(v.ctx(), c)
	if err != nil {
		return err
	}
	return s.showChanged(v, describe(c), "Revision "+revision+" is in force.")
}

type changedData struct {
	What, Text string
	Status     *admin.Status
	TOML       string
}

// showChanged says what is in force now, and how it stays so.
func (s *site) showChanged(v *visit, what, text string) error {
	status, err := s.Server.Status(v.ctx())
	if err != nil {
		return err
	}
	data := changedData{What: what, Text: text, Status: status}
	if status.Held != "" {
		if data.TOML, err = asTOML(status.Policies); err != nil {
			return err
		}
	}
	s.pages.write(v, http.StatusOK, "changed", page{Title: "In force", Section: "/policies", Data: data})
	return nil
}
