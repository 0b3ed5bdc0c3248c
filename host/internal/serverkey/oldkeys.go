package serverkey

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knockgate/knockgate/host/internal/matrix"
)

// maxOldKeyFile is the largest file of old keys, in bytes.
const maxOldKeyFile = 64 << 10

// loadOldKeys returns the old keys in the file at path, sorted by ID; none if
// there is no such file.
func loadOldKeys(path string) ([]OldKey, error) {
	data, err := readOwn(path, maxOldKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("old keys %s: %w", path, err)
	}
	old, err := parseOldKeyFile(data)
	if err != nil {
		return nil, fmt.Errorf("old keys %s: %w", path, err)
	}
	return old, nil
}

// parseOldKeyFile reads lines "ed25519 a_abcd key expired_ts", the public key in
// base64 and the time in milliseconds. Empty lines and what follows '#' do not
// count. A key that is known to be compromised is left out: anyone could sign
// events of the past with it.
func parseOldKeyFile(data []byte) ([]OldKey, error) {
	var old []OldKey
	seen := map[matrix.KeyID]bool{}
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		k, err := parseOldKey(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if seen[k.ID] {
			return nil, fmt.Errorf("line %d: key %q stands twice", number, k.ID)
		}
		seen[k.ID] = true
		if !compromised(k.Key) {
			old = append(old, k)
		}
	}
	if len(old) > maxOldKeys {
		return nil, fmt.Errorf("holds %d keys; at most %d can be published: remove the oldest", len(old), maxOldKeys)
	}
	sortOldKeys(old)
	return old, nil
}

func parseOldKey(fields []string) (k OldKey, err error) {
	if len(fields) != 4 || fields[0] != "ed25519" {
		return k, fmt.Errorf("want %q", "ed25519 a_abcd <public key in base64> <expired_ts in milliseconds>")
	}
	if k.ID, err = matrix.ParseKeyID("ed25519:" + fields[1]); err != nil {
		return OldKey{}, errors.New("the second word is not a key version: only letters, digits and '_' may stand in it")
	}
	if k.Key, err = matrix.ParsePublicKey(fields[2]); err != nil {
		return OldKey{}, err
	}
	// At most what a number on the wire can be.
	ms, err := strconv.ParseInt(fields[3], 10, 64)
	if err != nil || ms < 0 || ms > 1<<53-1 {
		return OldKey{}, fmt.Errorf("%.60q is not a time in milliseconds", fields[3])
	}
	k.ExpiredAt = time.UnixMilli(ms)
	return k, nil
}

// formatOldKeys is what parseOldKeyFile reads.
func formatOldKeys(old []OldKey) []byte {
	out := []byte("# Public keys that this server signed with before, and until when (milliseconds).\n")
	for _, k := range old {
		version := strings.TrimPrefix(string(k.ID), "ed25519:")
		out = fmt.Appendf(out, "ed25519 %s %s %d\n", version, k.Key, k.ExpiredAt.UnixMilli())
	}
	return out
}

func sortOldKeys(old []OldKey) {
	slices.SortFunc(old, func(a, b OldKey) int { return cmp.Compare(a.ID, b.ID) })
}
