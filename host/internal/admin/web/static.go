package web

import (
	"embed"
	"mime"
	"net/http"
	"path"
)

//go:embed static templates
var files embed.FS

// served are the files under /static/.
var served = map[string]string{
	"htmx.min.js":            "static/vendored/htmx.min.js",
	"uPlot.iife.min.js":      "static/vendored/uPlot.iife.min.js",
	"uPlot.min.css":          "static/vendored/uPlot.min.css",
	"pico.classless.min.css": "static/vendored/pico.classless.min.css",
	"knockgate.js":           "static/knockgate.js",
	"knockgate.css":          "static/knockgate.css",
}

func serveStatic(w http.ResponseWriter, r *http.Request) {
	name, ok := served[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	body, err := files.ReadFile(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	w.Header().Set("Cache-Control", "max-age=3600")
	_, _ = w.Write(body)
}
