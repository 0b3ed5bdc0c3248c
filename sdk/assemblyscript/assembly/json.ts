// A strict reader of JSON, for settings: no key twice, no lone surrogates, whole numbers that
// every reader agrees on.

export enum Kind {
  NOTHING,
  TRUTH,
  NUMBER,
  FRACTION, // no setting takes one
  TEXT,
  LIST,
  OBJECT,
}

export function kindName(kind: Kind): string {
  switch (kind) {
    case Kind.NOTHING: return "null";
    case Kind.TRUTH: return "a truth value";
    case Kind.NUMBER: return "a number";
    case Kind.FRACTION: return "a fraction";
    case Kind.TEXT: return "a text";
    case Kind.LIST: return "a list";
  }
  return "an object";
}

export class Value {
  number: i64 = 0; // of a truth value 0 or 1
  text: string = "";
  values: Value[] = []; // of a list or of an object
  keys: string[] = []; // of an object

  constructor(public kind: Kind) {}
}

const MAX_DEPTH: i32 = 32;
const MAX_NUMBER: i64 = 9007199254740991;

/** Reads the JSON text in memory. It stops at the first fault: after it, at stays. Texts are
 * written over their own escapes, which are longer. */
export class Reader {
  /** What is wrong; "" if nothing is. */
  fault: string = "";
  private i: i32 = 0;

  constructor(private src: usize, private len: i32) {}

  /** Where the fault is, or the end. */
  get at(): i32 { return this.i; }

  /** Reads the whole text. */
  read(): Value {
    const v = this.value(0);
    this.space();
    if (this.i < this.len) this.fail("something follows the object");
    return v;
  }

  private fail(text: string): void {
    if (this.fault.length == 0) this.fault = text;
  }

  private peek(): i32 {
    return this.fault.length > 0 || this.i >= this.len ? -1 : load<u8>(this.src + this.i);
  }

  private space(): void {
    let c = this.peek();
    while (c == 0x20 || c == 0x09 || c == 0x0a || c == 0x0d) {
      this.i++;
      c = this.peek();
    }
  }

  /** Skips white space and then c, and returns whether c was there. */
  private eat(c: i32): bool {
    this.space();
    if (this.peek() != c) return false;
    this.i++;
    return true;
  }

  private value(depth: i32): Value {
    this.space();
    if (depth > MAX_DEPTH) this.fail("nested too deep");
    const c = this.peek();
    if (c < 0) {
      this.fail("it ends too soon");
    } else if (c == 0x7b) {
      return this.members(Kind.OBJECT, 0x7d, depth);
    } else if (c == 0x5b) {
      return this.members(Kind.LIST, 0x5d, depth);
    } else if (c == 0x22) {
      const v = new Value(Kind.TEXT);
      v.text = this.text();
      return v;
    } else if (c == 0x2d || c >= 0x30 && c <= 0x39) {
      return this.number();
    } else if (this.word("true")) {
      const v = new Value(Kind.TRUTH);
      v.number = 1;
      return v;
    } else if (this.word("false")) {
      return new Value(Kind.TRUTH);
    } else if (!this.word("null")) {
      this.fail("no value begins like this");
    }
    return new Value(Kind.NOTHING);
  }

  private word(w: string): bool {
    if (this.len - this.i < w.length) return false;
    for (let n = 0; n < w.length; n++) if (<i32>load<u8>(this.src + this.i + n) != w.charCodeAt(n)) return false;
    this.i += w.length;
    return true;
  }

  private members(kind: Kind, close: i32, depth: i32): Value {
    const v = new Value(kind), keys = new Set<string>();
    this.i++;
    if (this.eat(close)) return v;
    do {
      if (kind == Kind.OBJECT) {
        this.space();
        let key = "";
        if (this.peek() != 0x22) this.fail("a key is missing");
        else key = this.text();
        if (keys.has(key)) this.fail("a key stands twice");
        keys.add(key);
        v.keys.push(key);
        if (!this.eat(0x3a)) this.fail("a colon is missing");
      }
      if (this.fault.length > 0) return v;
      v.values.push(this.value(depth + 1));
    } while (this.eat(0x2c));
    if (!this.eat(close)) {
      this.fail("a comma or the end of " + (kind == Kind.LIST ? "a list" : "an object") + " is missing");
    }
    return v;
  }

