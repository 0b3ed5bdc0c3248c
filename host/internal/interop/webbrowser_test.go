package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// walkTime ends a walk that hangs; nothing is measured with it.
const walkTime = 10 * time.Minute

// browser is a headless Chromium with one page.
type browser struct {
	t    *testing.T
	ctx  context.Context
	base string // of the server's URLs
	axe  string // the source of axe-core

	mu     sync.Mutex
	faults []string // guarded by mu; scripts that failed and what the browser refused to load
}

// newBrowser starts a Chromium, or skips the test where there is none or no axe-core.
// .ci/web brings both.
func newBrowser(t *testing.T, base string) *browser {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Skip("no chromium is installed")
	}
	path := os.Getenv("KNOCKGATE_AXE")
	if path == "" {
		t.Skip("KNOCKGATE_AXE does not name axe.min.js; run bash .ci/web")
	}
	axe, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), walkTime) // outlives the test, to end the browser
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil { // waits until it has ended
			t.Logf("chromium: %v", err)
		}
		cancel()
	})
	b := &browser{t: t, ctx: ctx, base: base, axe: string(axe)}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	b.do() // starts it, without a limit of its own
	call(b, log.Enable, cdp.Empty{})
	call(b, runtime.Enable, cdp.Empty{})
	return b
}

// listen notes what goes wrong in the page.
func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.faults = append(b.faults, fmt.Sprint(e.ExceptionDetails.Text, " ", e.ExceptionDetails.URL, ":", e.ExceptionDetails.LineNumber))
	case *log.EventEntryAdded:
		if e.Entry.Source == "security" || e.Entry.Level == "error" {
			b.faults = append(b.faults, e.Entry.Text+" "+e.Entry.URL)
		}
	case *page.EventJavascriptDialogOpening:
		b.faults = append(b.faults, "a dialog: "+e.Message)
	}
}

// call sends a command of the browser's protocol.
func call[P, R any](b *browser, command cdp.Command[P, R], params P) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, command, params); err != nil {
		b.t.Fatal(err)
	}
}

// do does one thing after the other in the page.
func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		// For the message alone.
		where, _ := chromedp.Run(b.ctx, chromedp.Location())
		text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		b.t.Fatalf("at %s: %v\n%s", where, err, text)
	}
}

// open opens a page of the server.
func (b *browser) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate(b.base+path), visible("main"))
}

// login logs in with the admin token.
func (b *browser) login(token string) {
	b.t.Helper()
	b.open("/login")
	field := chromedp.CSS("input[name=token]")
	b.do(chromedp.SendKeys(field, token), chromedp.Submit(field), visible("nav a[aria-current=page]"))
}

// visible waits until an element can be seen.
func visible(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.WaitVisible(chromedp.CSS(selector))
}

// text returns what stands in an element.
func (b *browser) text(selector string) string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS(selector)))
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// evaluate returns what an expression is in the page.
func evaluate[T any](b *browser, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatal(err)
	}
	return value
}

// poll waits until an expression is true in the page.
func (b *browser) poll(expression string) {
	b.t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool](expression)); err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
}

// looks are what each page is looked at in.
var looks = []struct {
	scheme        string
	width, height int64
}{{"light", 1280, 900}, {"dark", 1280, 900}, {"light", 380, 800}, {"dark", 380, 800}}

// finding is one of axe-core's, of which serious and critical ones fail a test.
type finding struct {
	ID, Impact, Help string
	Nodes            []struct {
		HTML           string
		FailureSummary string
	}
}

// look holds the page that is open, in light and dark, wide and narrow: axe-core finds
// nothing serious, a narrow screen is not scrolled sideways, and no script failed. It
// leaves a screenshot of each under $KNOCKGATE_ARTIFACTS.
func (b *browser) look(name string) {
	b.t.Helper()
	evaluate[int](b, b.axe+";0")
	for _, look := range looks {
		at := fmt.Sprintf("%s, %s, %d px", name, look.scheme, look.width)
		media := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: look.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}
		b.do(chromedp.EmulateViewport(look.width, look.height))
		call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: media})
		// Closed parts are looked into as well.
		evaluate[int](b, `document.querySelectorAll("details").forEach((d) => d.open = true), 0`)
		// What fades is at its end after two frames and the transitions.
		evaluate[int](b, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() =>
			Promise.allSettled(document.getAnimations().map((a) => a.finished)).then(() => done(0)))))`)
		text := evaluate[string](b, `axe.run(document, { resultTypes: ["violations"] }).then((r) => JSON.stringify(r.violations.map((v) =>
			({ ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.slice(0, 3).map((n) => ({ HTML: n.html.slice(0, 300), FailureSummary: n.failureSummary })) }))))`)
		var findings []finding
		if err := json.Unmarshal([]byte(text), &findings); err != nil {
			b.t.Fatalf("%s: axe: %v: %s", at, err, text)
		}
		for _, f := range findings {
			say := b.t.Logf
			if f.Impact == "serious" || f.Impact == "critical" {
				say = b.t.Errorf
			}
			say("%s: axe: %s, %s: %s", at, f.Impact, f.ID, f.Help)
			for _, n := range f.Nodes {
				say("  %s\n  %s", n.HTML, n.FailureSummary)
			}
		}
		if wide := evaluate[int64](b, `document.documentElement.scrollWidth`); wide > look.width {
			culprit := evaluate[string](b, fmt.Sprintf(`[...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > %d && !e.closest(".scroll, pre")).slice(0, 3).map((e) => e.outerHTML.slice(0, 200)).join("\n")`, look.width))
			b.t.Errorf("%s: the page is %d px wide\n%s", at, wide, culprit)
		}
		b.screenshot(fmt.Sprintf("%s-%s-%d", name, look.scheme, look.width))
	}
	b.do(chromedp.EmulateViewport(looks[0].width, looks[0].height))
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, fault := range b.faults {
		b.t.Errorf("%s: the browser says: %s", name, fault)
	}
	b.faults = nil
}

// mostHeight is how much of a page a screenshot shows.
const mostHeight = 5000

// screenshot writes one of the page, if somebody wants to have it.
func (b *browser) screenshot(name string) {
	b.t.Helper()
	dir := os.Getenv("KNOCKGATE_ARTIFACTS")
	if dir == "" {
		return
	}
	size := evaluate[[]float64](b, `[document.documentElement.clientWidth, document.documentElement.scrollHeight]`)
	beyond := true
	shot, err := chromedp.Call(b.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{
		CaptureBeyondViewport: &beyond, Clip: &page.Viewport{Width: size[0], Height: min(size[1], mostHeight), Scale: 1},
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".png"), shot.Data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}
