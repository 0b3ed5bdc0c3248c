// The knock that is judged: views of the host's request frame.

/** The half of the knock that is judged. A number of a later edition is none of these: a policy
 * passes. */
export enum Phase {
  /** A server asks for a template of a knock. */
  MAKE_KNOCK = 1,
  /** A server hands over a signed knock. A peer need not do the other before. */
  SEND_KNOCK = 2,
}

/** The numbers of the fields. */
export enum Field {
  JSON = 0,
  ROOM_ID = 1,
  ROOM_VERSION = 2,
  USER_ID = 3,
  USER_LOCALPART = 4,
  USER_SERVER = 5,
  ORIGIN = 6,
  SUPPORTED_VERSIONS = 7,
  REASON = 8,
  DISPLAYNAME = 9,
  AVATAR_URL = 10,
  EVENT = 11,
  REQUEST_ID = 12,
  NOW_MS = 13,
  CONTENT_HASH_OK = 14,
  ROOM_KNOWN = 15,
  ROOM_JOIN_RULE = 16,
  ROOM_NAME = 17,
  ROOM_ALIAS = 18,
  ROOM_TOPIC = 19,
  ROOM_ENCRYPTED = 20,
  ROOM_MEMBERS = 21,
  USER_MEMBERSHIP = 22,
  ROOM_AGE_MS = 23,
  ROOM_ACL = 24,
  ROOM_PENDING = 25,
  ROOM_PENDING_SERVER = 26,
  ROOM_MEMBERS_SERVER = 27,
  ROOM_BANNED = 28,
  ROOM_BANNED_SERVER = 29,
  USER_MEMBERSHIP_SINCE_MS = 30,
  USER_MEMBERSHIP_BY = 31,
}

const MAGIC: u32 = 0x314b4e4b;
const HEADER: u32 = 16;
const ENTRY: u32 = 8;

/** The knock to be judged. Each getter of a text makes a string of the field anew: keep it in a
 * local. A text that is absent is null, a number 0, a truth value false; has tells. */
export class Knock {
  constructor(private frame: usize, private len: u32) {}

  /** Whether the frame's header and table are whole. A field outside the frame, which no host
   * sends, ends the instance when it is asked for. */
  get whole(): bool {
    return this.len >= HEADER && load<u32>(this.frame) == MAGIC && load<u32>(this.frame, 4) == this.len &&
      load<u32>(this.frame, 12) <= (this.len - HEADER) / ENTRY;
  }

  /** The phase. */
  get phase(): Phase {
    return <Phase>load<u32>(this.frame, 8);
  }

  /** Where a field is in memory, 0 if it is absent. */
  private at(field: Field): usize {
    if (<u32>field >= load<u32>(this.frame, 12)) return 0;
    const entry = this.frame + HEADER + <u32>field * ENTRY;
    const offset = load<u32>(entry), size = load<u32>(entry, 4);
    if (offset == 0) return 0;
    if (<u64>offset + <u64>size > <u64>this.len) unreachable();
    return this.frame + offset;
  }

  private size(field: Field): i32 {
    return load<i32>(this.frame + HEADER + <u32>field * ENTRY, 4);
  }

  /** Whether the host sent a field. */
  has(field: Field): bool {
    return this.at(field) != 0;
  }

  /** A field that is text. */
  text(field: Field): string | null {
    const at = this.at(field);
    return at == 0 ? null : String.UTF8.decodeUnsafe(at, this.size(field));
  }

  /** A field that is a number. */
  number(field: Field): i64 {
    const at = this.at(field);
    return at == 0 || this.size(field) != 8 ? 0 : load<i64>(at);
  }

  /** A field that is a truth value. */
  truth(field: Field): bool {
    const at = this.at(field);
    return at != 0 && this.size(field) == 1 && load<u8>(at) == 1;
  }

