package plugins

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/knockgate/knockgate/sdk/abi"
)

// opaConfigure makes the settings the data document, as data.settings. What the
// heap holds then is what every decision begins with.
func opaConfigure(in *instance, ctx context.Context) error {
	o := in.opa
	settings := in.policy.settings
	if len(settings) == 0 {
		settings = []byte("{}")
	}
	document := slices.Concat([]byte(`{"settings":`), settings, []byte(`}`))
	if !in.mem.Write(in.buffer, document) {
		return fmt.Errorf("%d bytes of settings have no room", len(settings))
	}
	in.gauge.set(in.policy.limits.ConfigureFuel)
	data, err := in.opaCall(ctx, opaParse, uint64(in.buffer), uint64(len(document)))
	if err != nil {
		return err
	}
	if data == 0 {
		return fmt.Errorf("%s: takes the settings for no JSON", opaParse)
	}
	heap, err := in.opaCall(ctx, opaHeapGet)
	if err != nil {
		return err
	}
	o.data, o.heap = uint64(data), uint64(heap)
	if err := in.opaJudge(ctx); err != nil {
		return err
	}
	if _, err = in.opaCall(ctx, opaMalloc, opaWorkRoom); err != nil {
		return err
	}
	_, err = in.opaCall(ctx, opaHeapSet, o.heap)
	return err
}

// opaJudge has the policy judge its settings, if it does: its list of errors
// must be empty.
func (in *instance) opaJudge(ctx context.Context) error {
	o := in.opa
	if !o.refuses {
		return nil
	}
	in.mem.Write(in.buffer, []byte("{}")) // where the settings have been
	ptr, err := in.opaCall(ctx, opaEval, 0, o.errors, o.data, uint64(in.buffer), uint64(len("{}")), o.heap, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", opaErrors, err)
	}
	b, err := terminated(in.mem, ptr, abi.MaxResult)
	if err != nil {
		return fmt.Errorf("%s: %w", opaErrors, err)
	}
	refused, err := parseOPAErrors(b)
	if err != nil {
		return fmt.Errorf("%s: %w", opaErrors, err)
	}
	if len(refused.Errors) > 0 {
		return refused
	}
	return nil
}

// parseOPAErrors reads the result of a query whose value is a list of objects,
// each with a path and a message.
func parseOPAErrors(b []byte) (*SettingsError, error) {
	s := scanner{buf: b}
	refused := &SettingsError{}
	if opaBegin(&s, nil) {
		return nil, errors.New("the rule is undefined; it must be a set, which is empty if nothing is wrong")
	}
	s.expect('[')
	for first := true; s.next(first, ']'); first = false {
		refused.Errors = append(refused.Errors, settingError(&s))
	}
	s.expect('}')
	s.expect(']')
	s.end()
	return refused, s.err
}
