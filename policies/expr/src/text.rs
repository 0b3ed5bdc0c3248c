//! Texts without what the library has for them: its code for a search is several KB, most
//! of it to print what is wrong with an index.
use alloc::vec::Vec;

/// How many characters a text has.
pub fn length(text: &str) -> i64 {
    text.bytes().filter(|b| b & 0xc0 != 0x80).count() as i64
}

/// Whether a text has another in it, in time that grows with both and not with their
/// product (Knuth, Morris and Pratt).
pub fn contains(text: &[u8], part: &[u8]) -> bool {
    // back[i] is how much of the beginning of part its first i + 1 bytes end with.
    let mut back: Vec<usize> = Vec::with_capacity(part.len());
    let longer = |back: &[usize], mut have: usize, b: u8| {
        while have > 0 && part.get(have) != Some(&b) {
            have = back.get(have - 1).copied().unwrap_or(0);
        }
        have + (part.get(have) == Some(&b)) as usize
    };
    let mut have = 0;
    for (i, &b) in part.iter().enumerate() {
        have = if i == 0 { 0 } else { longer(&back, have, b) };
        back.push(have);
    }
    have = 0;
    part.is_empty()
        || text.iter().any(|&b| {
            have = longer(&back, have, b);
            have == part.len()
        })
}
