// The policy's settings, read key by key, and the faults found on the way.
import { Kind, Reader, Value, kindName } from "./json";
import { MAX_RESULT, back, packed, position, quoted, raw, reset } from "./writer";

const MAX_PATH: i32 = 256;
const MAX_TEXT: i32 = 1024;

class Fault {
  constructor(public path: string, public message: string) {}
}

/** What is shared by all objects of one settings document. */
export class Report {
  faults: Fault[] = [];
  objects: Settings[] = [];

  note(path: string, message: string): void {
    this.faults.push(new Fault(path, message));
  }

  object(path: string, value: Value): Settings {
    const s = new Settings(this, path, value);
    this.objects.push(s);
    return s;
  }

  /** Reads a JSON text; null if it is no object. */
  read(src: usize, len: i32): Settings | null {
    const reader = new Reader(src, len);
    const root = reader.read();
    if (reader.fault.length > 0) {
      this.note("", "the settings are not JSON: " + reader.fault + " at byte " + reader.at.toString());
      return null;
    }
    if (root.kind != Kind.OBJECT) {
      this.note("", "the settings must be an object, not " + kindName(root.kind));
      return null;
    }
    return this.object("", root);
  }

  /** Notes a fault for every key that nobody asked for, and returns the result for the host: 0
   * accepts. */
  finish(): i64 {
    for (let i = 0; i < this.objects.length; i++) this.objects[i].checkAsked();
    if (this.faults.length == 0) return 0;
    const room = 256; // for the last entry
    reset();
    raw('{"errors":[');
    for (let i = 0; i < this.faults.length; i++) {
      const before = position();
      if (i > 0) raw(",");
      write(this.faults[i].path, this.faults[i].message);
      if (position() > MAX_RESULT - room) {
        back(before);
        if (i > 0) raw(",");
        write("", (this.faults.length - i).toString() + " more settings are wrong");
        break;
      }
    }
    raw("]}");
    return packed();
  }
}

function write(path: string, message: string): void {
  raw('{"path":');
  quoted(path, MAX_PATH);
  raw(',"message":');
  quoted(message, MAX_TEXT);
  raw("}");
}

/** One text of a list, with its place. */
export class Item {
  constructor(private report: Report, private path: string, public text: string) {}

  /** Notes that this item is wrong: the message says what is and what would be right. */
  fail(message: string): void {
    this.report.note(this.path, message);
  }
}

/** One object of a policy's settings. A policy asks for each key that it knows; a method that finds
 * another kind of value notes the fault, with its path, and returns the default. A key that nobody
 * asked for is a fault too, so that no misspelt setting is silently without effect. */
export class Settings {
  private asked: string[] = [];

  constructor(private report: Report, public readonly path: string, private value: Value) {}

  /** Notes that the setting of a key is wrong: the message says what is and what would be right.
   * With the key "" it is about the object itself. */
  fail(key: string, message: string): void {
    this.report.note(this.pathOf(key), message);
  }

  private pathOf(key: string): string {
    return this.path.length == 0 || key.length == 0 ? this.path + key : this.path + "." + key;
  }

  /** Whether the key is set; counts as asking for it. */
  has(key: string): bool {
    return this.get(key) !== null;
  }

  private get(key: string): Value | null {
    if (!this.asked.includes(key)) this.asked.push(key);
    const i = this.value.keys.indexOf(key);
    return i < 0 ? null : this.value.values[i];
  }

  /** The value of a key if it is of one of two kinds; another is a fault. */
  private want(key: string, what: string, kind: Kind, or: Kind): Value | null {
    const v = this.get(key);
    if (v === null || v.kind == kind || v.kind == or) return v;
    this.fail(key, "must be " + what + ", not " + kindName(v.kind));
    return null;
  }

  /** A truth value, def if the key is not set. */
  truth(key: string, def: bool): bool {
    const v = this.want(key, "true or false", Kind.TRUTH, Kind.TRUTH);
    return v === null ? def : v.number == 1;
  }

  /** A whole number from least to most, def if the key is not set. */
  number(key: string, def: i64, least: i64, most: i64): i64 {
    const v = this.want(key, "a whole number", Kind.NUMBER, Kind.NUMBER);
    if (v === null) return def;
    if (v.number >= least && v.number <= most) return v.number;
    this.fail(key, "must be from " + least.toString() + " to " + most.toString() + ", not " + v.number.toString());
    return def;
  }

  /** A text, def if the key is not set. */
  text(key: string, def: string): string {
    const v = this.want(key, "a text", Kind.TEXT, Kind.TEXT);
    return v === null ? def : v.text;
  }

  /** A text that is one of the choices, def if the key is not set. */
  oneOf(key: string, def: string, choices: string[]): string {
    const v = this.want(key, "a text", Kind.TEXT, Kind.TEXT);
    if (v === null) return def;
    if (choices.includes(v.text)) return v.text;
    this.fail(key, "must be one of " + choices.join(", ") + ', not "' + v.text.replaceAll("\\", "\\\\").replaceAll('"', '\\"') + '"');
    return def;
  }

  /** A list of texts, empty if the key is not set. One text alone is a list of one. */
  texts(key: string): Item[] {
    const items: Item[] = [], path = this.pathOf(key);
    const v = this.want(key, "a text or a list of texts", Kind.TEXT, Kind.LIST);
    if (v === null) return items;
    if (v.kind == Kind.TEXT) {
      items.push(new Item(this.report, path, v.text));
      return items;
    }
    for (let i = 0; i < v.values.length; i++) {
      const e = v.values[i], at = path + "[" + i.toString() + "]";
      if (e.kind == Kind.TEXT) items.push(new Item(this.report, at, e.text));
      else this.report.note(at, "must be a text, not " + kindName(e.kind));
    }
    return items;
  }

  /** The object of a key, an empty one if the key is not set. */
  object(key: string): Settings {
    const v = this.want(key, "an object", Kind.OBJECT, Kind.OBJECT);
    return this.report.object(this.pathOf(key), v === null ? new Value(Kind.OBJECT) : v);
  }

  /** A list of objects, empty if the key is not set. */
  objects(key: string): Settings[] {
    const list: Settings[] = [];
    const v = this.want(key, "a list of objects", Kind.LIST, Kind.LIST);
    if (v === null) return list;
    for (let i = 0; i < v.values.length; i++) {
      const e = v.values[i], at = this.pathOf(key) + "[" + i.toString() + "]";
      if (e.kind == Kind.OBJECT) list.push(this.report.object(at, e));
      else this.report.note(at, "must be an object, not " + kindName(e.kind));
    }
    return list;
  }

  /** Notes a fault for every key that nobody asked for. */
  checkAsked(): void {
    for (let i = 0; i < this.value.keys.length; i++) {
      const key = this.value.keys[i];
      if (this.asked.includes(key)) continue;
      this.fail(key, this.asked.length == 0
        ? "unknown setting; there are no settings here"
        : "unknown setting; known here: " + this.asked.join(", "));
    }
  }
}
