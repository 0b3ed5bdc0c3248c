// The probe of this SDK: the settings say what it does. plugins/conformance holds it to what every
// SDK's probe answers.
import {
  Field, Knock, Level, ListAnswer, Phase, Policy, Settings, Verdict,
  aclAllows, globMatch, kvGet, kvIncr, kvPut, listHas, log, nowMs, random, register, stripPort,
} from "../assembly";
export { knock_v1_buffer, knock_v1_configure, knock_v1_decide } from "../assembly";

const FAR: i64 = 1000000;

class Detail {
  constructor(public key: string, public kind: i32, public text: string, public number: i64, public truth: bool) {}
}

function texts(s: Settings, key: string): string {
  const items = s.texts(key), list: string[] = [];
  for (let i = 0; i < items.length; i++) {
    if (items[i].text == "refused") items[i].fail("must not be refused");
    list.push(items[i].text);
  }
  return list.join(",");
}

function noted(text: string): Verdict { return Verdict.allow().withNote(text); }
function coded(text: string): Verdict { return Verdict.allow().withCode(text); }

class Probe extends Policy {
  op: string = "";
  field: string = "";
  kind: string = "";
  message: string = "";
  note: string = "";
  code: string = "";
  text: string = "";
  key: string = "";
  value: string = "";
  server: string = "";
  number: i64 = 0;
  ttl: i64 = 0;
  detail: Detail[] = [];
  summary: string = "";

  configure(s: Settings): void {
    this.op = s.text("op", "echo");
    this.field = s.text("field", "");
    this.kind = s.text("kind", "pass");
    this.message = s.text("message", "");
    this.note = s.text("note", "");
    this.code = s.text("code", "");
    this.text = s.text("text", "");
    this.key = s.text("key", "");
    this.value = s.text("value", "");
    this.server = s.text("server", "");
    this.number = s.number("number", 0, -FAR, FAR);
    this.ttl = s.number("ttl", 0, 0, FAR);
    if (this.text == "refused") s.fail("text", "must not be refused");
    const rules = s.objects("rules"), shown: string[] = [];
    for (let i = 0; i < rules.length; i++) shown.push(rules[i].text("name", "") + "(" + texts(rules[i], "allow") + ")");
    const details = s.objects("detail");
    for (let i = 0; i < details.length; i++) {
      const d = details[i], kind = d.has("number") ? 1 : d.has("truth") ? 2 : 0;
      this.detail.push(new Detail(d.text("key", ""), kind, d.text("text", ""), d.number("number", 0, -FAR, FAR), d.truth("truth", false)));
    }
    this.summary = "truth=" + s.truth("truth", false).toString() + " number=" + this.number.toString() + " text=" + this.text +
      " choice=" + s.oneOf("choice", "a", ["a", "b"]) + " items=" + texts(s, "items") +
      " inner=" + s.object("inner").number("number", 1, 0, 10).toString() + " rules=" + shown.join(";");
  }

  decide(k: Knock): Verdict {
    const op = this.op;
    if (op == "echo") return this.echo(k);
    if (op == "verdict") return this.verdict();
    if (op == "settings") return noted(this.summary);
    if (op == "phase") {
      return noted(k.phase == Phase.MAKE_KNOCK ? "make_knock" : k.phase == Phase.SEND_KNOCK ? "send_knock" : "unknown");
    }
    if (op == "supports") return noted(k.supports(this.text).toString());
    if (op == "origin_server") return noted(k.originServer);
    if (op == "strip_port") return noted(stripPort(this.text));
    if (op == "log") {
      const level = this.kind;
      log(level == "debug" ? Level.DEBUG : level == "info" ? Level.INFO : level == "warn" ? Level.WARN : Level.ERROR, this.text);
      return Verdict.allow();
    }
    if (op == "now") return noted(nowMs().toString());
    if (op == "random") {
      const bytes = random(<i32>this.number);
      let hex = "";
      for (let i = 0; i < bytes.length; i++) hex += (0x100 + <i32>bytes[i]).toString(16).substring(1);
      return noted(hex);
    }
    if (op == "glob") return noted(globMatch(this.key, this.text).toString());
    if (op == "acl") return noted(aclAllows(this.text, this.server).toString());
    if (op == "kv_get") {
      const value = kvGet(this.key);
      return value === null ? coded("absent") : noted(String.UTF8.decode(value));
    }
    if (op == "kv_put") return noted(kvPut(this.key, String.UTF8.encode(this.value), this.ttl).toString());
    if (op == "kv_incr") {
      const count = kvIncr(this.key, this.number, this.ttl);
      return count < 0 ? coded("refused") : noted(count.toString());
    }
    if (op == "list") {
      const has = listHas(this.value, this.key);
      return noted(has == ListAnswer.HOLDS ? "holds" : has == ListAnswer.LACKS ? "lacks" : "unknown");
    }
    assert(false, "asked to");
    return Verdict.pass();
  }

