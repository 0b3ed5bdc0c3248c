package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/knockgate/knockgate/host/internal/admin"
	"github.com/knockgate/knockgate/host/internal/decisionlog"
	"github.com/knockgate/knockgate/host/internal/matrix"
	"github.com/knockgate/knockgate/host/internal/resident"
	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/plugins"
)

const (
	// maxRefused is how many servers an overview names.
	maxRefused = 20
	// maxPending is how many knocks that wait are listed.
	maxPending = 1000
)

// Decisions implements [admin.Decisions].
func (c *control) Decisions(ctx context.Context, f admin.DecisionFilter) ([]admin.Decision, error) {
	if f.Limit < 0 || f.Limit > admin.MaxList {
		return nil, fmt.Errorf("%w: a limit of %d; at most %d", admin.ErrInvalid, f.Limit, admin.MaxList)
	}
	rows, err := c.store.Decisions(ctx, store.DecisionFilter{
		Monitor: f.Monitor, Room: f.Room, User: f.User, Verdict: f.Verdict, Origin: f.Origin, Policy: f.Policy, Code: f.Code,
		Phase: f.Phase, Request: strings.ToUpper(f.Request), Faults: f.Faults, Since: f.Since, After: f.After, Before: f.Before, Limit: f.Limit,
	})
	if err != nil {
		return nil, err
	}
	list := make([]admin.Decision, len(rows))
	for i := range rows {
		list[i] = listedDecision(&rows[i])
	}
	return list, nil
}

// listedDecision returns a decision without what only one that is asked for has.
func listedDecision(d *store.Decision) admin.Decision {
	return admin.Decision{
		ID: d.ID, RequestID: d.RequestID, At: d.At, Phase: d.Phase, Room: d.Room, User: d.User, Origin: d.Origin, Event: d.Event,
		Verdict: d.Verdict, Mode: d.Mode, Policy: d.Policy, Revision: d.Revision, Fault: d.Fault, Message: d.Message, Note: d.Note,
		Code: d.Code, Status: d.Status, Errcode: d.Errcode, Micros: admin.Took{
			Auth: d.Auth.Microseconds(), Protocol: d.Protocol.Microseconds(), Policies: d.Policies.Microseconds(),
			Act: d.Act.Microseconds(), Total: d.Total.Microseconds(),
		},
	}
}

// Decision implements [admin.Decisions].
func (c *control) Decision(ctx context.Context, reference string) (*admin.Decision, error) {
	id := strings.ToUpper(strings.TrimSpace(reference))
	if id == "" {
		return nil, fmt.Errorf("%w: the reference is empty", admin.ErrInvalid)
	}
	rows, err := c.store.Decisions(ctx, store.DecisionFilter{Request: id, Limit: 2})
	switch {
	case err != nil:
		return nil, err
	case len(rows) == 0:
		return nil, fmt.Errorf("%w: no decision has the request ID %.80q", admin.ErrNotFound, reference)
	case len(rows) > 1:
		return nil, fmt.Errorf("%w: more than one decision begins with %.80q", admin.ErrInvalid, reference)
	}
	d := listedDecision(&rows[0])
	parts, err := decisionlog.Open(&rows[0])
	if err != nil {
		return nil, err
	}
	d.FaultText, d.Fuel, d.Detail, d.Facts, d.Told = parts.FaultText, parts.Fuel, parts.Detail, parts.Facts, parts.Event
	if d.Steps, err = stepsOf(parts.Steps); err != nil {
		return nil, fmt.Errorf("decision %s: %w", d.RequestID, err)
	}
	watched, err := c.store.Decisions(ctx, store.DecisionFilter{Monitor: true, Request: d.RequestID})
	if err != nil {
		return nil, err
	}
	for i := range watched {
		d.Monitored = append(d.Monitored, listedDecision(&watched[i]))
	}
	return &d, nil
}

// stepsOf returns what policies said, with their calls in words.
func stepsOf(steps []plugins.Step) ([]admin.Step, error) {
	list := make([]admin.Step, len(steps))
	for i, s := range steps {
		calls, err := plugins.DescribeTrace(s.Trace)
		if err != nil {
			return nil, err
		}
		list[i] = admin.Step{
			Policy: s.Policy, Verdict: s.Verdict.String(), Fault: string(s.Fault.Class), Note: s.Note, Code: s.Code,
			Fuel: s.Fuel, Micros: s.Micros, Calls: orNone(calls),
		}
	}
	return list, nil
}

