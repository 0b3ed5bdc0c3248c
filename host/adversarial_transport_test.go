package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/knockgate/knockgate/host/internal/peer"
	"github.com/knockgate/knockgate/host/internal/xmatrix"
)

// transportCases are 89 to 92: the bytes on the connection.
func transportCases(s *scene) []adversarial {
	// put makes the parts of a signed send_knock and has them sent in a way.
	put := func(send func(t *testing.T, c *rawConn, target, authorization, event string) *peer.Exchange) asked {
		return func(t *testing.T) exchange {
			event, id := s.w.signed(t, s.p, s.room, s.user(), nil)
			target := peer.SendTarget(s.room, id)
			authorization := "Authorization: " + xmatrix.Header(s.p.Key(), s.p.Name(), s.w.name, http.MethodPut, target, event)
			return exchange{w: s.w, do: func(t *testing.T) *peer.Exchange {
				return send(t, dialRaw(t, s.w), target, authorization, string(event))
			}}
		}
	}
	// written is put for bytes that need no answer in between.
	written := func(request func(target, authorization, event string) string) asked {
		return put(func(t *testing.T, c *rawConn, target, authorization, event string) *peer.Exchange {
			c.write(t, request(target, authorization, event))
			return c.answer(t)
		})
	}
	head := func(target string, lines ...string) string {
		return rawRequest(http.MethodPut, target, s.w.name, lines, "")
	}
	const chunkedLine = "Transfer-Encoding: chunked"
	return []adversarial{
		{"89 chunked PUT", written(func(target, authorization, event string) string {
			return head(target, authorization, chunkedLine) + chunks(event, 100)
		}), 200, "", knocked},
		{"89 chunked PUT, a byte a chunk", written(func(target, authorization, event string) string {
			return head(target, authorization, chunkedLine) + chunks(event, 1)
		}), 200, "", knocked},
		{"89 chunked PUT over the limit", put(func(t *testing.T, c *rawConn, target, authorization, event string) *peer.Exchange {
			c.write(t, head(target, authorization, chunkedLine)+chunks(event+strings.Repeat(" ", 128<<10), 64<<10))
			return c.answer(t)
		}), 413, "M_TOO_LARGE", nothing},
		{"89 chunked PUT that ends early", put(func(t *testing.T, c *rawConn, target, authorization, event string) *peer.Exchange {
			c.write(t, head(target, authorization, chunkedLine)+strings.TrimSuffix(chunks(event, 100), "0\r\n\r\n"))
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			return c.answer(t)
		}), 400, "M_NOT_JSON", nothing},
		{"89 chunked PUT with a chunk size that is none", written(func(target, authorization, event string) string {
			return head(target, authorization, chunkedLine) + "zz\r\n" + event + "\r\n0\r\n\r\n"
		}), 400, "M_NOT_JSON", nothing},
		{"90 Expect: 100-continue", put(func(t *testing.T, c *rawConn, target, authorization, event string) *peer.Exchange {
			c.write(t, head(target, authorization, "Expect: 100-continue", fmt.Sprintf("Content-Length: %d", len(event))))
			if x := c.answer(t); x.Status != http.StatusContinue {
				t.Errorf("%d, want 100 first", x.Status)
				return x
			}
			c.write(t, event)
			return c.answer(t)
		}), 200, "", knocked},
		{"90 Expect: 100-continue without Authorization: nothing is read", put(func(t *testing.T, c *rawConn, target, _, event string) *peer.Exchange {
			c.write(t, head(target, "Expect: 100-continue", fmt.Sprintf("Content-Length: %d", len(event))))
			return c.answer(t)
		}), 401, "M_UNAUTHORIZED", nothing},
		{"90 Expect: 100-continue with too much: nothing is read", put(func(t *testing.T, c *rawConn, target, authorization, _ string) *peer.Exchange {
			c.write(t, head(target, authorization, "Expect: 100-continue", "Content-Length: 1000000000"))
			return c.answer(t)
		}), 413, "M_TOO_LARGE", nothing},
		{"90 Expect of something else: net/http answers", written(func(target, authorization, event string) string {
			return rawRequest(http.MethodPut, target, s.w.name, []string{authorization, "Expect: the-unexpected"}, event)
		}), 417, "", nothing},
		{"91 gzip body", written(func(target, authorization, event string) string {
			return rawRequest(http.MethodPut, target, s.w.name, []string{authorization, "Content-Encoding: gzip"}, zipped(event))
		}), 400, "M_NOT_JSON", nothing},
		{"91 gzip body that says nothing of it", written(func(target, authorization, event string) string {
			return rawRequest(http.MethodPut, target, s.w.name, []string{authorization}, zipped(event))
		}), 400, "M_NOT_JSON", nothing},
		{"91 gzip that would be a gigabyte", written(func(target, authorization, event string) string {
			return rawRequest(http.MethodPut, target, s.w.name, []string{authorization, "Content-Encoding: gzip"}, zipped(strings.Repeat(" ", 16<<20)))
		}), 400, "M_NOT_JSON", nothing},
		{"91 gzip as a transfer coding: net/http answers", written(func(target, authorization, event string) string {
			return head(target, authorization, "Transfer-Encoding: gzip, chunked") + chunks(zipped(event), 100)
		}), 501, "", nothing},
		{"92 two different Content-Length: net/http answers", written(func(target, authorization, event string) string {
			return rawRequest(http.MethodPut, target, s.w.name, []string{authorization, "Content-Length: 2"}, event)
		}), 400, "", nothing},
		{"92 a Content-Length that is none: net/http answers", written(func(target, authorization, event string) string {
			return head(target, authorization, "Content-Length: +10") + event
		}), 400, "", nothing},
		// RFC 9112, section 6.3: the chunks count, and what comes behind them
		// is a request of its own, which must be authenticated like any other.
		{"92 Content-Length beside chunks, a request hidden behind them", put(func(t *testing.T, c *rawConn, target, authorization, event string) *peer.Exchange {
			hidden := rawRequest(http.MethodPut, target, s.w.name, nil, event)
			body := chunks("{}", 2)
			c.write(t, head(target, authorization, fmt.Sprintf("Content-Length: %d", len(body+hidden)), chunkedLine)+body+hidden)
			if x := c.answer(t); x.Status != 401 {
				t.Errorf("the first request, whose body is {}: %d, want 401", x.Status)
			}
			return c.answer(t)
		}), 401, "M_UNAUTHORIZED", nothing},
		{"92 chunks in HTTP/1.0, which has none: no body", written(func(target, authorization, event string) string {
			return strings.Replace(head(target, authorization, chunkedLine), "HTTP/1.1", "HTTP/1.0", 1) + chunks(event, 100)
		}), 400, "M_NOT_JSON", nothing},
		{"92 two requests in one write are two", put(func(t *testing.T, c *rawConn, target, authorization, event string) *peer.Exchange {
			request := rawRequest(http.MethodPut, target, s.w.name, []string{authorization}, event)
			c.write(t, request+request)
			if x := c.answer(t); x.Status != 200 {
				t.Errorf("the first: %d %s", x.Status, x.Body)
			}
			return c.answer(t)
		}), 200, "", knocked},
		{"92 no Host: net/http answers", written(func(target, authorization, event string) string {
			return fmt.Sprintf("PUT %s HTTP/1.1\r\n%s\r\nContent-Length: %d\r\n\r\n%s", target, authorization, len(event), event)
		}), 400, "", nothing},
		{"92 a header that goes on in the next line", written(func(target, authorization, event string) string {
			return rawRequest(http.MethodPut, target, s.w.name, []string{strings.Replace(authorization, ",", ",\r\n ", 1)}, event)
		}), 200, "", knocked},
		{"92 a header over 64 KiB: net/http answers", written(func(target, authorization, event string) string {
			return rawRequest(http.MethodPut, target, s.w.name, []string{authorization, "X: " + strings.Repeat("a", 80<<10)}, event)
		}), 431, "", nothing},
	}
}

// chunks is s in the chunked transfer coding.
func chunks(s string, size int) string {
	var b strings.Builder
	for len(s) > 0 {
		n := min(size, len(s))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, s[:n])
		s = s[n:]
	}
	return b.String() + "0\r\n\r\n"
}

func zipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.String()
}
