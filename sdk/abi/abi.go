// Package abi is the contract between a Knockgate host and a policy module:
// the names, the numbers and the byte layout of knock ABI 1, and nothing else.
//
// It imports the standard library only and holds no mutable state, so that the
// host, the Go SDK and a policy's own tests can all import it. The normative
// text is sdk/README.md; where this file and that text differ, the text holds.
//
// # Compatibility
//
// Fields are only ever appended. The number of a field, of a phase or of a
// verdict is never used for anything else. A guest reads the field count from
// the frame and treats a field beyond it as absent; a host ignores nothing: a
// verdict it does not know is an error, which denies.
package abi

// Module is the import module of the host functions.
const Module = "knock_v1"

// MetadataSection is the custom section in which a module says what it is, and
// what settings it takes.
const MetadataSection = "knock.policy"

// Names of guest exports.
const (
	// ExportMemory is the guest's linear memory. Required.
	ExportMemory = "memory"
	// ExportBuffer is (size i32) -> i32: called once for each instance with
	// MaxFrame; returns the address of a buffer of that size which the guest
	// keeps for life. 0 refuses. Required.
	ExportBuffer = "knock_v1_buffer"
	// ExportConfigure is (len i32) -> i64: the settings JSON is in the buffer;
	// 0 accepts it, else ptr<<32|len of {"errors":[{"path","message"}]}.
	// Optional: a module without it takes no settings.
	ExportConfigure = "knock_v1_configure"
	// ExportDecide is (len i32) -> i64: the request frame is in the buffer;
	// returns a packed result, see Unpack. Required.
	ExportDecide = "knock_v1_decide"
	// ExportInitialize is () -> (), called before every other export. Optional.
	ExportInitialize = "_initialize"
)

// Names of host functions, all in Module. Those of kv and lists need a
// capability of that name, which the host's configuration grants.
const (
	// ImportLog is (level i32, ptr i32, len i32): a line for the host's log.
	ImportLog = "log"
	// ImportNowMS is () -> i64: the decision's time in milliseconds since the
	// Unix epoch. It does not move while a decision is made.
	ImportNowMS = "now_ms"
	// ImportRandom is (ptr i32, len i32): fills the bytes with random ones that
	// follow from the policy and the request id. They are no secret.
	ImportRandom = "random"
	// ImportGlobMatch is (pattern i32, pattern_len i32, text i32, text_len i32)
	// -> i32: 1 if the whole text matches the pattern, in which * is any text
	// and ? one character, and ASCII letters match in either case; else 0.
	ImportGlobMatch = "glob_match"
	// ImportACLAllows is (acl i32, acl_len i32, server i32, server_len i32) ->
	// i32: 1 if the content of an m.room.server_acl event lets a server take
	// part; else 0.
	ImportACLAllows = "acl_allows"
	// ImportKVGet is (key i32, key_len i32, out i32, out_cap i32) -> i32: the
	// length of the key's value, which is at out; KVAbsent, KVSmall or KVLimit.
	// Capability kv.
	ImportKVGet = "kv_get"
	// ImportKVPut is (key i32, key_len i32, value i32, value_len i32, ttl_ms
	// i64) -> i32: 0, or KVLimit. Capability kv.
	ImportKVPut = "kv_put"
	// ImportKVIncr is (key i32, key_len i32, delta i64, ttl_ms i64) -> i64: the
	// counter's new value, KVLimit or KVKind. Capability kv.
	ImportKVIncr = "kv_incr"
	// ImportListHas is (list i32, list_len i32, key i32, key_len i32) -> i32: 1
	// if the host's list holds the key, else 0; KVAbsent or KVLimit. Capability
	// lists.
	ImportListHas = "list_has"
)

