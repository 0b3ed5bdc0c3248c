package main

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/knockgate/knockgate/sdk/abi"
	"github.com/knockgate/knockgate/sdk/go/glob"
	"github.com/knockgate/knockgate/sdk/go/policy"
)

const (
	// defaultMax bounds the work on one reason where nobody said otherwise. No
	// person writes more to knock.
	defaultMax = 2000
	// maxReason is more than an event can hold.
	maxReason = 65536
)

type rules struct {
	required  bool
	min, max  int
	forbidden *glob.Set

	missing, short, long policy.Verdict
	found                []policy.Verdict // by forbidden pattern

	// The reason as the patterns see it, for one decision.
	clean []byte
	text  glob.Text
}

func configure(s *policy.Settings) policy.DecideFunc {
	r := &rules{
		required: s.Bool("required", false),
		min:      int(s.Int("min", 0, 0, maxReason)),
		max:      int(s.Int("max", defaultMax, 1, maxReason)),
	}
	if r.min > r.max {
		s.Fail("min", "must not be more than max, which is "+strconv.Itoa(r.max))
	}
	r.missing = deny(s, "required_message", "reason_missing",
		"Please knock again and write a reason: say who you are and why you would like to join.")
	r.short = deny(s, "min_message", "reason_too_short",
		"Your reason is too short: please knock again with at least "+characters(r.min)+".")
	r.long = deny(s, "max_message", "reason_too_long",
		"Your reason is too long: please knock again with at most "+characters(r.max)+".")
	found := deny(s, "forbidden_message", "reason_forbidden",
		"Your reason holds something that this room does not accept: please knock again in other words.")

	var patterns []string
	for i, item := range s.Texts("forbidden") {
		pattern := string(appendClean(nil, item.Text))
		if strings.Trim(pattern, "*? ") == "" {
			item.Fail("would be found in every reason: write at least one character that is no space, star or question mark")
			continue
		}
		patterns = append(patterns, "*"+pattern+"*")
		found.Note = "forbidden[" + strconv.Itoa(i) + "]"
		r.found = append(r.found, found)
	}
	var err error
	if r.forbidden, err = glob.Compile(patterns...); err != nil {
		s.Fail("forbidden", err.Error())
	}
	return r.decide
}

func characters(n int) string {
	if n == 1 {
		return "1 character"
	}
	return strconv.Itoa(n) + " characters"
}

// deny returns a denial with the message of a setting, or the usual one.
func deny(s *policy.Settings, key, code, usual string) policy.Verdict {
	message := s.Text(key, usual)
	switch {
	case strings.TrimSpace(message) == "":
		s.Fail(key, "must not be empty: leave it out for the usual sentence")
	case len(message) > abi.MaxMessage:
		s.Fail(key, "must be at most "+strconv.Itoa(abi.MaxMessage)+" bytes")
	}
	return policy.Verdict{Kind: abi.Deny, Message: message, Code: code}
}

func (r *rules) decide(k *policy.Knock) policy.Verdict {
	if k.Phase() != policy.SendKnock {
		return policy.Pass
	}
	reason := ""
	if k.ContentHashOK() {
		reason = k.Reason()
	}
	sent := strings.TrimSpace(reason)
	if moreThan(sent, r.max) {
		return r.long
	}
	r.clean = appendClean(r.clean[:0], sent)
	text := view(r.clean)
	switch {
	case text == "" && r.required:
		return r.missing
	case text == "":
		return policy.Pass
	case r.min > 0 && !moreThan(text, r.min-1):
		return r.short
	}
	r.text.SetFolded(text)
	if i := r.forbidden.First(&r.text, 0); i >= 0 {
		return r.found[i]
	}
	return policy.Pass
}

// moreThan reports whether a text has more than n code points. It counts only
// where the length in bytes leaves it open: a code point has one to four.
func moreThan(text string, n int) bool {
	if len(text) <= n {
		return false
	}
	return len(text) > 4*n || utf8.RuneCountInString(text) > n
}
