package doctor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/knockgate/knockgate/host/internal/canonicaljson"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/serverkey"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// maxProbe bounds the body of a probe.
const maxProbe = 8 << 10

// probeTime bounds the reading of its body.
const probeTime = 10 * time.Second

// Echo answers the probes of an announced doctor with what it saw of them, and
// hands every other request to Next.
type Echo struct {
	// Dir is the state folder, where doctors announce themselves.
	Dir string
	// Server is this server's name.
	Server matrix.ServerName
	Next   http.Handler
}

// seen is a request as it came.
type seen struct {
	Server         matrix.ServerName `json:"server_name"`
	Method         string            `json:"method"`
	Target         string            `json:"target"`
	Host           string            `json:"host"`
	Authorization  []string          `json:"authorization"`
	BodySHA256     string            `json:"body_sha256"`
	Signature      string            `json:"signature"` // "ok", or why it is not
	Remote         string            `json:"remote"`
	ForwardedFor   []string          `json:"forwarded_for"`
	ForwardedProto string            `json:"forwarded_proto"`
}

// reply is the body of an answer to a probe.
type reply struct {
	Doctor *seen `json:"knockgate_doctor"`
}

// ServeHTTP answers one request.
func (e *Echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The real time: an announcement is between two processes of one machine.
	a := announced(e.Dir, r.RequestURI, time.Now())
	if a == nil {
		e.Next.ServeHTTP(w, r)
		return
	}
	// Not every writer has deadlines; the listener's have.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(probeTime))
	body, err := io.ReadAll(io.LimitReader(r.Body, maxProbe))
	if err != nil {
		return // the sender left
	}
	sum := sha256.Sum256(body)
	answer, err := json.Marshal(reply{&seen{
		Server: e.Server, Method: r.Method, Target: r.RequestURI, Host: r.Host,
		Authorization: r.Header["Authorization"], BodySHA256: hex.EncodeToString(sum[:]),
		Signature: e.signature(r, a, body), Remote: r.RemoteAddr,
		ForwardedFor: r.Header["X-Forwarded-For"], ForwardedProto: r.Header.Get("X-Forwarded-Proto"),
	}})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(answer)
}

// signature returns "ok" if the request is signed by the doctor as it came, and
// else why it is refused, in the words that any peer would get.
func (e *Echo) signature(r *http.Request, a *announcement, body []byte) string {
	auth := &xmatrix.Authenticator{Server: e.Server, Keys: a, Verify: serverkey.Verify}
	credentials, err := auth.Parse(r.Header)
	if err != nil {
		return err.Error()
	}
	var content []byte
	if len(body) > 0 {
		doc, err := canonicaljson.Parse(body)
		if err != nil {
			return "the body is not JSON: " + err.Error()
		}
		content = doc.Bytes()
	}
	if _, err := auth.Check(r.Context(), credentials, r.Method, r.RequestURI, content); err != nil {
		return err.Error()
	}
	return "ok"
}

// RequestKey returns the doctor's key.
func (a *announcement) RequestKey(_ context.Context, server matrix.ServerName, id matrix.KeyID) (matrix.PublicKey, error) {
	if server != Origin || id != a.KeyID {
		return matrix.PublicKey{}, errors.New("not the doctor's key")
	}
	return matrix.ParsePublicKey(a.Key)
}
