package rejudge

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/knockgate/knockgate/host/internal/store"
)

// maxLine is the longest line of a file of decisions, in bytes.
const maxLine = 4 << 20

// File returns the decisions of r, which has one JSON object a line, as "knockgate
// decisions --json" prints them. What policies in monitor mode said is passed over. An
// error names the line.
func File(r io.Reader) Source {
	return func(ctx context.Context, each func(store.Decision) error) error {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 64<<10), maxLine)
		n := 0
		for lines.Scan() {
			n++
			if err := ctx.Err(); err != nil {
				return err
			}
			if len(lines.Bytes()) == 0 {
				continue
			}
			d, err := decode(lines.Bytes())
			if err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
			if d.Mode != "" {
				continue
			}
			if d.ID = int64(n); d.RequestID == "" || d.Verdict == "" {
				return fmt.Errorf("line %d: no decision: it has no request_id or no verdict; \"knockgate decisions --json\" writes such lines", n)
			}
			if err := each(d); err != nil {
				return err
			}
		}
		if err := lines.Err(); err != nil {
			return fmt.Errorf("line %d: %w", n+1, err)
		}
		return nil
	}
}

func decode(line []byte) (d store.Decision, err error) {
	var in struct {
		RequestID string          `json:"request_id"`
		At        time.Time       `json:"at"`
		Phase     string          `json:"phase"`
		Room      string          `json:"room_id"`
		User      string          `json:"user_id"`
		Origin    string          `json:"origin"`
		Verdict   string          `json:"verdict"`
		Mode      string          `json:"mode"`
		Policy    string          `json:"policy"`
		Revision  string          `json:"revision"`
		Fault     string          `json:"fault"`
		Message   string          `json:"message"`
		Note      string          `json:"note"`
		Code      string          `json:"code"`
		Detail    json.RawMessage `json:"detail"`
	}
	if err := json.Unmarshal(line, &in); err != nil {
		return d, err
	}
	return store.Decision{
		RequestID: in.RequestID, At: in.At, Phase: in.Phase, Room: in.Room, User: in.User, Origin: in.Origin, Verdict: in.Verdict,
		Mode: in.Mode, Policy: in.Policy, Revision: in.Revision, Fault: in.Fault, Message: in.Message, Note: in.Note, Code: in.Code,
		Detail: string(in.Detail),
	}, nil
}
