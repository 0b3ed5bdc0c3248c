package main

import (
	"strconv"
	"strings"

	"github.com/knockgate/knockgate/sdk/abi"
	"github.com/knockgate/knockgate/sdk/go/glob"
	"github.com/knockgate/knockgate/sdk/go/policy"
)

// genericMessage is what a knocker reads where no message is set. It tells
// nothing of the list that the server is on.
const genericMessage = "This room does not take knocks from your server."

// maxName is the longest server name that Matrix allows, in bytes.
const maxName = 255

// rule is one rule with all that is needed to answer by it.
type rule struct {
	globs  []string // of the setting; then in rules.globs, from end of the rule before to end
	end    int
	except *glob.Set
	answer policy.Verdict
}

type rules struct {
	list           []rule
	globs          *glob.Set // of all rules, in order
	ruleOf         []int     // by glob
	otherwise      policy.Verdict
	denyIPLiterals bool
	name           glob.Text // the origin without port, for one decision
}

func configure(s *policy.Settings) policy.DecideFunc {
	r := &rules{denyIPLiterals: s.Bool("deny_ip_literals", false)}
	for i, o := range s.Objects("rules") {
		r.list = append(r.list, newRule(o, i))
	}
	word := s.OneOf("default", "pass", "pass", "allow", "deny", "incompatible")
	r.otherwise = answer(s, word, "default_message", "")
	if r.otherwise.Message != "" {
		r.otherwise.Code = "default"
	}
	var all []string
	for i := range r.list {
		for range r.list[i].globs {
			r.ruleOf = append(r.ruleOf, i)
		}
		all = append(all, r.list[i].globs...)
		r.list[i].end = len(all)
	}
	var err error
	if r.globs, err = glob.Compile(all...); err != nil {
		s.Fail("rules", err.Error())
	}
	return r.decide
}

// newRule reads one rule. What is wrong with it is told through s.
func newRule(s *policy.Settings, index int) rule {
	var r rule
	var word string
	for _, w := range [...]string{"allow", "deny", "incompatible", "pass"} {
		if !s.Has(w) {
			continue
		}
		if word != "" {
			s.Fail(w, "a rule has one of allow, deny, incompatible, pass; "+word+" is there already: make two rules of it")
			continue
		}
		word = w
	}
	if word == "" {
		s.Fail("", "a rule must have one of allow, deny, incompatible, pass with a glob or a list of globs")
		return r
	}
	items := s.Texts(word)
	if items != nil && len(items) == 0 {
		s.Fail(word, "the list is empty, so the rule would never match: write at least one glob")
	}
	r.globs = globs(items)
	var err error
	if r.except, err = glob.Compile(globs(s.Texts("except"))...); err != nil {
		s.Fail("except", err.Error())
	}
	r.answer = answer(s, word, "message", "rules["+strconv.Itoa(index)+"]."+word)
	r.answer.Code = "rule_" + strconv.Itoa(index)
	return r
}

// answer returns the verdict of a word, with the message of a setting where the
// verdict has one.
func answer(s *policy.Settings, word, messageKey, note string) policy.Verdict {
	kind, _ := abi.ParseVerdict(word)
	v := policy.Verdict{Kind: kind, Note: note}
	refuses := kind == abi.Deny || kind == abi.Incompatible
	if s.Has(messageKey) {
		v.Message = s.Text(messageKey, "")
		switch {
		case !refuses:
			s.Fail(messageKey, "only deny and incompatible have a message: nobody is told of "+word)
		case strings.TrimSpace(v.Message) == "":
			s.Fail(messageKey, "must not be empty: leave it out for the usual sentence")
		case len(v.Message) > abi.MaxMessage:
			s.Fail(messageKey, "must be at most "+strconv.Itoa(abi.MaxMessage)+" bytes")
		}
	} else if refuses {
		v.Message = genericMessage
	}
	return v
}

// globs returns the globs of a setting that are right, and tells of the others.
func globs(items []policy.Item) []string {
	var list []string
	for _, item := range items {
		if wrong := checkGlob(item.Text); wrong != "" {
			item.Fail(wrong)
			continue
		}
		list = append(list, strings.TrimRight(item.Text, "."))
	}
	return list
}

// checkGlob returns what is wrong with a glob that could not match any server
// name as it stands, "" if nothing is.
func checkGlob(pattern string) string {
	if pattern == "" {
		return "must not be empty: write a server name such as example.org, or * for every server"
	}
	if len(pattern) > maxName {
		return "is longer than any server name: at most 255 bytes"
	}
	if host := policy.StripPort(pattern); host != pattern &&
		(strings.HasSuffix(host, "]") || !strings.Contains(host, ":")) {
		return "names are matched without their port: write " + strconv.Quote(host)
	}
	inBrackets := strings.HasPrefix(pattern, "[")
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '.', c == '-', c == '*', c == '?', c == '[', c == ']':
		case c == ':' && inBrackets:
		case c == ':':
			return "an IPv6 address stands in brackets, such as [2001:db8::1]; a name is matched without its port"
		case c >= 0x80:
			return "server names are ASCII: write an international name in its xn-- form"
		default:
			return "no server name holds " + strconv.QuoteRune(rune(c)) + ": write a name such as example.org or *.example.org"
		}
	}
	return ""
}

func (r *rules) decide(k *policy.Knock) policy.Verdict {
	// DNS does not tell a name with a dot at its end from one without.
	name := strings.TrimRight(k.OriginServer(), ".")
	if name == "" || len(name) > maxName {
		return policy.Error("the request has no origin, or one longer than 255 bytes")
	}
	if r.denyIPLiterals && isIPLiteral(name) {
		return policy.Verdict{Kind: abi.Deny, Message: genericMessage, Note: "deny_ip_literals", Code: "ip_literal"}
	}
	r.name.Set(name)
	for from := 0; ; {
		at := r.globs.First(&r.name, from)
		if at < 0 {
			return r.otherwise
		}
		rule := &r.list[r.ruleOf[at]]
		if rule.except.First(&r.name, 0) < 0 {
			return rule.answer
		}
		from = rule.end
	}
}

// isIPLiteral reports whether a server name without port is an address: in
// brackets, or of digits and dots only. The latter is wider than the grammar,
// so that "127.1" does not pass as a name.
func isIPLiteral(name string) bool {
	if name[0] == '[' {
		return true
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; c != '.' && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