  echo(k: Knock): Verdict {
    const f = this.field;
    if (f == "json") return text(k.json);
    if (f == "room_id") return text(k.roomID);
    if (f == "room_version") return text(k.roomVersion);
    if (f == "user_id") return text(k.userID);
    if (f == "user_localpart") return text(k.userLocalpart);
    if (f == "user_server") return text(k.userServer);
    if (f == "origin") return text(k.origin);
    if (f == "supported_versions") return k.has(Field.SUPPORTED_VERSIONS) ? text(k.supportedVersions.join("\n")) : text(null);
    if (f == "reason") return text(k.reason);
    if (f == "displayname") return text(k.displayname);
    if (f == "avatar_url") return text(k.avatarURL);
    if (f == "event") return text(k.event);
    if (f == "request_id") return text(k.requestID);
    if (f == "now_ms") return number(k, Field.NOW_MS, k.nowMs);
    if (f == "content_hash_ok") return truth(k, Field.CONTENT_HASH_OK, k.contentHashOK);
    if (f == "room_known") return truth(k, Field.ROOM_KNOWN, k.roomKnown);
    if (f == "room_join_rule") return text(k.roomJoinRule);
    if (f == "room_name") return text(k.roomName);
    if (f == "room_alias") return text(k.roomAlias);
    if (f == "room_topic") return text(k.roomTopic);
    if (f == "room_encrypted") return truth(k, Field.ROOM_ENCRYPTED, k.roomEncrypted);
    if (f == "room_members") return number(k, Field.ROOM_MEMBERS, k.roomMembers);
    if (f == "user_membership") return text(k.userMembership);
    if (f == "room_age_ms") return number(k, Field.ROOM_AGE_MS, k.roomAgeMs);
    if (f == "room_acl") return text(k.roomACL);
    if (f == "room_pending") return number(k, Field.ROOM_PENDING, k.roomPending);
    if (f == "room_pending_server") return number(k, Field.ROOM_PENDING_SERVER, k.roomPendingServer);
    if (f == "room_members_server") return number(k, Field.ROOM_MEMBERS_SERVER, k.roomMembersServer);
    if (f == "room_banned") return number(k, Field.ROOM_BANNED, k.roomBanned);
    if (f == "room_banned_server") return number(k, Field.ROOM_BANNED_SERVER, k.roomBannedServer);
    if (f == "user_membership_since_ms") return number(k, Field.USER_MEMBERSHIP_SINCE_MS, k.userMembershipSinceMs);
    if (f == "user_membership_by") return text(k.userMembershipBy);
    return Verdict.error("no such field");
  }

  verdict(): Verdict {
    const kind = this.kind;
    const v = kind == "allow" ? Verdict.allow()
      : kind == "deny" ? Verdict.deny(this.message)
      : kind == "incompatible" ? Verdict.incompatible(this.message)
      : kind == "error" ? Verdict.error(this.message)
      : Verdict.pass();
    if (this.note.length > 0) v.note = this.note;
    v.code = this.code;
    for (let i = 0; i < this.detail.length; i++) {
      const d = this.detail[i];
      if (d.kind == 1) v.detailNumber(d.key, d.number);
      else if (d.kind == 2) v.detailTruth(d.key, d.truth);
      else v.detailText(d.key, d.text);
    }
    return v;
  }
}

function text(value: string | null): Verdict {
  return value === null ? coded("absent") : noted(value).withCode("present");
}

function number(k: Knock, field: Field, value: i64): Verdict {
  return k.has(field) ? text(value.toString()) : text(null);
}

function truth(k: Knock, field: Field, value: bool): Verdict {
  return k.has(field) ? text(value.toString()) : text(null);
}

register(new Probe());
