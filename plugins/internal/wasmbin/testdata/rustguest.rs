//! A guest for the tests of wasmbin: a policy's work in Rust. Build:
//! rustc --edition 2021 --target wasm32-unknown-unknown -C opt-level=2 -C lto=fat -C panic=abort
//!   -C codegen-units=1 -C strip=debuginfo -C linker=wasm-ld-14 -C link-arg=-zstack-size=32768
//!   --crate-type cdylib --crate-name rustguest -o rustguest.wasm rustguest.rs
use std::collections::BTreeMap;

const GLOBS: [&str; 8] = [
    "*.evil.example", "spam*.example", "*.spam.?rg", "a*b*c*d.example",
    "matrix.*.example", "*.onion", "test*.example.org", "*.invalid",
];

fn glob(p: &[u8], s: &[u8]) -> bool {
    let (mut i, mut j, mut star, mut mark) = (0, 0, None, 0);
    while j < s.len() {
        if i < p.len() && p[i] == b'*' {
            star = Some(i);
            mark = j;
            i += 1;
        } else if i < p.len() && (p[i] == b'?' || p[i] == s[j]) {
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
pub extern "C" fn run(n: u32) -> u64 {
    let mut h = 14695981039346656037u64;
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for i in 0..n {
        let host = format!("h{}.peer.example.org", i.wrapping_mul(2654435761) % 97);
        for g in GLOBS {
            h = (h ^ glob(g.as_bytes(), host.as_bytes()) as u64).wrapping_mul(1099511628211);
        }
        let words: Vec<String> = host.split('.').map(|w| w.to_uppercase()).collect();
        for c in words.join("/").bytes() {
            h = (h ^ c as u64).wrapping_mul(1099511628211);
        }
        *seen.entry(host).or_default() += 1;
    }
    seen.values().fold(h, |h, v| h.wrapping_mul(31).wrapping_add(*v as u64))
}

#[no_mangle]
pub extern "C" fn fail(n: u32) -> u64 {
    let list = vec![1u64; 3];
    list[n as usize]
}
