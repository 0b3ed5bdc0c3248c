//! Which script a letter is of, as far as letters of one look like those of another.

use crate::fold;

/// The scripts whose letters can be taken for each other's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Script {
    Latin,
    Greek,
    Cyrillic,
    Armenian,
    Georgian,
    Cherokee,
    Coptic,
    Lisu,
}

use Script::*;

/// First and last of each block, in order. Signs in a block of letters count as letters,
/// which in a word do no harm; what is in no block is of every script.
const BLOCKS: [(u32, u32, Script); 26] = [
    (0x41, 0x5a, Latin),
    (0x61, 0x7a, Latin),
    (0xc0, 0x24f, Latin),
    (0x250, 0x2af, Latin), // phonetic
    (0x370, 0x3e1, Greek),
    (0x3e2, 0x3ef, Coptic),
    (0x3f0, 0x3ff, Greek),
    (0x400, 0x52f, Cyrillic),
    (0x531, 0x587, Armenian),
    (0x10a0, 0x10ff, Georgian),
    (0x13a0, 0x13fd, Cherokee),
    (0x1c80, 0x1c8f, Cyrillic),
    (0x1c90, 0x1cbf, Georgian),
    (0x1d00, 0x1d25, Latin), // small capitals
    (0x1d2b, 0x1d2b, Cyrillic),
    (0x1e00, 0x1eff, Latin),
    (0x1f00, 0x1fff, Greek),
    (0x2c60, 0x2c7f, Latin),
    (0x2c80, 0x2cff, Coptic),
    (0x2d00, 0x2d2d, Georgian),
    (0xa4d0, 0xa4fd, Lisu),
    (0xa640, 0xa69f, Cyrillic),
    (0xa722, 0xa7ff, Latin),
    (0xab70, 0xabbf, Cherokee),
    (0xff21, 0xff3a, Latin),
    (0xff41, 0xff5a, Latin),
];

/// The script of a letter; None for what stands beside letters of every script.
pub fn script(c: char) -> Option<Script> {
    let c = c as u32;
    if c == 0xd7 || c == 0xf7 {
        return None; // times and divided by
    }
    let (_, last, script) = *BLOCKS.iter().rev().find(|(first, ..)| *first <= c)?;
    if c > last {
        return None;
    }
    Some(script)
}

/// Whether a word of the text has letters of more than one script.
pub fn mixed(text: &str) -> bool {
    let mut of_word = None;
    for c in text.chars() {
        if c.is_ascii_digit() || c == '\'' || c == '\u{2019}' || ignorable(c) {
            continue; // within a word
        }
        match (script(c), of_word) {
            (None, _) if !fold::letter(c) => of_word = None,
            (None, _) => {}
            (Some(one), Some(other)) if one != other => return true,
            (one, _) => of_word = one,
        }
    }
    false
}

/// Whether a character has no width of its own: a control, or one with the property
/// Default_Ignorable_Code_Point of Unicode 16.
pub fn ignorable(c: char) -> bool {
    const RANGES: [(u32, u32); 16] = [
        (0x34f, 0x34f),
        (0x61c, 0x61c),
        (0x115f, 0x1160),
        (0x17b4, 0x17b5),
        (0x180b, 0x180f),
        (0x200b, 0x200f),
        (0x202a, 0x202e),
        (0x2060, 0x206f),
        (0x3164, 0x3164),
        (0xfe00, 0xfe0f),
        (0xfeff, 0xfeff),
        (0xffa0, 0xffa0),
        (0xfff0, 0xfff8),
        (0x1bca0, 0x1bca3),
        (0x1d173, 0x1d17a),
        (0xe0000, 0xe0fff),
    ];
    let n = c as u32;
    n < 0x20 || (0x7f..=0x9f).contains(&n) || n == 0xad || n >= 0x34f && RANGES.iter().any(|&(first, last)| first <= n && n <= last)
}
