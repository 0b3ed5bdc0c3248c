//! The parser: a text becomes parts, each of a kind that is known. README.md has the
//! grammar.
use crate::text::length;
use crate::words::{Fact, Function, Kind, FACTS, FUNCTIONS};
use alloc::string::String;
use alloc::vec::Vec;

/// The most bytes of an expression, levels that it nests, and parts of all of a
/// policy's together.
const MAX_SOURCE: usize = 4096;
const MAX_DEPTH: usize = 16;
const MAX_PARTS: usize = 4096;

/// The longest glob that a host takes.
const MAX_GLOB: usize = 512;

const MAX_NUMBER: i64 = (1 << 53) - 1;

/// The index of a part in its program.
pub type Part = u16;

pub enum Node {
    Truth(bool),
    Number(i64),
    Text(String),
    List(Vec<Part>),
    Fact(Fact, Kind),
    All(Vec<Part>),
    Any(Vec<Part>),
    Not(Part),
    Equal(Part, Part),
    Unequal(Part, Part),
    Less(Part, Part),
    NotAbove(Part, Part),
    In(Part, Part),
    Search(Function, Part, Part),
    Lower(Part),
    Length(Part),
    Present(Fact, Kind),
    Hour(i64),
    Weekday(i64),
    Ago(Part),
}

/// The parts of all rules.
pub struct Program {
    pub nodes: Vec<Node>,
}

/// What is wrong with an expression, and where, in characters from 1.
#[derive(Debug)]
pub struct Fault {
    pub column: usize,
    pub text: String,
}

/// A part with its kind, and where it begins.
#[derive(Clone, Copy)]
struct Typed {
    part: Part,
    kind: Kind,
    at: usize,
}

type Parsed = Result<Typed, Fault>;

impl Program {
    pub fn new() -> Self {
        Program { nodes: Vec::new() }
    }

    /// Adds an expression, which is true or false, and returns its part.
    pub fn parse(&mut self, source: &str) -> Result<Part, Fault> {
        let mut p = Parser { source, at: 0, depth: 0, program: self };
        if source.len() > MAX_SOURCE {
            return Err(p.fault(0, &["must be at most 4096 bytes"]));
        }
        let whole = p.expr()?;
        if p.peek().is_some() {
            return Err(p.fault(p.at, &["must end here, or go on with && or ||, not ", p.found()]));
        }
        p.want(whole, Kind::Truth)?;
        Ok(whole.part)
    }
}

struct Parser<'a> {
    source: &'a str,
    at: usize,
    depth: usize,
    program: &'a mut Program,
}

impl<'a> Parser<'a> {
    fn fault(&self, at: usize, text: &[&str]) -> Fault {
        let before = self.source.get(..at).unwrap_or("");
        Fault { column: length(before) as usize + 1, text: text.concat() }
    }

