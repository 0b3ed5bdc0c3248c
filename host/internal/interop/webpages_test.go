package interop

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/knockgate/knockgate/host/internal/admin/web"
	"github.com/knockgate/knockgate/host/internal/admin/web/webtest"
)

// TestWebPages looks at all pages over made-up state that has every kind of it, with
// hostile texts everywhere.
func TestWebPages(t *testing.T) {
	fake := webtest.New(time.Now)
	const token = "correct-horse-battery-staple"
	server := httptest.NewServer(web.New(web.Options{
		Server: fake, Policies: fake, Decisions: fake, Knocks: fake, Token: func() (string, error) { return token, nil },
	}))
	t.Cleanup(server.Close) // after the browser, which keeps its connections
	b := newBrowser(t, server.URL)
	b.open("/login")
	b.look("login")
	b.login(token)
	for name, path := range map[string]string{
		"overview": "/", "decisions": "/decisions", "decision": "/decisions/REQ0000005", "policies": "/policies", "knocks": "/knocks",
		"playground": "/playground", "error": "/decisions/NONE",
	} {
		b.open(path)
		if name == "error" { // the browser says itself that a page is 404
			b.mu.Lock()
			b.faults = nil
			b.mu.Unlock()
		}
		b.look(name)
	}

	b.open("/")
	if n := evaluate[int](b, `document.querySelectorAll(".chart canvas").length`); n != 1 {
		t.Errorf("the overview has %d charts drawn, want 1", n)
	}
	evaluate[int](b, `htmx.ajax("GET", "/?span=7d", { target: "#live", select: "#live", swap: "outerHTML" }).then(() => 0)`)
	b.poll(`document.querySelector("#verdicts").textContent.endsWith("7d") && document.querySelectorAll(".chart canvas").length === 1`)
	b.open("/")
	b.do(chromedp.KeyEvent(kb.Tab))
	if got := evaluate[string](b, `document.activeElement.className`); got != "skip" {
		t.Errorf("the first Tab leads to an element of class %q, want skip, which leads to the content", got)
	}
	if got := evaluate[bool](b, `document.activeElement.getBoundingClientRect().left >= 0 && getComputedStyle(document.activeElement).outlineStyle !== "none"`); !got {
		t.Error("the skip link that has the focus cannot be seen")
	}

	b.open("/playground")
	b.do(chromedp.Submit(chromedp.CSS(`textarea[name=facts]`)), visible("#outcome"))
	b.look("playground judged")
	b.open("/policies")
	b.do(chromedp.Submit(chromedp.CSS(`form:has(input[value=mode]) input[name=policy][value=servers]`)), visible("#replay"))
	b.look("before a change")
	b.do(chromedp.Submit(chromedp.CSS(`input[name=change]`)), visible("main pre"))
	b.look("after a change")

	b.open("/decisions")
	b.do(visible("#pause"))
	fake.Add()
	b.do(visible(`a[href="/decisions/REQ0000121"]`))
	b.do(chromedp.Click(chromedp.CSS("#pause")))
	fake.Add()
	b.poll(`document.getElementById("live-text").textContent.startsWith("1 new, not shown")`)
	if n := evaluate[int](b, `document.querySelectorAll('a[href="/decisions/REQ0000122"]').length`); n != 0 {
		t.Error("a row came although the live rows are paused")
	}
	b.do(chromedp.Click(chromedp.CSS("#pause")), visible(`a[href="/decisions/REQ0000122"]`))
	b.look("decisions live")
}
