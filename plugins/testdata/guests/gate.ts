// A policy against the raw ABI, in AssemblyScript; guests_test.go says what it answers. Build:
// npm install --save-exact assemblyscript@0.28.20
// npx asc gate.ts -O3 --converge --runtime stub --use abort= -o gate_as.wasm
const HEADER: usize = 16;
const ENTRY: usize = 8;
const MAX_FRAME: i32 = 262144;
const ROOM_ID: u32 = 1;
const USER_SERVER: u32 = 5;
const REASON: u32 = 8;
const SEND_KNOCK: u32 = 2;
const ALLOW: i64 = 1;
const DENY: i64 = 2;
const PASS: i64 = 4;
const ERROR: i64 = 255;

const frame: usize = heap.alloc(MAX_FRAME);
const pattern = String.UTF8.encode("*.evil.example");
const quiet = String.UTF8.encode("!quiet");
const refusal = String.UTF8.encode('{"verdict":"deny","message":"Your server may not knock here.","code":"server"}');

// at returns where a field is, 0 if it is absent.
function at(f: u32): usize {
  if (f >= load<u32>(frame, 12)) return 0;
  const offset = <usize>load<u32>(frame + HEADER + <usize>f * ENTRY);
  return offset == 0 ? 0 : frame + offset;
}

function length(f: u32): usize {
  return f >= load<u32>(frame, 12) ? 0 : <usize>load<u32>(frame + HEADER + <usize>f * ENTRY, 4);
}

function lower(c: u32): u32 {
  return c >= 65 && c <= 90 ? c + 32 : c;
}

// glob: * is any text, ? any one byte, and letters match in either case.
function glob(p: usize, plen: usize, s: usize, slen: usize): bool {
  let i: usize = 0, j: usize = 0, star: usize = plen, mark: usize = 0;
  while (j < slen) {
    const c: u32 = i < plen ? load<u8>(p + i) : 0;
    if (i < plen && c == 42) {
      star = i++; mark = j;
    } else if (i < plen && (c == 63 || lower(c) == lower(load<u8>(s + j)))) {
      i++; j++;
    } else if (star < plen) {
      i = star + 1; j = ++mark;
    } else {
      return false;
    }
  }
  while (i < plen && load<u8>(p + i) == 42) i++;
  return i == plen;
}

export function knock_v1_buffer(size: i32): usize {
  return <u32>size <= <u32>MAX_FRAME ? frame : 0;
}

export function knock_v1_decide(len: i32): i64 {
  if (<u32>len < <u32>HEADER || load<u32>(frame) != 0x314b4e4b || load<u32>(frame, 4) != <u32>len) return ERROR;
  const server = at(USER_SERVER), room = at(ROOM_ID);
  if (server == 0 || room == 0) return ERROR;
  if (glob(changetype<usize>(pattern), pattern.byteLength, server, length(USER_SERVER)))
    return <i64>changetype<usize>(refusal) << 32 | <i64>refusal.byteLength;
  if (length(ROOM_ID) >= <usize>quiet.byteLength && memory.compare(room, changetype<usize>(quiet), quiet.byteLength) == 0) return PASS;
  if (load<u32>(frame, 8) == SEND_KNOCK && length(REASON) == 0) return DENY;
  return ALLOW;
}