  /** All facts but the event, as one JSON object. */
  get json(): string | null { return this.text(Field.JSON); }
  /** The room's ID. From room version 12 on it has no server name. */
  get roomID(): string | null { return this.text(Field.ROOM_ID); }
  /** The room's version, such as "11". */
  get roomVersion(): string | null { return this.text(Field.ROOM_VERSION); }
  /** The knocker, such as "@alice:example.org". */
  get userID(): string | null { return this.text(Field.USER_ID); }
  /** The part of the knocker's ID between "@" and ":". */
  get userLocalpart(): string | null { return this.text(Field.USER_LOCALPART); }
  /** The server name in the knocker's ID, without its port. */
  get userServer(): string | null { return this.text(Field.USER_SERVER); }
  /** The server that sent the request, with its port if it has one. Its signature has been
   * checked. */
  get origin(): string | null { return this.text(Field.ORIGIN); }
  /** The origin without its port: what lists of servers are matched with. */
  get originServer(): string {
    const origin = this.origin;
    return origin === null ? "" : stripPort(origin);
  }
  /** The room versions that the knocker's server says it supports. Only make_knock has them. */
  get supportedVersions(): string[] {
    const all = this.text(Field.SUPPORTED_VERSIONS);
    return all === null || all.length == 0 ? [] : all.split("\n");
  }
  /** Whether the knocker's server says that it supports a room version; never on send_knock,
   * which does not tell. */
  supports(version: string): bool { return this.supportedVersions.includes(version); }
  /** What the knocker wrote. Only send_knock has it. */
  get reason(): string | null { return this.text(Field.REASON); }
  /** The name that the knocker claims. Only send_knock has it. */
  get displayname(): string | null { return this.text(Field.DISPLAYNAME); }
  /** The avatar that the knocker claims. Only send_knock has it. */
  get avatarURL(): string | null { return this.text(Field.AVATAR_URL); }
  /** The knock event as canonical JSON. Only send_knock has it. */
  get event(): string | null { return this.text(Field.EVENT); }
  /** The host's ID of the request, as in its log and record. */
  get requestID(): string | null { return this.text(Field.REQUEST_ID); }
  /** When the decision began, in milliseconds since the Unix epoch. */
  get nowMs(): i64 { return this.number(Field.NOW_MS); }
  /** Whether the event is as its sender signed it. If not, reason, display name and avatar are
   * absent. Only send_knock has it. */
  get contentHashOK(): bool { return this.truth(Field.CONTENT_HASH_OK); }
  /** Whether the host has a view of the room's state. If not, every field below is absent. */
  get roomKnown(): bool { return this.truth(Field.ROOM_KNOWN); }
  /** The room's join rule, such as "knock". */
  get roomJoinRule(): string | null { return this.text(Field.ROOM_JOIN_RULE); }
  /** The room's name. */
  get roomName(): string | null { return this.text(Field.ROOM_NAME); }
  /** The room's canonical alias. */
  get roomAlias(): string | null { return this.text(Field.ROOM_ALIAS); }
  /** The room's topic. */
  get roomTopic(): string | null { return this.text(Field.ROOM_TOPIC); }
  /** Whether the room is encrypted. */
  get roomEncrypted(): bool { return this.truth(Field.ROOM_ENCRYPTED); }
  /** How many users have joined the room. */
  get roomMembers(): i64 { return this.number(Field.ROOM_MEMBERS); }
  /** The knocker's membership before this knock. */
  get userMembership(): string | null { return this.text(Field.USER_MEMBERSHIP); }
  /** How old the host's view of the room is, in milliseconds. */
  get roomAgeMs(): i64 { return this.number(Field.ROOM_AGE_MS); }
  /** The content of the room's m.room.server_acl event, for aclAllows. Empty: the room has none,
   * which lets in everybody. null says nothing of the room. */
  get roomACL(): string | null { return this.text(Field.ROOM_ACL); }
  /** How many users are knocking on the room. */
  get roomPending(): i64 { return this.number(Field.ROOM_PENDING); }
  /** How many of them are of the knocker's server. */
  get roomPendingServer(): i64 { return this.number(Field.ROOM_PENDING_SERVER); }
  /** How many users of the knocker's server have joined the room. */
  get roomMembersServer(): i64 { return this.number(Field.ROOM_MEMBERS_SERVER); }
  /** How many users are banned from the room. */
  get roomBanned(): i64 { return this.number(Field.ROOM_BANNED); }
  /** How many of them are of the knocker's server. */
  get roomBannedServer(): i64 { return this.number(Field.ROOM_BANNED_SERVER); }
  /** When the knocker's membership became what it is, in milliseconds since the Unix epoch, as
   * the server of who made it claims. */
  get userMembershipSinceMs(): i64 { return this.number(Field.USER_MEMBERSHIP_SINCE_MS); }
  /** Who made the knocker's membership what it is. */
  get userMembershipBy(): string | null { return this.text(Field.USER_MEMBERSHIP_BY); }
}

/** A Matrix server name without its port: "example.org" for "example.org:8448", "[::1]" for
 * "[::1]:8448". */
export function stripPort(name: string): string {
  let n = name.length;
  while (n > 0 && name.charCodeAt(n - 1) >= 0x30 && name.charCodeAt(n - 1) <= 0x39) n--;
  return n > 0 && name.charCodeAt(n - 1) == 0x3a ? name.substring(0, n - 1) : name;
}

/** How many code points a text has; none if it is absent. */
export function characters(text: string | null): i32 {
  if (text === null) return 0;
  let n = 0;
  for (let i = 0; i < text.length; i++) if ((text.charCodeAt(i) & 0xfc00) != 0xdc00) n++;
  return n;
}
