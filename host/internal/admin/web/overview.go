package web

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/knockgate/knockgate/host/internal/admin"
)

// spanType is a time that the overview can show, with the steps that it is counted in.
type spanType struct {
	Name        string
	since, step time.Duration
}

var spans = []spanType{
	{"1h", time.Hour, time.Minute}, {"24h", 24 * time.Hour, 30 * time.Minute}, {"7d", 7 * 24 * time.Hour, 4 * time.Hour},
}

type overviewData struct {
	Status    *admin.Status
	Overview  *admin.Overview
	Spans     []spanType
	Span      string
	Total     map[string]int64
	Faults    int64
	Latency   bars
	Monitored []monitored
	Chart     string // JSON
	Rows      []admin.Bucket
}

// monitored is what a policy in monitor mode would have said.
type monitored struct {
	Policy   string
	Verdicts []count
}

func (s *site) overview(v *visit) error {
	span := spans[1]
	if i := slices.IndexFunc(spans, func(one spanType) bool { return one.Name == v.r.URL.Query().Get("span") }); i >= 0 {
		span = spans[i]
	}
	status, err := s.Server.Status(v.ctx())
	if err != nil {
		return err
	}
	o, err := s.Decisions.Overview(v.ctx(), s.Now().Add(-span.since), span.step)
	if err != nil {
		return err
	}
	data := overviewData{Status: status, Overview: o, Spans: spans, Span: span.Name, Total: map[string]int64{}, Latency: newBars(o.Latency, microseconds)}
	for _, b := range o.Buckets {
		for verdict, n := range b.Verdicts {
			data.Total[verdict] += n
		}
		data.Faults += b.Faults
		if len(b.Verdicts) > 0 || b.Faults > 0 {
			data.Rows = append(data.Rows, b)
		}
	}
	slices.Reverse(data.Rows)
	for policy, verdicts := range o.Monitored {
		data.Monitored = append(data.Monitored, monitored{policy, counts(verdicts)})
	}
	for _, p := range status.Policies {
		if _, said := o.Monitored[p.Name]; p.Mode == "monitor" && !said {
			data.Monitored = append(data.Monitored, monitored{Policy: p.Name})
		}
	}
	slices.SortFunc(data.Monitored, func(a, b monitored) int { return strings.Compare(a.Policy, b.Policy) })
	if data.Chart, err = chart(o.Buckets); err != nil {
		return err
	}
	s.pages.write(v, 200, "overview", page{Title: "Overview", Section: "/", Data: data})
	return nil
}

// chart returns the columns that the script draws: the times in seconds, and the
// numbers of each verdict.
func chart(buckets []admin.Bucket) (string, error) {
	var columns struct {
		At           []int64 `json:"at"`
		Allow        []int64 `json:"allow"`
		Deny         []int64 `json:"deny"`
		Incompatible []int64 `json:"incompatible"`
		Faults       []int64 `json:"faults"`
	}
	for _, b := range buckets {
		columns.At = append(columns.At, b.At.Unix())
		columns.Allow = append(columns.Allow, b.Verdicts["allow"])
		columns.Deny = append(columns.Deny, b.Verdicts["deny"])
		columns.Incompatible = append(columns.Incompatible, b.Verdicts["incompatible"])
		columns.Faults = append(columns.Faults, b.Faults)
	}
	text, err := json.Marshal(columns)
	return string(text), err
}
