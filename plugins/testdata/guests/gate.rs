//! A policy against the raw ABI, in Rust; guests_test.go says what it answers. Build:
//! rustc --edition 2021 --target wasm32-unknown-unknown -C opt-level=2 -C lto=fat -C panic=abort
//!   -C codegen-units=1 -C strip=symbols -C linker=wasm-ld-14 -C link-arg=-zstack-size=16384
//!   --crate-type cdylib --crate-name gate -o gate_rust.wasm gate.rs
#![no_std]

use core::ptr::addr_of_mut;

const HEADER: usize = 16;
const ENTRY: usize = 8;
const MAX_FRAME: usize = 262_144;
const ROOM_ID: usize = 1;
const USER_SERVER: usize = 5;
const REASON: usize = 8;
const SEND_KNOCK: u32 = 2;

const ALLOW: u64 = 1;
const DENY: u64 = 2;
const PASS: u64 = 4;
const ERROR: u64 = 255;

const PATTERN: &[u8] = b"*.evil.example";
const REFUSAL: &[u8] = br#"{"verdict":"deny","message":"Your server may not knock here.","code":"server"}"#;

static mut FRAME: [u8; MAX_FRAME] = [0; MAX_FRAME];

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

fn number(frame: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
}

/// The bytes of a field, None if it is absent.
fn field(frame: &[u8], f: usize) -> Option<&[u8]> {
    if f >= number(frame, 12) as usize {
        return None;
    }
    let at = number(frame, HEADER + f * ENTRY) as usize;
    let len = number(frame, HEADER + f * ENTRY + 4) as usize;
    if at == 0 { None } else { Some(&frame[at..at + len]) }
}

/// `*` is any text, `?` any one byte, and letters match in either case.
fn glob(p: &[u8], s: &[u8]) -> bool {
    let (mut i, mut j, mut star, mut mark) = (0, 0, None, 0);
    while j < s.len() {
        if i < p.len() && p[i] == b'*' {
            star = Some(i);
            mark = j;
            i += 1;
        } else if i < p.len() && (p[i] == b'?' || p[i].eq_ignore_ascii_case(&s[j])) {
            i += 1;
            j += 1;
        } else if let Some(k) = star {
            i = k + 1;
            mark += 1;
            j = mark;
        } else {
            return false;
        }
    }
    p[i..].iter().all(|&c| c == b'*')
}

#[no_mangle]
pub extern "C" fn knock_v1_buffer(size: u32) -> u32 {
    if size as usize > MAX_FRAME {
        return 0;
    }
    unsafe { addr_of_mut!(FRAME) as u32 }
}

#[no_mangle]
pub extern "C" fn knock_v1_decide(len: u32) -> u64 {
    let len = len as usize;
    if len > MAX_FRAME {
        return ERROR;
    }
    // The host writes the frame between calls, and nothing else does.
    let frame = unsafe { core::slice::from_raw_parts(addr_of_mut!(FRAME) as *const u8, len) };
    if len < HEADER || &frame[..4] != b"KNK1" || number(frame, 4) as usize != len {
        return ERROR;
    }
    let (server, room) = match (field(frame, USER_SERVER), field(frame, ROOM_ID)) {
        (Some(server), Some(room)) => (server, room),
        _ => return ERROR,
    };
    if glob(PATTERN, server) {
        return (REFUSAL.as_ptr() as u64) << 32 | REFUSAL.len() as u64;
    }
    if room.starts_with(b"!quiet") {
        return PASS;
    }
    if number(frame, 8) == SEND_KNOCK && field(frame, REASON).unwrap_or(b"").is_empty() {
        return DENY;
    }
    ALLOW
}
