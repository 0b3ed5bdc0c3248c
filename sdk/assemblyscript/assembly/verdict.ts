// A policy's answer, and the JSON object that it becomes.
import { back, packed, position, quoted, raw, reset } from "./writer";

const ALLOW: i64 = 1;
const DENY: i64 = 2;
const INCOMPATIBLE: i64 = 3;
const PASS: i64 = 4;
const ERROR: i64 = 255;

// The most of each part, in bytes. With each byte of the texts escaped to six, all of them fit
// what a result may have.
const MAX_MESSAGE: i32 = 512;
const MAX_NOTE: i32 = 1024;
const MAX_CODE: i32 = 64;
const MAX_DETAIL: i32 = 4096;

class Member {
  constructor(public key: string, public text: string | null, public bare: string) {}
}

/** A policy's answer. Texts are plain; what is too long is cut. */
export class Verdict {
  /** For the record only: what the admin should know, at most 1,024 bytes. With error it is what
   * went wrong. */
  note: string = "";
  /** The name of the rule that fired, such as "reason_too_short": at most 64 bytes. */
  code: string = "";
  private detail: Member[] = [];

  private constructor(private kind: i64, private message: string) {}

  /** Lets the knock through; no later policy is asked. */
  static allow(): Verdict { return new Verdict(ALLOW, ""); }

  /** No opinion: the next policy of the chain is asked. */
  static pass(): Verdict { return new Verdict(PASS, ""); }

  /** Refuses the knock and tells the knocker the message, which is all that leaves the server and
   * is cut to 512 bytes. "" leaves the sentence to the host. */
  static deny(message: string): Verdict { return new Verdict(DENY, message); }

  /** Refuses the knock as coming from a server that does not support the room's version. */
  static incompatible(message: string): Verdict { return new Verdict(INCOMPATIBLE, message); }

  /** Says that the policy could not decide, and why, for the record. The host answers by the
   * policy's on_error. */
  static error(text: string): Verdict {
    const v = new Verdict(ERROR, "");
    v.note = text;
    return v;
  }

  /** Sets note and returns the verdict. */
  withNote(text: string): Verdict {
    this.note = text;
    return this;
  }

  /** Sets code and returns the verdict. */
  withCode(text: string): Verdict {
    this.code = text;
    return this;
  }

  /** Adds a text to the detail, for the record only. A key must not be added twice; what makes the
   * detail longer than 4,096 bytes is left out. */
  detailText(key: string, value: string): Verdict {
    this.detail.push(new Member(key, value, ""));
    return this;
  }

  /** Adds a number to the detail, see detailText. */
  detailNumber(key: string, value: i64): Verdict {
    this.detail.push(new Member(key, null, value.toString()));
    return this;
  }

  /** Adds a truth value to the detail, see detailText. */
  detailTruth(key: string, value: bool): Verdict {
    this.detail.push(new Member(key, null, value ? "true" : "false"));
    return this;
  }

  /** The result for the host. */
  answer(): i64 {
    if (!this.message.length && !this.note.length && !this.code.length && !this.detail.length) return this.kind;
    reset();
    raw('{"verdict":');
    quoted(this.name(), MAX_CODE);
    member('"message"', this.message, MAX_MESSAGE);
    member(this.kind == ERROR ? '"error"' : '"note"', this.note, MAX_NOTE);
    member('"code"', this.code, MAX_CODE);
    this.writeDetail();
    raw("}");
    return packed();
  }

  private name(): string {
    if (this.kind == ALLOW) return "allow";
    if (this.kind == DENY) return "deny";
    if (this.kind == INCOMPATIBLE) return "incompatible";
    if (this.kind == PASS) return "pass";
    return "error";
  }

  private writeDetail(): void {
    if (this.detail.length == 0) return;
    raw(',"detail":{');
    const start = position();
    for (let i = 0; i < this.detail.length; i++) {
      const m = this.detail[i], before = position();
      if (before > start) raw(",");
      quoted(m.key, MAX_DETAIL);
      raw(":");
      const text = m.text;
      if (text !== null) quoted(text, MAX_DETAIL);
      else raw(m.bare);
      if (position() - start > MAX_DETAIL) back(before);
    }
    raw("}");
  }
}

function member(key: string, text: string, most: i32): void {
  if (text.length == 0) return;
  raw(",");
  raw(key);
  raw(":");
  quoted(text, most);
}
