// What a policy can ask the host. Arguments beyond the sizes of sdk/README.md end the
// instance.

@external("knock_v1", "log")
declare function hostLog(level: i32, text: usize, len: i32): void;
@external("knock_v1", "now_ms")
declare function hostNowMs(): i64;
@external("knock_v1", "random")
declare function hostRandom(out: usize, len: i32): void;
@external("knock_v1", "glob_match")
declare function hostGlobMatch(pattern: usize, patternLen: i32, text: usize, textLen: i32): i32;
@external("knock_v1", "acl_allows")
declare function hostACLAllows(acl: usize, aclLen: i32, server: usize, serverLen: i32): i32;
@external("knock_v1", "kv_get")
declare function hostKVGet(key: usize, keyLen: i32, out: usize, cap: i32): i32;
@external("knock_v1", "kv_put")
declare function hostKVPut(key: usize, keyLen: i32, value: usize, valueLen: i32, ttl: i64): i32;
@external("knock_v1", "kv_incr")
declare function hostKVIncr(key: usize, keyLen: i32, delta: i64, ttl: i64): i64;
@external("knock_v1", "list_has")
declare function hostListHas(list: usize, listLen: i32, key: usize, keyLen: i32): i32;

/** How much a line of the log matters. */
export enum Level {
  DEBUG = 0,
  INFO = 1,
  WARN = 2,
  ERROR = 3,
}

function at(b: ArrayBuffer): usize {
  return changetype<usize>(b);
}

/** Writes a line to the host's log, which limits length and number of lines. */
export function log(level: Level, text: string): void {
  const t = String.UTF8.encode(text);
  hostLog(level, at(t), t.byteLength);
}

/** The decision's time in milliseconds since the Unix epoch, which does not move while it is
 * made; 0 in configure. */
export function nowMs(): i64 {
  return hostNowMs();
}

/** At most 65,536 random bytes that follow from the policy and the request's ID. They are no
 * secret. */
export function random(size: i32): Uint8Array {
  const bytes = new Uint8Array(size);
  hostRandom(bytes.dataStart, size);
  return bytes;
}

/** Whether the whole of text matches pattern, in which * is any text and ? any one character,
 * and ASCII letters match in either case. */
export function globMatch(pattern: string, text: string): bool {
  const p = String.UTF8.encode(pattern), t = String.UTF8.encode(text);
  return hostGlobMatch(at(p), p.byteLength, at(t), t.byteLength) == 1;
}

/** Whether the content of an m.room.server_acl event lets a server take part. "" is a room
 * without one, which lets in everybody. */
export function aclAllows(acl: string, server: string): bool {
  const a = String.UTF8.encode(acl), s = String.UTF8.encode(server);
  return hostACLAllows(at(a), a.byteLength, at(s), s.byteLength) == 1;
}

const MAX_KV_VALUE = 4096;

/** What the policy keeps at key, for String.UTF8.decode; null if there is nothing, and past the
 * quota of calls. It needs the capability kv. */
export function kvGet(key: string): ArrayBuffer | null {
  const k = String.UTF8.encode(key), out = new ArrayBuffer(MAX_KV_VALUE);
  const n = hostKVGet(at(k), k.byteLength, at(out), MAX_KV_VALUE);
  return n < 0 ? null : out.slice(0, n);
}

/** Keeps a value, such as String.UTF8.encode(text), at key for all instances of the policy, for
 * ttlMs milliseconds or, with 0, without end. False, and nothing is kept, past a quota. It needs
 * the capability kv. */
export function kvPut(key: string, value: ArrayBuffer, ttlMs: i64): bool {
  const k = String.UTF8.encode(key);
  return hostKVPut(at(k), k.byteLength, at(value), value.byteLength, ttlMs) == 0;
}

/** Adds delta to the counter at key in one step and returns its new value, which does not fall
 * below 0. A new counter starts at 0 and is gone after ttlMs milliseconds; 0 is without end.
 * Below 0, and nothing is counted, past a quota and where the value is no counter. It needs the
 * capability kv. */
export function kvIncr(key: string, delta: i64, ttlMs: i64): i64 {
  const k = String.UTF8.encode(key);
  return hostKVIncr(at(k), k.byteLength, delta, ttlMs);
}

/** What a list of the host says of a key. */
export enum ListAnswer {
  /** It holds the key. */
  HOLDS,
  /** It does not hold the key. */
  LACKS,
  /** The host has no such list, or the quota of calls is used up. */
  UNKNOWN,
}

/** Whether the host's list holds a key. It needs the capability lists. */
export function listHas(list: string, key: string): ListAnswer {
  const l = String.UTF8.encode(list), k = String.UTF8.encode(key);
  const n = hostListHas(at(l), l.byteLength, at(k), k.byteLength);
  return n == 1 ? ListAnswer.HOLDS : n == 0 ? ListAnswer.LACKS : ListAnswer.UNKNOWN;
}

/** What the runtime calls when it gives up; the option --use abort=knock_abort says so. */
// @ts-ignore: decorator
@global
export function knock_abort(message: string | null, file: string | null, line: u32, column: u32): void {
  const text = message === null ? "aborted" : message;
  const place = file === null ? "" : " at " + file + ":" + line.toString() + ":" + column.toString();
  log(Level.ERROR, text + place);
  unreachable();
}
