package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// document is openapi.json, as far as the tests need it.
var document = sync.OnceValue(func() (d struct {
	OpenAPI string
	Paths   map[string]map[string]struct {
		RequestBody *struct {
			Content map[string]struct{ Schema json.RawMessage }
		}
		Responses map[string]struct {
			Ref string `json:"$ref"`
		}
	}
}) {
	if err := json.Unmarshal(openAPI, &d); err != nil {
		panic(err)
	}
	return d
})

// schemas compiles the document's schemas by their JSON pointers in it.
var schemas = sync.OnceValue(func() func(pointer string) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPI))
	if err != nil {
		panic(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource("https://api.example/openapi.json", doc); err != nil {
		panic(err)
	}
	var mu sync.Mutex
	return func(pointer string) (*jsonschema.Schema, error) {
		mu.Lock()
		defer mu.Unlock()
		return c.Compile("https://api.example/openapi.json#" + pointer)
	}
})

// TestRoutes: every route is in the document, and the document has no other.
func TestRoutes(t *testing.T) {
	if v := document().OpenAPI; !strings.HasPrefix(v, "3.1.") {
		t.Errorf("openapi %q, want 3.1", v)
	}
	var got, want []string
	for _, r := range (&api{}).routes() {
		want = append(want, r.method+" "+prefix+r.path)
	}
	for path, operations := range document().Paths {
		for method, o := range operations {
			got = append(got, strings.ToUpper(method)+" "+path)
			if (o.RequestBody != nil) != (method == "post" && path != prefix+"/reload") {
				t.Errorf("%s %s: with a body: %v", method, path, o.RequestBody != nil)
			}
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("openapi.json has\n%s\nthe API answers\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestAnswersFit asks for everything once. Each answer here and in the other tests is
// held against the document.
func TestAnswersFit(t *testing.T) {
	d := newDesk(t, nil)
	d.list = []Decision{{ID: 1, RequestID: "R1"}}
	bodies := map[string]string{
		"/changes": `{"do":"add","revision":"r","policy":"a","settings":{},"grants":[],"phases":[],"rooms":[],"origins":[],"before":"b"}`,
		"/replay":  `{"change":{"do":"rollback","revision":"r"},"since":"2026-01-01T00:00:00Z"}`,
		"/judge":   `{"facts":{},"event":{},"change":{"do":"rollback","revision":"r"}}`, "/knocks/decline": `{"room_id":"!r","user_id":"@u:x","reason":"r"}`,
	}
	for _, r := range (&api{}).routes() {
		path := prefix + strings.Replace(r.path, "{reference}", "R1", 1)
		header := http.Header{"Content-Type": {"application/json"}}
		body := bodies[r.path]
		switch {
		case strings.HasSuffix(path, "/events"):
			continue // it does not end
		case r.method == "POST" && r.path == "/modules":
			header.Set("Content-Type", "application/wasm")
		case body != "":
			checkBody(t, r.path, body)
		}
		if status, _, text := d.do(r.method, path, "", header, strings.NewReader(body)); status != 200 {
			t.Errorf("%s %s: %d %s", r.method, path, status, text)
		}
	}
	checkBody(t, "/changes", `{"do":"mode","revision":"r","policy":"a","mode":"enforce","module":"x"}`)
}

// TestSchemasRefuse: what does not fit is found.
func TestSchemasRefuse(t *testing.T) {
	for pointer, text := range map[string]string{
		"/components/schemas/Error": `{"error":1}`, "/components/schemas/Change": `{"do":"add","revision":"r","more":1}`, "/components/schemas/Status": `{}`,
		"/components/schemas/Entry": `{"at":"now","who":"","what":"","outcome":""}`,
	} {
		schema, err := schemas()(pointer)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil || schema.Validate(v) == nil {
			t.Errorf("%s takes %s (%v)", pointer, text, err)
		}
	}
}

// checkBody holds a request's body against the document.
func checkBody(t *testing.T, path, body string) {
	t.Helper()
	validate(t, fmt.Sprintf("/paths/%s/post/requestBody/content/application~1json/schema", escaped(prefix+path)), []byte(body))
}

// checkAnswer holds an answer against the document.
func checkAnswer(t *testing.T, method, path string, status int, contentType string, body []byte) {
	t.Helper()
	route := routeOf(method, path)
	if route == "" || status == http.StatusNotFound && contentType != "application/json" {
		return // none of the API's, or there is none
	}
	code := fmt.Sprint(status)
	response, ok := document().Paths[route][strings.ToLower(method)].Responses[code]
	if !ok {
		t.Errorf("%s %s: %d is not among the answers in openapi.json", method, route, status)
		return
	}
	pointer := fmt.Sprintf("/paths/%s/%s/responses/%s", escaped(route), strings.ToLower(method), code)
	if response.Ref != "" {
		pointer = strings.TrimPrefix(response.Ref, "#")
	}
	pointer += "/content/" + escaped(contentType) + "/schema"
	if contentType != "application/x-ndjson" {
		validate(t, pointer, body)
		return
	}
	for line := range bytes.Lines(body) {
		validate(t, pointer, line)
	}
}

// routeOf returns the path in the document that a request's path is one of.
func routeOf(method, path string) string {
	for _, route := range slices.Sorted(maps.Keys(document().Paths)) {
		_, there := document().Paths[route][strings.ToLower(method)]
		before, _, open := strings.Cut(route, "{")
		if there && (route == path || open && strings.HasPrefix(path, before) && document().Paths[path] == nil) {
			return route
		}
	}
	return ""
}

func validate(t *testing.T, pointer string, text []byte) {
	t.Helper()
	schema, err := schemas()(pointer)
	if err != nil {
		t.Errorf("openapi.json: %v", err)
		return
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		t.Errorf("%.300s does not fit openapi.json: %v", text, err)
	}
}

func escaped(text string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(text)
}