    /// What is left of the source from a place on. Without an index out of bounds the
    /// module has no code to print one.
    fn rest(&self, at: usize) -> &'a str {
        self.source.get(at..).unwrap_or("")
    }

    /// The character that stands here, after white space.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest(self.at);
        let trimmed = rest.trim_start_matches(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
        self.at += rest.len() - trimmed.len();
        trimmed.chars().next()
    }

    /// What stands here, for messages.
    fn found(&self) -> &'a str {
        let rest = self.rest(self.at);
        let name = rest.len() - rest.trim_start_matches(is_name).len();
        let n = match rest.chars().next() {
            None => return "the end",
            Some(_) if name > 0 => name,
            Some(c) => c.len_utf8(),
        };
        rest.get(..n).unwrap_or("")
    }

    fn eat(&mut self, token: &str) -> bool {
        self.peek();
        let found = self.rest(self.at).starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), Fault> {
        if self.eat(token) {
            return Ok(());
        }
        Err(self.fault(self.at, &["must be ", token, ", not ", self.found()]))
    }

    fn want(&self, t: Typed, kind: Kind) -> Result<(), Fault> {
        if t.kind == kind {
            return Ok(());
        }
        Err(self.fault(t.at, &["must be ", kind.name(), ", not ", t.kind.name()]))
    }

    fn add(&mut self, node: Node, kind: Kind, at: usize) -> Parsed {
        if self.program.nodes.len() >= MAX_PARTS {
            return Err(self.fault(at, &["the rules have more than 4096 parts together"]));
        }
        self.program.nodes.push(node);
        Ok(Typed { part: (self.program.nodes.len() - 1) as Part, kind, at })
    }

    fn deeper(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.fault(self.at, &["nests more than 16 levels"]));
        }
        Ok(())
    }

    /// expr = all { "||" all }, all = test { "&&" test }
    fn expr(&mut self) -> Parsed {
        let mut any = Vec::new();
        loop {
            let mut all = Vec::new();
            loop {
                let t = self.test()?;
                let goes_on = self.eat("&&");
                if goes_on || !all.is_empty() {
                    self.want(t, Kind::Truth)?;
                }
                all.push(t);
                if !goes_on {
                    break;
                }
            }
            let t = match all[..] {
                [one] => one,
                _ => self.add(Node::All(parts(&all)), Kind::Truth, all[0].at)?,
            };
            let goes_on = self.eat("||");
            if goes_on || !any.is_empty() {
                self.want(t, Kind::Truth)?;
            }
            any.push(t);
            if !goes_on {
                break;
            }
        }
        match any[..] {
            [one] => Ok(one),
            _ => self.add(Node::Any(parts(&any)), Kind::Truth, any[0].at),
        }
    }

    /// test = "!" test | value [ operator value ]
    fn test(&mut self) -> Parsed {
        if self.peek() == Some('!') {
            let at = self.at;
            self.at += 1;
            self.deeper()?;
            let t = self.test()?;
            self.depth -= 1;
            self.want(t, Kind::Truth)?;
            return self.add(Node::Not(t.part), Kind::Truth, at);
        }
        let a = self.value()?;
        let operators = ["==", "!=", "<=", ">=", "<", ">", "in"];
        let word = match self.peek() {
            Some('i') => self.found(),
            _ => "in",
        };
        let operator = match operators.iter().find(|o| word == "in" && self.rest(self.at).starts_with(**o)) {
            Some(o) => *o,
            None if self.peek() == Some('=') => return Err(self.fault(self.at, &["write == to compare"])),
            None => return Ok(a),
        };
        self.at += operator.len();
        let b = self.value()?;
        let node = match operator {
            "==" | "!=" => {
                if let Kind::Texts | Kind::Numbers | Kind::Nothing = a.kind {
                    return Err(self.fault(a.at, &["a list cannot be compared: write in"]));
                }
                self.want(b, a.kind)?;
                if operator == "==" {
                    Node::Equal(a.part, b.part)
                } else {
                    Node::Unequal(a.part, b.part)
                }
            }
            "in" => self.is_in(a, b)?,
            _ => {
                self.want(a, Kind::Number)?;
                self.want(b, Kind::Number)?;
                match operator {
                    "<" => Node::Less(a.part, b.part),
                    "<=" => Node::NotAbove(a.part, b.part),
                    ">" => Node::Less(b.part, a.part),
                    _ => Node::NotAbove(b.part, a.part),
                }
            }
        };
        self.add(node, Kind::Truth, a.at)
    }

    fn is_in(&mut self, a: Typed, list: Typed) -> Result<Node, Fault> {
        let fits = match list.kind {
            Kind::Texts => a.kind == Kind::Text,
            Kind::Numbers => a.kind == Kind::Number,
            Kind::Nothing => a.kind == Kind::Text || a.kind == Kind::Number,
            other => return Err(self.fault(list.at, &["must be a list, not ", other.name()])),
        };
        if !fits {
            return Err(self.fault(a.at, &["is ", a.kind.name(), ", and cannot be in ", list.kind.name()]));
        }
        Ok(Node::In(a.part, list.part))
    }

    /// value = text | number | "true" | "false" | fact | call | list | "(" expr ")"
    fn value(&mut self) -> Parsed {
        let first = self.peek();
        let at = self.at;
        match first {
            Some('"' | '\'') => {
                let text = self.text()?;
                self.add(Node::Text(text), Kind::Text, at)
            }
            Some('0'..='9' | '-') => {
                let number = self.number()?;
                self.add(Node::Number(number), Kind::Number, at)
            }
            Some('[') => self.list(),
            Some('(') => {
                self.at += 1;
                self.deeper()?;
                let inner = self.expr()?;
                self.expect(")")?;
                self.depth -= 1;
                Ok(Typed { at, ..inner })
            }
            Some(c) if is_name(c) => self.word(),
            _ => Err(self.fault(at, &["must be a value, not ", self.found()])),
        }
    }

    /// A text in either of the quotes.
    fn text(&mut self) -> Result<String, Fault> {
        let start = self.at;
        let mut chars = self.rest(start).char_indices();
        let quote = chars.next().map(|(_, c)| c);
        let mut text = String::new();
        while let Some((i, c)) = chars.next() {
            match c {
                _ if Some(c) == quote => {
                    self.at = start + i + 1;
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, c @ ('\\' | '"' | '\''))) => text.push(c),
                    _ => return Err(self.fault(start + i, &["must be \\n, \\\\, \\\" or \\' after a backslash"])),
                },
                _ => text.push(c),
            }
        }
        Err(self.fault(start, &["the text does not end: its quote is missing"]))
    }

    /// A whole number, of milliseconds if s, m, h or d stands after it.
    fn number(&mut self) -> Result<i64, Fault> {
        let start = self.at;
        let negative = self.rest(start).starts_with('-');
        let word = dotted(self.rest(start + negative as usize));
        let units = [("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
        let (count, unit) = units.iter().find_map(|u| Some((word.strip_suffix(u.0)?, u.1))).unwrap_or((word, 1));
        let digits = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
        let value = match count.parse::<i64>() {
            Ok(n) if digits => n.checked_mul(unit).filter(|n| *n <= MAX_NUMBER),
            _ if digits => None,
            _ => return Err(self.fault(start, &["must be a whole number such as 10, or a time such as 90s, 10m, 2h, 7d"])),
        };
        self.at = start + negative as usize + word.len();
        match value {
            Some(n) if negative => Ok(-n),
            Some(n) => Ok(n),
            None => Err(self.fault(start, &["the number is too large: at most 9007199254740991, of milliseconds for a time"])),
        }
    }

    /// A list of texts or of numbers.
    fn list(&mut self) -> Parsed {
        let at = self.at;
        self.at += 1;
        let mut items = Vec::new();
        let mut kind = Kind::Nothing;
        while !self.eat("]") {
            if !items.is_empty() {
                self.expect(",")?;
            }
            let item = match self.peek() {
                Some('"' | '\'' | '0'..='9' | '-') => self.value()?,
                _ => return Err(self.fault(self.at, &["must be a text or a number in a list, not ", self.found()])),
            };
            let listed = if item.kind == Kind::Text { Kind::Texts } else { Kind::Numbers };
            if !items.is_empty() && listed != kind {
                return Err(self.fault(item.at, &["is ", item.kind.name(), " in ", kind.name()]));
            }
            kind = listed;
            items.push(item);
        }
        self.add(Node::List(parts(&items)), kind, at)
    }

    fn name(&mut self) -> &'a str {
        self.peek();
        let name = dotted(self.rest(self.at));
        self.at += name.len();
        name
    }

    /// A fact by its name.
    fn fact(&mut self) -> Result<(Fact, Kind), Fault> {
        self.peek();
        let at = self.at;
        let name = self.name();
        if let Some((_, fact, kind)) = FACTS.iter().find(|f| f.0 == name) {
            return Ok((*fact, *kind));
        }
        let right = match name {
            "" => return Err(self.fault(at, &["must be a fact, not ", self.found()])),
            "and" => "&&",
            "or" => "||",
            "not" => "!",
            _ => match FACTS.iter().find(|f| f.0.strip_prefix("room.") == Some(name)) {
                Some(f) => f.0,
                None => return Err(self.fault(at, &["there is no fact ", name, "; the README lists them"])),
            },
        };
        Err(self.fault(at, &["there is no ", name, ": write ", right]))
    }

    /// A truth value, a fact or a call.
    fn word(&mut self) -> Parsed {
        let at = self.at;
        let name = self.name();
        if self.peek() == Some('(') {
            self.at += 1;
            return match FUNCTIONS.iter().find(|f| f.0 == name) {
                Some((_, function)) => self.call(*function, at),
                None => {
                    let mut known = String::new();
                    for (i, f) in FUNCTIONS.iter().enumerate() {
                        known.push_str(if i > 0 { ", " } else { "" });
                        known.push_str(f.0);
                    }
                    Err(self.fault(at, &["there is no function ", name, "; there are ", &known]))
                }
            };
        }
        match name {
            "true" | "false" => self.add(Node::Truth(name == "true"), Kind::Truth, at),
            _ => {
                self.at = at;
                let (fact, kind) = self.fact()?;
                self.add(Node::Fact(fact, kind), kind, at)
            }
        }
    }

    /// A call, from its first argument on.
    fn call(&mut self, function: Function, at: usize) -> Parsed {
        self.deeper()?;
        let (node, kind) = match function {
            Function::Present => {
                let (fact, kind) = self.fact()?;
                (Node::Present(fact, kind), Kind::Truth)
            }
            Function::Hour => (Node::Hour(self.offset()?), Kind::Number),
            Function::Weekday => (Node::Weekday(self.offset()?), Kind::Number),
            Function::Lower => {
                let a = self.expr()?;
                self.want(a, Kind::Text)?;
                (Node::Lower(a.part), Kind::Text)
            }
            Function::Length => {
                let a = self.expr()?;
                self.want(a, Kind::Text)?;
                (Node::Length(a.part), Kind::Number)
            }
            Function::Ago => {
                let a = self.expr()?;
                self.want(a, Kind::Number)?;
                (Node::Ago(a.part), Kind::Number)
            }
            Function::Has => {
                let list = self.expr()?;
                self.expect(",")?;
                let a = self.expr()?;
                (self.is_in(a, list)?, Kind::Truth)
            }
            Function::Matches | Function::Contains | Function::StartsWith | Function::EndsWith => {
                let a = self.expr()?;
                self.want(a, Kind::Text)?;
                self.expect(",")?;
                let b = self.expr()?;
                if b.kind != Kind::Texts {
                    self.want(b, Kind::Text)?;
                }
                if let (Function::Matches, Some(wrong)) = (function, self.wrong_glob(b.part)) {
                    return Err(self.fault(b.at, &[wrong]));
                }
                (Node::Search(function, a.part, b.part), Kind::Truth)
            }
        };
        self.expect(")")?;
        self.depth -= 1;
        self.add(node, kind, at)
    }

    /// What is wrong with globs: they must stand in the expression.
    fn wrong_glob(&self, part: Part) -> Option<&'static str> {
        match &self.program.nodes[part as usize] {
            Node::Text(glob) if glob.len() > MAX_GLOB => Some("a glob must be at most 512 bytes"),
            Node::Text(_) => None,
            Node::List(items) => items.iter().find_map(|i| self.wrong_glob(*i)),
            _ => Some("must be a glob in quotes, or a list of them"),
        }
    }

    /// An offset from UTC such as "+05:30", in minutes; 0 if there is none.
    fn offset(&mut self) -> Result<i64, Fault> {
        if self.peek() == Some(')') {
            return Ok(0);
        }
        let at = self.at;
        let text = match self.peek() {
            Some('"' | '\'') => self.text()?,
            _ => String::new(),
        };
        let b = text.as_bytes();
        let digit = |i: usize| i64::from(b[i] - b'0');
        let digits = b.len() == 6 && [1, 2, 4, 5].iter().all(|i| b[*i].is_ascii_digit()) && b[3] == b':';
        if digits && (b[0] == b'+' || b[0] == b'-') {
            let (hours, minutes) = (digit(1) * 10 + digit(2), digit(4) * 10 + digit(5));
            if hours <= 14 && minutes < 60 {
                let minutes = hours * 60 + minutes;
                return Ok(if b[0] == b'-' { -minutes } else { minutes });
            }
        }
        Err(self.fault(at, &["must be an offset from UTC such as \"+02:00\", up to 14 hours"]))
    }
}

fn parts(list: &[Typed]) -> Vec<Part> {
    list.iter().map(|t| t.part).collect()
}

/// The name with dots, or the number, that a text begins with.
fn dotted(text: &str) -> &str {
    let rest = text.trim_start_matches(|c| is_name(c) || c == '.');
    text.strip_suffix(rest).unwrap_or("")
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