// What host functions answer where they have no value.
const (
	// KVAbsent: the key has no value, or there is no such list.
	KVAbsent = -1
	// KVSmall: the value has no room at out. Nothing was written.
	KVSmall = -2
	// KVLimit: a quota, of size, of number or of calls. Nothing was done.
	KVLimit = -3
	// KVKind: the key's value is no counter. Nothing was done.
	KVKind = -4
)

// Levels of ImportLog.
const (
	LogDebug = 0
	LogInfo  = 1
	LogWarn  = 2
	LogError = 3
)

// Sizes, in bytes.
const (
	// MaxFrame is the largest request frame, and the size asked of
	// ExportBuffer. An event is at most 65,536 bytes; its text can stand in a
	// frame three times (FieldEvent, the decoded fields, FieldJSON).
	MaxFrame = 256 << 10
	// MaxResult is the largest JSON object that decide or configure may return.
	MaxResult = 16 << 10
	// MaxMessage is the most of a verdict's message that reaches the knocker.
	MaxMessage = 512
	// MaxSettings is the largest settings JSON.
	MaxSettings = 128 << 10
	// MaxMetadata is the most of what is in MetadataSection.
	MaxMetadata = 64 << 10
	// MaxGlob and MaxGlobText are the most of ImportGlobMatch.
	MaxGlob     = 512
	MaxGlobText = 64 << 10
	// MaxRoomACL is the largest FieldRoomACL. A larger ACL is not told: beside the
	// largest event it would not fit a frame, and a part of one is another.
	MaxRoomACL = 16 << 10
	// MaxACL and MaxServerName are the most of ImportACLAllows.
	MaxACL        = 64 << 10
	MaxServerName = 512
	// MaxKVKey and MaxKVValue are the most of a key, which is not empty, and of
	// its value.
	MaxKVKey   = 512
	MaxKVValue = 4096
	// MaxListKey is the most of a list's name, and of what is looked up.
	MaxListKey = 1024
)

// Phase is the half of the knock handshake that is being judged.
type Phase uint32

// The phases. The zero value is no phase.
const (
	MakeKnock Phase = 1
	SendKnock Phase = 2
)

// String returns the phase's name in configuration, logs and records:
// "make_knock" or "send_knock".
func (p Phase) String() string {
	switch p {
	case MakeKnock:
		return "make_knock"
	case SendKnock:
		return "send_knock"
	}
	return "no phase"
}

// Verdict is a policy's answer. The zero value is no verdict: an error.
type Verdict uint32

// The verdicts, with the numbers of an inline result.
const (
	// Allow lets the knock through.
	Allow Verdict = 1
	// Deny refuses it: 403 M_FORBIDDEN.
	Deny Verdict = 2
	// Incompatible refuses it as 400 M_INCOMPATIBLE_ROOM_VERSION with the
	// room's real version.
	Incompatible Verdict = 3
	// Pass is no opinion: the next policy of the chain is asked.
	Pass Verdict = 4
	// Error says that the policy could not decide.
	Error Verdict = 255
)

// String returns the verdict's word in configuration, results and records, or
// "no verdict" for a value that is none.
func (v Verdict) String() string {
	switch v {
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	case Incompatible:
		return "incompatible"
	case Pass:
		return "pass"
	case Error:
		return "error"
	}
	return "no verdict"
}

// ParseVerdict returns the verdict whose word is s, and false if there is none.
func ParseVerdict(s string) (Verdict, bool) {
	for _, v := range [...]Verdict{Allow, Deny, Incompatible, Pass, Error} {
		if v.String() == s {
			return v, true
		}
	}
	return 0, false
}

// Pack makes the i64 result of decide or configure from an address and a
// length in linear memory.
func Pack(ptr, size uint32) uint64 { return uint64(ptr)<<32 | uint64(size) }

// Unpack splits the i64 result of decide. With ptr 0, size is an inline
// Verdict; else ptr and size give the place of a JSON object.
func Unpack(result uint64) (ptr, size uint32) { return uint32(result >> 32), uint32(result) }