// Overview implements [admin.Decisions]. Each step since then has its bucket.
func (c *control) Overview(ctx context.Context, since time.Time, step time.Duration) (*admin.Overview, error) {
	now := c.now()
	if step < time.Minute || step%time.Minute != 0 || now.Sub(since)/step > admin.MaxSteps {
		return nil, fmt.Errorf("%w: steps of %s; whole minutes, and at most %d of them", admin.ErrInvalid, step, admin.MaxSteps)
	}
	since = time.Unix(since.Unix()/int64(step/time.Second)*int64(step/time.Second), 0).UTC()
	counts, err := c.store.DecisionCounts(ctx, since, step)
	if err != nil {
		return nil, err
	}
	o := &admin.Overview{Since: since, Step: step, Buckets: []admin.Bucket{}, Refused: []admin.OriginCount{}, Monitored: map[string]map[string]int64{}}
	for at := since; !at.After(now); at = at.Add(step) {
		o.Buckets = append(o.Buckets, admin.Bucket{At: at, Verdicts: map[string]int64{}})
	}
	var took store.Latencies
	for i := range counts {
		n := &counts[i]
		if n.Mode == decisionlog.Monitor {
			if o.Monitored[n.Policy] == nil {
				o.Monitored[n.Policy] = map[string]int64{}
			}
			o.Monitored[n.Policy][n.Verdict] += n.Number
			continue
		}
		if at := int(n.At.Sub(since) / step); at >= 0 && at < len(o.Buckets) {
			o.Buckets[at].Verdicts[n.Verdict] += n.Number
			if n.Faults {
				o.Buckets[at].Faults += n.Number
			}
		}
		took.Add(n.Took)
	}
	for _, bound := range store.LatencyBounds() {
		o.Latency.Bounds = append(o.Latency.Bounds, float64(bound.Microseconds()))
	}
	o.Latency.Counts = took[:]
	refused, err := c.store.OriginCounts(ctx, since, maxRefused)
	if err != nil {
		return nil, err
	}
	for _, r := range refused {
		o.Refused = append(o.Refused, admin.OriginCount{Origin: r.Origin, Denied: r.Number})
	}
	return o, nil
}

// Rooms implements [admin.Knocks].
func (c *control) Rooms(ctx context.Context) ([]admin.Room, error) {
	rooms, err := c.rooms.Rooms(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]admin.Room, len(rooms))
	for i, r := range rooms {
		list[i] = admin.Room{ID: string(r.ID), Alias: r.Alias, Name: r.Name, Version: r.VersionID, JoinRule: r.JoinRule}
	}
	return list, nil
}

// Pending implements [admin.Knocks]. Of more than 1000 it lists the first.
func (c *control) Pending(ctx context.Context, room string) ([]admin.Pending, error) {
	rooms, err := c.rooms.Rooms(ctx)
	if err != nil {
		return nil, err
	}
	if room != "" {
		one, err := findRoom(rooms, c.rooms.Server, room)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", admin.ErrNotFound, err)
		}
		rooms = []resident.Summary{one}
	}
	list := []admin.Pending{}
	err = eachPending(ctx, c.rooms, rooms, func(p resident.Pending) error {
		list = append(list, admin.Pending{Room: string(p.Room), User: string(p.User), Displayname: p.Displayname, Reason: p.Reason, Since: p.Since})
		if len(list) == maxPending {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return list, err
}

var errEnough = errors.New("enough")

// Decline implements [admin.Knocks].
func (c *control) Decline(ctx context.Context, room, user, reason string) error {
	id, err := matrix.ParseUserID(user)
	if err != nil {
		return fmt.Errorf("%w: %w", admin.ErrInvalid, err)
	}
	rooms, err := c.rooms.Rooms(ctx)
	if err != nil {
		return err
	}
	one, err := findRoom(rooms, c.rooms.Server, room)
	if err != nil {
		return fmt.Errorf("%w: %w", admin.ErrNotFound, err)
	}
	_, err = c.rooms.Decline(ctx, one.ID, id, reason)
	none, refused := (*resident.MembershipError)(nil), (*matrix.Error)(nil)
	switch {
	case errors.As(err, &none):
		return fmt.Errorf("%w: %w", admin.ErrConflict, err)
	case errors.As(err, &refused) && refused.Status < 500:
		return fmt.Errorf("%w: %w", admin.ErrInvalid, err)
	}
	return err
}
