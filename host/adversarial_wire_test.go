package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/peer"
)

// rawRequest is the bytes of a request. A body gets its Content-Length.
func rawRequest(method, target string, host matrix.ServerName, lines []string, body string) string {
	head := method + " " + target + " HTTP/1.1\r\nHost: " + string(host) + "\r\n"
	if body != "" {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	for _, line := range lines {
		head += line + "\r\n"
	}
	return head + "\r\n" + body
}

// raw sends bytes as they are, and takes the first answer.
func (s *scene) raw(request string) exchange {
	return exchange{w: s.w, do: func(t *testing.T) *peer.Exchange {
		c := dialRaw(t, s.w)
		c.write(t, request)
		return c.answer(t)
	}}
}

// rawConn is a TLS connection that a test writes to by hand.
type rawConn struct {
	*tls.Conn
	in *bufio.Reader
}

func dialRaw(t *testing.T, w *world) *rawConn {
	t.Helper()
	// Whose certificate it is plays no part: it is our own listener.
	c, err := tls.Dial("tcp", string(w.address()), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &rawConn{c, bufio.NewReader(c)}
}

func (c *rawConn) write(t *testing.T, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

// answer reads the next answer, which may be a 100.
func (c *rawConn) answer(t *testing.T) *peer.Exchange {
	t.Helper()
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &peer.Exchange{Status: res.StatusCode, Header: res.Header, Body: body}
}
