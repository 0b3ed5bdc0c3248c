//! What a name looks like: letters that look alike made one.
use crate::fold::{self, lower};
use crate::script::ignorable;
use alloc::string::String;
use alloc::vec::Vec;

/// Letters that look like one of ASCII, by that letter: small ones of Greek, Cyrillic,
/// Armenian, Lisu, and of Latin with strokes and the like; capital ones of Cherokee, and
/// of Greek where the small one looks otherwise. `l` and `1` look like `i`.
const ALIKE: [(char, &str); 26] = [
    ('a', "\u{3b1}\u{430}\u{251}\u{4d5}\u{1d00}\u{a4ee}\u{13aa}"),
    ('b', "\u{3b2}\u{432}\u{44c}\u{253}\u{180}\u{299}\u{a4d0}\u{13f4}"),
    ('c', "\u{441}\u{3f2}\u{1d04}\u{188}\u{23c}\u{a4da}\u{13df}"),
    ('d', "\u{501}\u{111}\u{256}\u{257}\u{1d05}\u{a4d3}\u{13a0}"),
    ('e', "\u{3b5}\u{435}\u{454}\u{44d}\u{212e}\u{247}\u{1d07}\u{a4f0}\u{13ac}"),
    ('f', "\u{3dd}\u{192}\u{584}\u{a730}\u{a4dd}"),
    ('g', "\u{261}\u{50d}\u{581}\u{1e5}\u{260}\u{1d83}\u{a4d6}\u{13c0}"),
    ('h', "\u{4bb}\u{43d}\u{570}\u{127}\u{29c}\u{a4e7}\u{13bb}\u{397}"),
    ('i', "l1|\u{3b9}\u{456}\u{4cf}\u{131}\u{269}\u{268}\u{26a}\u{142}\u{a4f2}\u{13c6}\u{13de}"),
    ('j', "\u{458}\u{3f3}\u{575}\u{249}\u{1d0a}\u{a4d9}\u{13ab}"),
    ('k', "\u{3ba}\u{43a}\u{199}\u{138}\u{49b}\u{1d0b}\u{a4d7}\u{13e6}"),
    ('l', ""),
    ('m', "\u{43c}\u{271}\u{1d0d}\u{a4df}\u{13b7}\u{39c}"),
    ('n', "\u{3b7}\u{43f}\u{578}\u{57c}\u{272}\u{19e}\u{274}\u{a4e0}\u{39d}"),
    ('o', "0\u{3bf}\u{3c3}\u{43e}\u{585}\u{f8}\u{275}\u{1d0f}\u{a4f3}"),
    ('p', "\u{3c1}\u{440}\u{1a5}\u{1d18}\u{a4d1}\u{13e2}"),
    ('q', "\u{51b}\u{566}\u{563}\u{24b}"),
    ('r', "\u{433}\u{24d}\u{27c}\u{280}\u{a4e3}\u{13a1}"),
    ('s', "5$\u{455}\u{282}\u{a731}\u{a4e2}\u{13da}"),
    ('t', "\u{3c4}\u{442}\u{167}\u{1ad}\u{1d1b}\u{a4d4}\u{13a2}"),
    ('u', "\u{3c5}\u{57d}\u{446}\u{28b}\u{289}\u{1d1c}\u{a4f4}"),
    ('v', "\u{3bd}\u{475}\u{1d20}\u{a4e6}\u{13d9}"),
    ('w', "\u{51d}\u{461}\u{448}\u{3c9}\u{561}\u{26f}\u{1d21}\u{a4ea}\u{13b3}"),
    ('x', "\u{3c7}\u{445}\u{4b3}\u{a4eb}"),
    ('y', "\u{3b3}\u{443}\u{4af}\u{1b4}\u{28f}\u{a4ec}\u{3a5}"),
    ('z', "\u{1b6}\u{225}\u{290}\u{1d22}\u{a4dc}\u{13c3}\u{396}"),
];

/// Latin letters with marks, from U+00E0 on in lower case, without them; '.' is none
/// of these.
const PLAIN: &str = "aaaaaaaceeeeiiii.nooooo.ouuuuy.y\
    aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiii..jjkkkiiiiii..iinnnnnnn..oooooo..rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";

/// What letters look like.
pub struct Looks(Vec<(char, char)>);

impl Looks {
    pub fn new() -> Self {
        let mut list = Vec::new();
        for (letter, alike) in ALIKE {
            for c in alike.chars() {
                // In order: Rust's own sorting is larger than all that is here.
                let at = list.partition_point(|(other, _)| *other < c);
                list.insert(at, (c, letter));
            }
        }
        Looks(list)
    }

    fn alike(&self, c: char) -> Option<char> {
        let at = self.0.partition_point(|(other, _)| *other < c);
        self.0.get(at).filter(|(other, _)| *other == c).map(|(_, letter)| *letter)
    }

    /// The letter that a character looks like; None for what nobody looks at: signs,
    /// white space, marks over letters, and what has no width.
    fn letter(&self, c: char) -> Option<char> {
        let c = unstyled(c);
        if let Some(letter) = self.alike(c) {
            return Some(letter); // some capitals look otherwise than their small letters
        }
        let c = lower(c);
        let n = c as usize;
        if (0x300..0x370).contains(&n) || ignorable(c) {
            return None;
        }
        match PLAIN.as_bytes().get(n.wrapping_sub(0xe0)) {
            None | Some(b'.') => {}
            Some(plain) => return Some(*plain as char),
        }
        self.alike(c).or_else(|| Some(c).filter(|c| fold::letter(*c)))
    }

    /// What a text looks like. With `globs`, `*` and `?` stay as they are.
    pub fn of(&self, text: &str, globs: bool) -> String {
        let mut out = String::new();
        for c in text.chars() {
            if globs && (c == '*' || c == '?') {
                out.push(c);
                continue;
            }
            let letter = match self.letter(c) {
                Some(letter) => letter,
                None => continue,
            };
            // Two letters that together look like one.
            match (letter, out.as_bytes().last()) {
                ('n', Some(b'r')) => replace_last(&mut out, 'm'),
                ('v', Some(b'v')) => replace_last(&mut out, 'w'),
                _ => out.push(letter),
            }
        }
        out
    }
}

fn replace_last(text: &mut String, c: char) {
    text.pop();
    text.push(c);
}

/// The plain form of full-width and mathematical letters and digits, and of letters in
/// circles.
fn unstyled(c: char) -> char {
    let n = c as u32;
    let of = |first: u8, n: u32| (first + n as u8) as char;
    match n {
        0xff10..=0xff19 => of(b'0', n - 0xff10),
        0xff21..=0xff3a => of(b'a', n - 0xff21),
        0xff41..=0xff5a => of(b'a', n - 0xff41),
        0x24b6..=0x24e9 => of(b'a', (n - 0x24b6) % 26),
        0x1d400..=0x1d6a3 => of(b'a', (n - 0x1d400) % 26),
        0x1d7ce..=0x1d7ff => of(b'0', (n - 0x1d7ce) % 10),
        0x1f130..=0x1f149 => of(b'a', n - 0x1f130),
        0x1f150..=0x1f169 => of(b'a', n - 0x1f150),
        0x1f170..=0x1f189 => of(b'a', n - 0x1f170),
        _ => c,
    }
}
