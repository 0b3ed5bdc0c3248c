package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/knockgate/knockgate/host/internal/appservice"
	"github.com/knockgate/knockgate/host/internal/notices"
	"github.com/knockgate/knockgate/host/internal/store"
	"github.com/knockgate/knockgate/host/internal/upstream"
)

// openNotices makes the notices of the configuration, none where it has no target.
// It asks no target, but fails where a token cannot be read.
func (s *system) openNotices() error {
	n := s.cfg.Notices
	o := notices.Options{Server: string(s.cfg.ServerName), Now: s.now, Log: s.log, Observer: s.metrics, Poll: s.pollNotices()}
	for _, kind := range n.What {
		o.What = append(o.What, notices.Kind(kind))
	}
	for i, w := range n.Webhooks {
		hook := &notices.Webhook{URL: w.URL}
		if w.TokenFile != "" {
			hook.Token = upstream.TokenFile(w.TokenFile)
			if _, err := hook.Token(); err != nil {
				return fmt.Errorf("%s: notices.webhook[%d].token_file: %w", s.cfg.Path, i, err)
			}
		}
		o.Targets = append(o.Targets, hook)
	}
	for i, r := range n.Rooms {
		room := &notices.Room{Homeserver: r.Homeserver, Room: r.Room, Token: upstream.TokenFile(r.TokenFile)}
		if _, err := room.Token(); err != nil {
			return fmt.Errorf("%s: notices.room[%d].token_file: %w", s.cfg.Path, i, err)
		}
		o.Targets = append(o.Targets, room)
	}
	if len(o.Targets) > 0 {
		s.notices = notices.New(o)
	}
	return nil
}

// sendNotices sends a digest every while, until ctx is done.
func (s *system) sendNotices(ctx context.Context) error {
	if s.notices == nil {
		return nil
	}
	every := time.NewTicker(s.cfg.Notices.Every)
	defer every.Stop()
	s.notices.Run(ctx, every.C)
	return nil
}

// pollNotices returns what notes the lists that have become stale and the decisions
// that were dropped, each since it was last asked. One goroutine asks.
func (s *system) pollNotices() func(note func(notices.Item, int64)) {
	stale := map[string]bool{}
	var dropped int64
	return func(note func(notices.Item, int64)) {
		for _, l := range s.lists.Status() {
			if l.Stale && !stale[l.Name] {
				note(notices.Item{Kind: notices.Lists, Detail: l.Name}, 1)
			}
			stale[l.Name] = l.Stale
		}
		was := dropped
		dropped = s.store.DecisionsDropped()
		note(notices.Item{Kind: notices.Dropped}, dropped-was)
	}
}

// oneLine returns the text of an error on one line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// noticedStore has knocks without a decision noted once they are stored.
type noticedStore struct {
	*store.Store
	notices *notices.Notices
}

func (s noticedStore) TakeTransaction(ctx context.Context, transaction string, knocks []store.Undecided) ([]store.Undecided, error) {
	fresh, err := s.Store.TakeTransaction(ctx, transaction, knocks)
	for _, k := range fresh {
		item := notices.Item{Kind: notices.Undecided, Class: notices.OtherServer, Room: k.Room}
		if k.Kind == appservice.OwnUser {
			item.Class = notices.OwnUser
		} else if _, origin, ok := strings.Cut(k.User, ":"); ok {
			item.Origin = origin
		}
		s.notices.Note(item)
	}
	return fresh, err
}
