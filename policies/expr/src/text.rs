//! Numbers and letters without the machinery of `format!`.
use alloc::string::String;
use alloc::vec::Vec;

/// A number in digits.
pub fn digits(n: i64) -> String {
    let mut rest = n.unsigned_abs();
    let mut text = Vec::new();
    loop {
        text.push(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if n < 0 {
        text.push(b'-');
    }
    text.reverse();
    String::from_utf8(text).unwrap_or_default()
}
