package matrix

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxID is the longest user, room or event identifier, in bytes.
//
// Spec: Appendices, "Common Identifier Format".
const MaxID = 255

// UserID is a user identifier, "@localpart:server".
type UserID string

// ParseUserID returns s as a UserID. Historical localparts are taken: any
// code points but ':' and NUL, also none at all.
//
// Spec: Appendices, "User Identifiers", "Historical User IDs".
func ParseUserID(s string) (UserID, error) {
	if len(s) > MaxID {
		return "", fmt.Errorf("user ID of %d bytes: at most %d are allowed", len(s), MaxID)
	}
	local, server, ok := strings.Cut(s, ":")
	if !ok || !strings.HasPrefix(local, "@") {
		return "", fmt.Errorf("user ID %q: not of the form @localpart:server", s)
	}
	if !utf8.ValidString(s) || strings.IndexByte(local, 0) >= 0 {
		return "", fmt.Errorf("user ID %q: NUL or invalid UTF-8 in the localpart", s)
	}
	if _, err := ParseServerName(server); err != nil {
		return "", fmt.Errorf("user ID %q: %w", s, err)
	}
	return UserID(s), nil
}

// Localpart returns what stands between '@' and the first ':'.
func (u UserID) Localpart() string {
	local, _, _ := strings.Cut(string(u), ":")
	return strings.TrimPrefix(local, "@")
}

// Server returns the server name of the user.
func (u UserID) Server() ServerName {
	_, server, _ := strings.Cut(string(u), ":")
	return ServerName(server)
}

// RoomID is a room identifier: "!opaque:server", or from room version 12 on
// "!" and the 43 characters of the create event's reference hash.
type RoomID string

// ParseRoomID returns s as a RoomID.
//
// Spec: Appendices, "Room IDs"; room version 12.
func ParseRoomID(s string) (RoomID, error) {
	if len(s) > MaxID {
		return "", fmt.Errorf("room ID of %d bytes: at most %d are allowed", len(s), MaxID)
	}
	if !strings.HasPrefix(s, "!") {
		return "", fmt.Errorf("room ID %q: must start with '!'", s)
	}
	local, server, ok := strings.Cut(s[1:], ":")
	if !ok {
		if !isHash(local) {
			return "", fmt.Errorf("room ID %q: neither !opaque:server nor '!' and 43 URL-safe base64 characters", s)
		}
		return RoomID(s), nil
	}
	if local == "" || !utf8.ValidString(local) || strings.IndexByte(local, 0) >= 0 {
		return "", fmt.Errorf("room ID %q: nothing, NUL or invalid UTF-8 before ':'", s)
	}
	if _, err := ParseServerName(server); err != nil {
		return "", fmt.Errorf("room ID %q: %w", s, err)
	}
	return RoomID(s), nil
}

// Server returns the server name in the ID, and false for a room ID without
// one (room version 12).
func (r RoomID) Server() (ServerName, bool) {
	_, server, ok := strings.Cut(string(r), ":")
	return ServerName(server), ok
}

// EventID is an event identifier in the format of room versions 4 and later:
// "$" and the 43 characters of the reference hash in unpadded URL-safe base64.
type EventID string

// ParseEventID returns s as an EventID.
//
// Spec: Room version 4, "Event IDs".
func ParseEventID(s string) (EventID, error) {
	if !strings.HasPrefix(s, "$") || !isHash(s[1:]) {
		return "", fmt.Errorf("event ID %q: not '$' and 43 URL-safe base64 characters", s)
	}
	return EventID(s), nil
}

// isHash reports whether s is 32 bytes in unpadded URL-safe base64. The last
// character holds 4 bits, so its two low bits must be zero: another spelling
// of the same hash is no identifier.
func isHash(s string) bool {
	if len(s) != 43 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '-' && c != '_' {
			return false
		}
	}
	return strings.IndexByte("AEIMQUYcgkosw048", s[42]) >= 0
}

// KeyID names a signing key, such as "ed25519:a_1".
type KeyID string

// ParseKeyID returns s as a KeyID. Only Ed25519 keys exist, and the version
// after the colon is one or more of [a-zA-Z0-9_].
//
// Spec: Server-Server API, "Retrieving server keys".
func ParseKeyID(s string) (KeyID, error) {
	version, ok := strings.CutPrefix(s, "ed25519:")
	if !ok || version == "" || len(s) > MaxID {
		return "", fmt.Errorf("key ID %q: not of the form ed25519:version", s)
	}
	for i := range len(version) {
		if c := version[i]; !isAlnum(c) && c != '_' {
			return "", fmt.Errorf("key ID %q: the version may hold letters, digits and '_' only", s)
		}
	}
	return KeyID(s), nil
}

// PublicKey is an Ed25519 public key.
type PublicKey [32]byte
