// Probe is the probe of this SDK: the settings say what it does. plugins/conformance
// holds it to what every SDK's probe answers.
package main

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/knockgate/knockgate/sdk/abi"
	"github.com/knockgate/knockgate/sdk/go/policy"
)

func init() { policy.Configure(configure) }

func main() {}

const far = 1_000_000

// fields are the names of the fields, by number.
var fields = strings.Fields("json room_id room_version user_id user_localpart user_server origin supported_versions " +
	"reason displayname avatar_url event request_id now_ms content_hash_ok room_known room_join_rule room_name " +
	"room_alias room_topic room_encrypted room_members user_membership room_age_ms room_acl room_pending " +
	"room_pending_server room_members_server room_banned room_banned_server user_membership_since_ms user_membership_by")

var levels = map[string]int{"debug": abi.LogDebug, "info": abi.LogInfo, "warn": abi.LogWarn, "error": abi.LogError}

type probe struct {
	op, field, kind, message, note, code, text, key, value, server string
	number, ttl                                                    int64
	detail                                                         []func(policy.Verdict) policy.Verdict
	summary                                                        string
}

func configure(s *policy.Settings) policy.DecideFunc {
	p := &probe{
		op: s.Text("op", "echo"), field: s.Text("field", ""), kind: s.Text("kind", "pass"),
		message: s.Text("message", ""), note: s.Text("note", ""), code: s.Text("code", ""),
		text: s.Text("text", ""), key: s.Text("key", ""), value: s.Text("value", ""), server: s.Text("server", ""),
		number: s.Int("number", 0, -far, far), ttl: s.Int("ttl", 0, 0, far),
	}
	if p.text == "refused" {
		s.Fail("text", "must not be refused")
	}
	inner, _ := s.Object("inner")
	var rules []string
	for _, rule := range s.Objects("rules") {
		rules = append(rules, rule.Text("name", "")+"("+texts(rule, "allow")+")")
	}
	for _, d := range s.Objects("detail") {
		key, text, number, truth := d.Text("key", ""), d.Text("text", ""), d.Int("number", 0, -far, far), d.Bool("truth", false)
		add := func(v policy.Verdict) policy.Verdict { return v.DetailText(key, text) }
		if d.Has("number") {
			add = func(v policy.Verdict) policy.Verdict { return v.DetailNumber(key, number) }
		} else if d.Has("truth") {
			add = func(v policy.Verdict) policy.Verdict { return v.DetailTruth(key, truth) }
		}
		p.detail = append(p.detail, add)
	}
	p.summary = "truth=" + strconv.FormatBool(s.Bool("truth", false)) + " number=" + strconv.FormatInt(p.number, 10) +
		" text=" + p.text + " choice=" + s.OneOf("choice", "a", "a", "b") + " items=" + texts(s, "items") +
		" inner=" + strconv.FormatInt(inner.Int("number", 1, 0, 10), 10) + " rules=" + strings.Join(rules, ";")
	return p.decide
}

func texts(s *policy.Settings, key string) string {
	var list []string
	for _, item := range s.Texts(key) {
		if item.Text == "refused" {
			item.Fail("must not be refused")
		}
		list = append(list, item.Text)
	}
	return strings.Join(list, ",")
}

func noted(text string) policy.Verdict { return policy.Verdict{Kind: abi.Allow, Note: text} }

func coded(text string) policy.Verdict { return policy.Verdict{Kind: abi.Allow, Code: text} }

func (p *probe) decide(k *policy.Knock) policy.Verdict {
	switch p.op {
	case "echo":
		return p.echo(k)
	case "verdict":
		return p.verdict()
	case "settings":
		return noted(p.summary)
	case "phase":
		switch k.Phase() {
		case policy.MakeKnock, policy.SendKnock:
			return noted(k.Phase().String())
		}
		return noted("unknown")
	case "supports":
		return noted(strconv.FormatBool(k.Supports(p.text)))
	case "origin_server":
		return noted(k.OriginServer())
	case "strip_port":
		return noted(policy.StripPort(p.text))
	case "log":
		policy.Log(levels[p.kind], p.text)
		return policy.Allow
	case "now":
		return noted(strconv.FormatInt(policy.NowMS(), 10))
	case "random":
		b := make([]byte, p.number)
		policy.Random(b)
		return noted(hex.EncodeToString(b))
	case "glob":
		return noted(strconv.FormatBool(policy.GlobMatch(p.key, p.text)))
	case "acl":
		return noted(strconv.FormatBool(policy.ACLAllows(p.text, p.server)))
	case "kv_get":
		value, ok := policy.KVGet(p.key)
		if !ok {
			return coded("absent")
		}
		return noted(string(value))
	case "kv_put":
		return noted(strconv.FormatBool(policy.KVPut(p.key, []byte(p.value), time.Duration(p.ttl)*time.Millisecond)))
	case "kv_incr":
		count, ok := policy.KVIncr(p.key, p.number, time.Duration(p.ttl)*time.Millisecond)
		if !ok {
			return coded("refused")
		}
		return noted(strconv.FormatInt(count, 10))
	case "list":
		switch has, known := policy.ListHas(p.value, p.key); {
		case !known:
			return noted("unknown")
		case has:
			return noted("holds")
		}
		return noted("lacks")
	}
	panic("asked to")
}

func (p *probe) echo(k *policy.Knock) policy.Verdict {
	for n, name := range fields {
		if name != p.field {
			continue
		}
		field := abi.Field(n)
		value, ok := k.Text(field)
		switch name {
		case "now_ms", "room_members", "room_age_ms", "room_pending", "room_pending_server", "room_members_server",
			"room_banned", "room_banned_server", "user_membership_since_ms":
			var number int64
			number, ok = k.Number(field)
			value = strconv.FormatInt(number, 10)
		case "content_hash_ok", "room_known", "room_encrypted":
			value = strconv.FormatBool(k.Truth(field))
		}
		if !ok {
			return coded("absent")
		}
		return policy.Verdict{Kind: abi.Allow, Note: value, Code: "present"}
	}
	return policy.Error("no such field")
}

func (p *probe) verdict() policy.Verdict {
	v := policy.Pass
	switch p.kind {
	case "allow":
		v = policy.Allow
	case "deny":
		v = policy.Deny(p.message)
	case "incompatible":
		v = policy.Incompatible(p.message)
	case "error":
		v = policy.Error(p.message)
	}
	if p.note != "" {
		v.Note = p.note
	}
	v.Code = p.code
	for _, add := range p.detail {
		v = add(v)
	}
	return v
}
