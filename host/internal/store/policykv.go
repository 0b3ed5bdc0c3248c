package store

import (
	"context"
	"fmt"
)

// PolicyValue is a value that a policy keeps.
type PolicyValue struct {
	Policy string
	Key    []byte
	Value  []byte
	// ExpiresMS is in milliseconds since the Unix epoch; 0 is never.
	ExpiresMS int64
}

// PolicyValues calls each for every value that policies keep, and stops at its
// first error. each keeps no slice.
func (s *Store) PolicyValues(ctx context.Context, each func(PolicyValue) error) error {
	rows, err := s.readers.QueryContext(ctx, "SELECT policy, key, value, expires_ms FROM policy_kv")
	if err != nil {
		return s.wrap("reading what policies keep", err)
	}
	defer rows.Close()
	for rows.Next() {
		var v PolicyValue
		if err := rows.Scan(&v.Policy, &v.Key, &v.Value, &v.ExpiresMS); err != nil {
			return s.wrap("reading what policies keep", err)
		}
		if err := each(v); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return s.wrap("reading what policies keep", err)
	}
	return nil
}

// SetPolicyValue stores a value, in place of the one at its key. Key and Value
// are not nil.
func (t *Tx) SetPolicyValue(v *PolicyValue) error {
	_, err := t.exec(stSetPolicyValue, v.Policy, v.Key, v.Value, v.ExpiresMS)
	return err
}

// DropPolicyValue removes a value, if there is one.
func (t *Tx) DropPolicyValue(policy string, key []byte) error {
	_, err := t.exec(stDropPolicyValue, policy, key)
	return err
}

// CheckWritable writes something that is gone with the same commit, and fails if
// that cannot be put on disk before ctx ends. The error then has that of the last
// transaction, if it failed.
func (s *Store) CheckWritable(ctx context.Context) error {
	err := s.Write(ctx, func(t *Tx) error {
		none := PolicyValue{Key: []byte("check"), Value: []byte{}} // no policy is called ""
		if err := t.SetPolicyValue(&none); err != nil {
			return err
		}
		return t.DropPolicyValue(none.Policy, none.Key)
	})
	if err == nil || ctx.Err() == nil {
		return err
	}
	if failed := s.writer.failed.Load(); failed != nil {
		return fmt.Errorf("no write in time; the last one: %w", *failed)
	}
	return s.wrap("no write in time", err)
}
