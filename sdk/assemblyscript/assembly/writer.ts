// The result: JSON in UTF-8, in a buffer that the instance keeps.

export const MAX_RESULT: i32 = 16384;
const ROOM: i32 = 2 * MAX_RESULT; // what is taken back again has room too

export const result: usize = heap.alloc(ROOM);

/** How many bytes are written. */
let used: i32 = 0;

export function reset(): void {
  used = 0;
}

export function position(): i32 {
  return used;
}

/** Takes back what was written after a position. */
export function back(to: i32): void {
  used = to;
}

function byte(b: u32): void {
  if (used >= ROOM) unreachable();
  store<u8>(result + used++, <u8>b);
}

/** Writes ASCII as it is. */
export function raw(text: string): void {
  for (let i = 0; i < text.length; i++) byte(text.charCodeAt(i));
}

function hex(n: u32): u32 {
  return n < 10 ? 0x30 + n : 0x57 + n;
}

/** Writes the beginning of a text as a JSON string: as many characters as have at most most
 * bytes. A lone surrogate becomes U+FFFD. */
export function quoted(text: string, most: i32): void {
  byte(0x22);
  for (let i = 0; i < text.length; i++) {
    let c: u32 = text.charCodeAt(i);
    if (c >= 0xd800 && c < 0xe000) {
      const low: u32 = i + 1 < text.length ? text.charCodeAt(i + 1) : 0;
      if (c < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        i++;
      } else {
        c = 0xfffd;
      }
    }
    most -= c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (most < 0) break;
    if (c < 0x20) {
      raw("\\u00");
      byte(hex(c >> 4));
      byte(hex(c & 15));
    } else if (c < 0x80) {
      if (c == 0x22 || c == 0x5c) byte(0x5c);
      byte(c);
    } else if (c < 0x800) {
      byte(0xc0 | c >> 6);
      byte(0x80 | c & 0x3f);
    } else {
      if (c < 0x10000) {
        byte(0xe0 | c >> 12);
      } else {
        byte(0xf0 | c >> 18);
        byte(0x80 | c >> 12 & 0x3f);
      }
      byte(0x80 | c >> 6 & 0x3f);
      byte(0x80 | c & 0x3f);
    }
  }
  byte(0x22);
}

/** Where the result is, for the host. */
export function packed(): i64 {
  return <i64>result << 32 | <i64>used;
}
