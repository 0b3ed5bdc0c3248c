package plugins

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/knockgate/knockgate/plugins/internal/schema"
	"github.com/knockgate/knockgate/plugins/internal/wasmbin"
	"github.com/knockgate/knockgate/sdk/abi"
)

const (
	maxVersion     = 64
	maxDescription = 1024
	// maxMetadataFile bounds what Annotate reads, which may have white space.
	maxMetadataFile = 1 << 20
)

// Metadata is what a module says of itself. Nothing in it is to be believed
// but the schema, and that only for what it refuses.
//
// Spec: sdk/README.md, "Metadata".
type Metadata struct {
	// Name, Version and Description are one printable line each.
	Name, Version, Description string
	// Settings is the JSON Schema of the policy's settings as canonical JSON;
	// nil if there is none.
	Settings []byte

	schema *schema.Schema
	text   []byte
}

// ParseMetadata reads a policy's metadata from JSON, which need not be
// canonical. It fails if a loader would refuse a module with it.
func ParseMetadata(text []byte) (*Metadata, error) {
	if len(text) > maxMetadataFile {
		return nil, fmt.Errorf("%d bytes of metadata; at most %d", len(text), maxMetadataFile)
	}
	v, err := schema.Parse(text)
	if err != nil {
		return nil, err
	}
	m := &Metadata{text: schema.AppendCanonical(nil, v)}
	object, ok := v.(map[string]any)
	switch {
	case !ok:
		return nil, errNoObject
	case len(m.text) > abi.MaxMetadata:
		return nil, fmt.Errorf("%d bytes of metadata without white space; at most %d", len(m.text), abi.MaxMetadata)
	case bytes.ContainsRune(m.text, '\uFFFD'):
		return nil, errors.New("a text holds U+FFFD, or half of a surrogate pair")
	}
	if err := schema.Whole(v); err != nil {
		return nil, err
	}
	for key := range object {
		switch key {
		case "name", "version", "description", "settings":
		default:
			return nil, fmt.Errorf("the key %.64q; there are name, version, description and settings", key)
		}
	}
	for _, line := range []struct {
		key  string
		most int
		into *string
	}{{"name", maxName, &m.Name}, {"version", maxVersion, &m.Version}, {"description", maxDescription, &m.Description}} {
		text, ok := object[line.key].(string)
		if !ok || !schema.Line(text, line.most) {
			return nil, fmt.Errorf("%s must be one line of 1 to %d bytes of printable text", line.key, line.most)
		}
		*line.into = text
	}
	settings, ok := object["settings"]
	if !ok {
		return m, nil
	}
	if m.schema, err = schema.Compile(settings); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	m.Settings = schema.AppendCanonical(nil, settings)
	return m, nil
}

// JSON returns the metadata as it stands in a module.
func (m *Metadata) JSON() []byte { return bytes.Clone(m.text) }

// ReadMetadata returns the metadata of a module, nil if it has none. It fails
// if the module or its metadata would be refused at load.
func ReadMetadata(module []byte) (*Metadata, error) {
	scanned, err := scanModule(module)
	if err != nil {
		return nil, err
	}
	return metadataOf(scanned, module)
}

// metadataOf reads the section of a module that has been scanned.
func metadataOf(scanned *wasmbin.Module, module []byte) (m *Metadata, err error) {
	for _, c := range scanned.Customs {
		if c.Name != abi.MetadataSection {
			continue
		}
		text := module[c.Start:c.End]
		switch {
		case m != nil:
			return nil, fmt.Errorf("its section %s stands twice", c.Name)
		case len(text) > abi.MaxMetadata:
			return nil, fmt.Errorf("its section %s has %d bytes; at most %d", c.Name, len(text), abi.MaxMetadata)
		}
		if m, err = ParseMetadata(text); err != nil {
			return nil, fmt.Errorf("its section %s: %w", c.Name, err)
		}
		if !bytes.Equal(m.text, text) {
			return nil, fmt.Errorf("its section %s is not canonical JSON; write it with knockgate policy annotate", c.Name)
		}
	}
	return m, nil
}

// Annotate returns the module with this metadata, in the place of any that it
// has, and with nothing else changed. The metadata is JSON, and becomes
// canonical. It fails if either would be refused at load.
func Annotate(module, metadata []byte) ([]byte, error) {
	scanned, err := scanModule(module)
	if err != nil {
		return nil, err
	}
	m, err := ParseMetadata(metadata)
	if err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	out := scanned.WithCustom(abi.MetadataSection, m.text)
	// The new section may be one too many, or make the module too large.
	if _, err := ReadMetadata(out); err != nil {
		return nil, fmt.Errorf("with the metadata: %w", err)
	}
	return out, nil
}

// CheckSettings checks settings, a JSON object or nil for none, against the
// schema. The error is a [*SettingsError], or says that they are not JSON. A
// nil Metadata and one without a schema take any.
func (m *Metadata) CheckSettings(settings []byte) error {
	if m == nil || m.schema == nil {
		return nil
	}
	if len(settings) == 0 {
		settings = []byte("{}")
	}
	v, err := schema.Parse(settings)
	if err != nil {
		return fmt.Errorf("the settings are %w", err)
	}
	faults := m.schema.Check(v)
	if len(faults) == 0 {
		return nil
	}
	refused := &SettingsError{}
	for _, f := range faults {
		refused.Errors = append(refused.Errors, SettingError(f))
	}
	return refused
}

// Setting is one setting that a module's schema describes.
type Setting struct {
	// Path is where it stands, with "[]" for any item of a list and "*" for any
	// other key, such as "rules[].allow".
	Path string `json:"path"`
	// Kind says what it may be, such as "a text or a list" or "a whole number
	// from 1 to 10".
	Kind string `json:"kind"`
	// Allowed is the JSON of each value that it may have, if they are few.
	Allowed []string `json:"allowed,omitempty"`
	// Default is JSON, "" if the schema names none.
	Default string `json:"default,omitempty"`
	// Description is one printable line, or "".
	Description string `json:"description,omitempty"`
	// Required says that what it stands in must have it.
	Required bool `json:"required,omitempty"`
}

// Table returns the settings that the schema describes, each before those
// within it. It has at most 1,000 rows.
func (m *Metadata) Table() (rows []Setting) {
	if m == nil || m.schema == nil {
		return nil
	}
	for _, f := range m.schema.Fields() {
		rows = append(rows, Setting(f))
	}
	return rows
}

// readMetadata reads what the module says of itself.
func readMetadata(_ context.Context, l *loading) (err error) {
	l.metadata, err = metadataOf(l.scanned, l.module)
	return err
}

// checkSettings holds the settings to the module's schema, before any of its
// code has run.
func checkSettings(_ context.Context, l *loading) error {
	return l.metadata.CheckSettings(l.policy.settings)
}
