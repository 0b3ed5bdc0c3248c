package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/knockgate/knockgate/host/internal/admin"
)

// exampleFacts are facts to begin with.
const exampleFacts = `{
  "phase": "send_knock",
  "request_id": "PLAYGROUND",
  "now_ms": 1700000000000,
  "room_id": "!room:here.example",
  "room_version": "11",
  "user_id": "@alice:example.org",
  "user_localpart": "alice",
  "user_server": "example.org",
  "origin": "example.org",
  "reason": "Ada sent me",
  "displayname": "Alice",
  "content_hash_ok": true,
  "room": {
    "known": true,
    "join_rule": "knock",
    "members": 3
  }
}`

type playgroundData struct {
	Status                         *admin.Status
	Staged                         []admin.Module
	Facts, Event, Module, Settings string
	Grants                         string
	Judged                         *admin.Judged
	Error                          string
}

// playground judges made-up facts, where some were sent. Nothing is stored.
func (s *site) playground(v *visit) error {
	status, staged, err := s.chain(v)
	if err != nil {
		return err
	}
	data := playgroundData{Status: status, Staged: staged, Facts: exampleFacts}
	code := http.StatusOK
	if v.r.Method == http.MethodPost {
		form := v.r.PostForm
		data.Facts, data.Event, data.Module = form.Get("facts"), form.Get("event"), form.Get("module")
		data.Settings, data.Grants = form.Get("settings"), form.Get("grants")
		if data.Judged, err = s.judge(v, &data); err != nil {
			if code = statusOf(err); code == http.StatusInternalServerError {
				return err
			}
			data.Error = err.Error()
		}
	}
	s.pages.write(v, code, "playground", page{Title: "Playground", Section: "/playground", Data: data})
	return nil
}

// tried is the name of a module that is tried out.
const tried = "playground"

func (s *site) judge(v *visit, data *playgroundData) (*admin.Judged, error) {
	facts, event := json.RawMessage(data.Facts), json.RawMessage(nil)
	if !json.Valid(facts) {
		return nil, fmt.Errorf("the facts are not JSON: %w", admin.ErrInvalid)
	}
	if text := strings.TrimSpace(data.Event); text != "" {
		if event = json.RawMessage(text); !json.Valid(event) {
			return nil, fmt.Errorf("the event is not JSON: %w", admin.ErrInvalid)
		}
	}
	var c *admin.Change
	if data.Module != "" {
		c = &admin.Change{Do: "add", Revision: data.Status.Revision, Policy: tried, Module: data.Module, Mode: "enforce", Grants: fields(data.Grants)}
		if len(data.Status.Policies) > 0 {
			c.Before = data.Status.Policies[0].Name
		}
		if text := strings.TrimSpace(data.Settings); text != "" {
			if c.Settings = json.RawMessage(text); !json.Valid(c.Settings) {
				return nil, fmt.Errorf("the settings are not JSON: %w", admin.ErrInvalid)
			}
		}
	}
	return s.Policies.Judge(v.ctx(), facts, event, c)
}
