package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/matrix-org/gomatrixserverlib/spec"
)

// TestWebWalk goes the way of an administrator who tries a policy: uploads it, has it
// in monitor mode, reads what it would have changed, enforces it, sees a knock that it
// denies come in, opens that decision, and rolls back.
func TestWebWalk(t *testing.T) {
	dir := t.TempDir()
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	tokenFile := filepath.Join(dir, "admin.token")
	b := newBrowser(t, "http://"+address) // skips before a server is started
	s, err := start(resident.program, dir, "[admin]", fmt.Sprintf("listen = %q", address), fmt.Sprintf("token_file = %q", tokenFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the log of serve:\n%s", s.log())
		}
	})
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	room := s.createRoom(t, "11")
	p := newPeer(t)
	mallory := p.user("mallory")
	if err := knockOn(t, p, s, room, mallory); err != nil {
		t.Fatalf("a knock before there is the policy: %v", err)
	}

	b.login(strings.TrimSpace(string(token)))
	b.look("walk overview")

	b.open("/policies")
	module, err := filepath.Abs("../../../policies/user_rules/user_rules.wasm")
	if err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.SetUploadFiles(chromedp.CSS("input[name=module]"), []string{module}))
	b.press("Upload", "Policies")
	b.fill("details[open] input[name=policy]", "users")
	b.fill("details[open] textarea[name=settings]", `{"rules":[{"deny":["@mallory:*"],"message":"Write to our admins first"}]}`)
	b.press("Add in monitor mode", "Before it is in force")
	b.holds(`[aria-label="What would change"]`, "mallory", "allow", "deny", "Write to our admins first")
	b.press("Put it in force", "In force")
	b.holds("main pre", "[[policy]]", `name = "users"`, `mode = "monitor"`, "@mallory:*")

	b.open("/policies")
	b.holds("article:has(#p-users)", "monitor")
	if err := knockOn(t, p, s, room, mallory); err != nil {
		t.Fatalf("a knock while the policy is in monitor mode: %v", err)
	}
	b.until("/decisions?monitor=1&policy=users", "#rows", "deny", "Write to our admins first")

	b.open("/policies")
	b.press("Enforce users", "Before it is in force")
	b.holds("main", "4 decisions were judged") // of two knocks
	b.holds(`[aria-label="What would change"]`, "mallory", "allow", "deny", "Write to our admins first")
	b.look("walk before it is enforced")
	b.press("Put it in force", "In force")

	b.open("/decisions")
	b.do(visible("#pause"))
	b.poll(`document.querySelectorAll("#rows tr").length >= 1`)
	if err := knockOn(t, p, s, room, mallory); err == nil {
		t.Fatal("a knock that the enforced policy denies was taken")
	}
	b.poll(`document.querySelector("#rows tr").textContent.includes("Write to our admins first")`)
	b.holds("#rows tr:first-child", "mallory", "deny", "users")
	b.look("walk decisions")
	b.follow("#rows tr:first-child a")
	b.holds("main", "mallory", "deny, by users", "Write to our admins first", "Step by step", "servers", "make_knock")
	b.look("walk decision")

	b.open("/")
	b.holds("#live", "Held:", "deny")
	b.open("/policies")
	b.press("Roll back to", "Before it is in force")
	b.press("Put it in force", "In force")
	if err := knockOn(t, p, s, room, mallory); err != nil {
		t.Fatalf("a knock after the rollback: %v", err)
	}
	b.open("/policies")
	b.holds("article:has(#p-users)", "monitor")
	b.look("walk policies")
	b.open("/knocks")
	b.holds("table", "mallory", "let me in")
	b.look("walk knocks")
	b.press("Decline", "Knocks")
	b.holds("main", "Nobody waits.")
	b.open("/playground")
	b.press("Judge", "Playground")
	b.holds("#outcome + p", "allow, by default")
	b.press("Log out", "Log in")
	b.open("/policies")
	b.holds("h1", "Log in")
}

// knockOn knocks as a user of p. It returns what the server refused it with.
func knockOn(t *testing.T, p *peer, s *serve, room, user string) error {
	t.Helper()
	made, err := p.client.MakeKnock(t.Context(), p.name, s.name, room, user, versions)
	if err != nil {
		return err
	}
	_, err = p.client.SendKnock(t.Context(), p.name, s.name, p.sign(t, made, map[string]any{"membership": spec.Knock, "reason": "let me in"}))
	return err
}

// press opens what a button with this text stands in, presses it, and waits for the
// page that has the heading.
func (b *browser) press(text, heading string) {
	b.t.Helper()
	quoted, err := json.Marshal(text)
	if err != nil {
		b.t.Fatal(err)
	}
	b.load(fmt.Sprintf(`(() => {
		const button = [...document.querySelectorAll("button")].find((b) => b.textContent.startsWith(%s));
		for (let e = button; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
		button.click();
		return 0;
	})()`, quoted))
	if got := b.text("h1"); got != heading {
		b.t.Fatalf("after %q the page is %q, want %q\n%s", text, got, heading, b.text("main"))
	}
}

// follow follows a link.
func (b *browser) follow(selector string) {
	b.t.Helper()
	b.load(fmt.Sprintf(`document.querySelector(%q).click(), 0`, selector))
}

// load runs what leads to another page, and waits for that.
func (b *browser) load(script string) {
	b.t.Helper()
	_, err := chromedp.RunResponse(b.ctx, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := chromedp.Evaluate[int](script)(ctx, target)
		return err
	}))
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
	b.do(visible("main"))
}

// fill writes into a field.
func (b *browser) fill(selector, text string) {
	b.t.Helper()
	b.do(chromedp.Clear(chromedp.CSS(selector)), chromedp.SendKeys(chromedp.CSS(selector), text))
}

// holds fails the test where an element does not have each text.
func (b *browser) holds(selector string, texts ...string) {
	b.t.Helper()
	got := b.text(selector)
	for _, want := range texts {
		if !strings.Contains(got, want) {
			b.t.Errorf("%s does not have %q:\n%s", selector, want, got)
		}
	}
}

// until opens a page until an element has each text: a decision is there a moment
// after its answer.
func (b *browser) until(path, selector string, texts ...string) {
	b.t.Helper()
	for {
		b.open(path)
		missing := ""
		got := evaluate[string](b, fmt.Sprintf(`document.querySelector(%q)?.textContent ?? ""`, selector))
		for _, want := range texts {
			if !strings.Contains(got, want) {
				missing = want
			}
		}
		if missing == "" {
			return
		}
		if err := b.ctx.Err(); err != nil {
			b.t.Fatalf("%s of %s never had %q: %v\n%s", selector, path, missing, err, got)
		}
	}
}