  private number(): Value {
    const v = new Value(Kind.NUMBER), negative = this.peek() == 0x2d;
    if (negative) this.i++;
    const start = this.i, size = this.digits();
    if (this.i > start + 1 && load<u8>(this.src + start) == 0x30) this.fail("a number is malformed");
    if (this.peek() == 0x2e) {
      v.kind = Kind.FRACTION;
      this.i++;
      this.digits();
    }
    if (this.peek() == 0x65 || this.peek() == 0x45) {
      v.kind = Kind.FRACTION;
      this.i++;
      if (this.peek() == 0x2b || this.peek() == 0x2d) this.i++;
      this.digits();
    }
    if (v.kind == Kind.NUMBER && size > MAX_NUMBER) this.fail("a number is too large");
    v.number = negative ? -size : size;
    return v;
  }

  private digits(): i64 {
    const start = this.i;
    let n: i64 = 0;
    let c = this.peek();
    while (c >= 0x30 && c <= 0x39) {
      if (n <= MAX_NUMBER) n = n * 10 + (c - 0x30);
      this.i++;
      c = this.peek();
    }
    if (this.i == start) this.fail("a number is malformed");
    return n;
  }

  private text(): string {
    this.i++;
    const start = this.src + this.i;
    let to = start;
    while (true) {
      const c = this.peek();
      if (c < 0) {
        this.fail("a text does not end");
        return "";
      }
      if (c == 0x22) {
        this.i++;
        return String.UTF8.decodeUnsafe(start, to - start);
      }
      if (c < 0x20) {
        this.fail("a text holds a control character");
      } else if (c == 0x5c) {
        this.i++;
        const character = this.escape();
        if (character < 0) this.fail("an escape is malformed");
        else to = put(to, character);
      } else {
        let n = c < 0x80 ? 1 : multibyte(this.src + this.i, this.len - this.i, c);
        if (n == 0) this.fail("a text is not UTF-8");
        while (n-- > 0) store<u8>(to++, load<u8>(this.src + this.i++));
      }
    }
  }

  /** Reads what follows a backslash; -1 if it is malformed. */
  private escape(): i32 {
    const c = this.peek();
    this.i++;
    switch (c) {
      case 0x22: case 0x5c: case 0x2f: return c;
      case 0x62: return 0x08;
      case 0x66: return 0x0c;
      case 0x6e: return 0x0a;
      case 0x72: return 0x0d;
      case 0x74: return 0x09;
      case 0x75: break;
      default: return -1;
    }
    const high = this.hex4();
    if (high < 0xd800 || high > 0xdfff) return high;
    if (high > 0xdbff || !this.word("\\u")) return -1;
    const low = this.hex4();
    if (low < 0xdc00 || low > 0xdfff) return -1;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
  }

  private hex4(): i32 {
    let n = 0;
    for (let i = 0; i < 4; i++) {
      let c = this.peek();
      if (c >= 0x30 && c <= 0x39) c -= 0x30;
      else if (c >= 0x61 && c <= 0x66) c -= 0x57;
      else if (c >= 0x41 && c <= 0x46) c -= 0x37;
      else return -1;
      n = n << 4 | c;
      this.i++;
    }
    return n;
  }
}

/** The length of the character at s that begins with c, 0 if it is not UTF-8. */
function multibyte(s: usize, left: i32, c: i32): i32 {
  const n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
  if (c < 0xc2 || c > 0xf4 || n > left) return 0;
  for (let i = 1; i < n; i++) if ((load<u8>(s + i) & 0xc0) != 0x80) return 0;
  const second = load<u8>(s, 1);
  if (c == 0xe0 && second < 0xa0 || c == 0xed && second > 0x9f || c == 0xf0 && second < 0x90 || c == 0xf4 && second > 0x8f) return 0;
  return n;
}

function put(to: usize, c: i32): usize {
  if (c < 0x80) {
    store<u8>(to++, <u8>c);
    return to;
  }
  if (c < 0x800) {
    store<u8>(to++, <u8>(0xc0 | c >> 6));
  } else {
    if (c < 0x10000) {
      store<u8>(to++, <u8>(0xe0 | c >> 12));
    } else {
      store<u8>(to++, <u8>(0xf0 | c >> 18));
      store<u8>(to++, <u8>(0x80 | c >> 12 & 0x3f));
    }
    store<u8>(to++, <u8>(0x80 | c >> 6 & 0x3f));
  }
  store<u8>(to++, <u8>(0x80 | c & 0x3f));
  return to;
}
