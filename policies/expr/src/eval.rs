//! What an expression says of a knock.
use crate::parse::{Node, Part, Program};
use crate::text::{contains, length};
use crate::fold;
use crate::words::{Fact, Function, Kind};
use alloc::string::String;
use alloc::vec::Vec;
use knockgate::{glob_match, Field, Knock, Phase};

/// The longest text that a host matches with a glob.
const MAX_GLOB_TEXT: usize = 65_536;

#[derive(Clone, Copy)]
enum Value<'a> {
    Absent,
    Truth(bool),
    Number(i64),
    Text(&'a str),
    /// A text that was made, by its index in Eval.
    Made(usize),
}

/// The evaluation of one knock.
pub struct Eval<'a> {
    nodes: &'a [Node],
    knock: &'a Knock<'a>,
    made: Vec<(Part, String)>,
    /// Why there is no answer.
    pub wrong: Option<&'static str>,
}

impl<'a> Eval<'a> {
    pub fn new(program: &'a Program, knock: &'a Knock<'a>) -> Self {
        Eval { nodes: &program.nodes, knock, made: Vec::new(), wrong: None }
    }

    /// Whether a condition holds. One about what is absent does not.
    pub fn holds(&mut self, part: Part) -> bool {
        matches!(self.value(part), Value::Truth(true))
    }

    fn text<'s>(&'s self, v: Value<'a>) -> Option<&'s str>
    where
        'a: 's,
    {
        match v {
            Value::Text(text) => Some(text),
            Value::Made(i) => Some(&self.made[i].1),
            _ => None,
        }
    }

    fn value(&mut self, part: Part) -> Value<'a> {
        let nodes = self.nodes;
        match &nodes[part as usize] {
            Node::Truth(truth) => Value::Truth(*truth),
            Node::Number(n) => Value::Number(*n),
            Node::Text(text) => Value::Text(text),
            Node::List(_) => Value::Absent, // asked for by those who have one
            Node::Fact(fact, kind) => self.fact(*fact, *kind),
            Node::All(parts) => Value::Truth(parts.iter().all(|p| self.holds(*p))),
            Node::Any(parts) => Value::Truth(parts.iter().any(|p| self.holds(*p))),
            Node::Not(a) => Value::Truth(!self.holds(*a)),
            Node::Equal(a, b) => Value::Truth(self.equal(*a, *b)),
            Node::Unequal(a, b) => Value::Truth(!self.equal(*a, *b)),
            Node::Less(a, b) => Value::Truth(matches!(self.numbers(*a, *b), Some((a, b)) if a < b)),
            Node::NotAbove(a, b) => Value::Truth(matches!(self.numbers(*a, *b), Some((a, b)) if a <= b)),
            Node::In(a, list) => Value::Truth(self.is_in(*a, *list)),
            Node::Search(function, a, b) => Value::Truth(self.search(*function, *a, *b)),
            Node::Lower(a) => self.lower(part, *a),
            Node::Length(a) => {
                let v = self.value(*a);
                match self.text(v) {
                    Some(text) => Value::Number(length(text)),
                    None => Value::Absent,
                }
            }
            Node::Present(fact, kind) => Value::Truth(match fact {
                Fact::Versions => self.knock.supported_versions().is_some(),
                _ => !matches!(self.fact(*fact, *kind), Value::Absent),
            }),
            Node::Hour(offset) => match self.minutes(*offset) {
                Some(minutes) => Value::Number(minutes.div_euclid(60).rem_euclid(24)),
                None => Value::Absent,
            },
            Node::Weekday(offset) => match self.minutes(*offset) {
                // The epoch began on a Thursday.
                Some(minutes) => Value::Number((minutes.div_euclid(24 * 60) + 3).rem_euclid(7) + 1),
                None => Value::Absent,
            },
            Node::Ago(a) => match (self.knock.now_ms(), self.value(*a)) {
                (Some(now), Value::Number(n)) => Value::Number(now.saturating_sub(n)),
                _ => Value::Absent,
            },
        }
    }

    fn fact(&self, fact: Fact, kind: Kind) -> Value<'a> {
        let k = self.knock;
        let text = match fact {
            Fact::Field(field) => match kind {
                Kind::Number => return k.number(field).map_or(Value::Absent, Value::Number),
                Kind::Truth => return k.truth(field).map_or(Value::Absent, Value::Truth),
                _ => k.text(field),
            },
            Fact::Phase => match k.phase() {
                Phase::MakeKnock => Some("make_knock"),
                Phase::SendKnock => Some("send_knock"),
                Phase::Unknown => None,
            },
            Fact::OriginServer => k.origin_server(),
            Fact::Versions => None,
        };
        text.map_or(Value::Absent, Value::Text)
    }

    fn equal(&mut self, a: Part, b: Part) -> bool {
        let (a, b) = (self.value(a), self.value(b));
        match (a, b) {
            (Value::Truth(a), Value::Truth(b)) => a == b,
            (Value::Number(a), Value::Number(b)) => a == b,
            _ => matches!((self.text(a), self.text(b)), (Some(a), Some(b)) if a == b),
        }
    }

    fn numbers(&mut self, a: Part, b: Part) -> Option<(i64, i64)> {
        match (self.value(a), self.value(b)) {
            (Value::Number(a), Value::Number(b)) => Some((a, b)),
            _ => None,
        }
    }

    fn is_in(&mut self, a: Part, list: Part) -> bool {
        let nodes = self.nodes;
        let items = match &nodes[list as usize] {
            Node::List(items) => items,
            _ => {
                let a = self.value(a);
                return matches!(self.text(a), Some(a) if self.knock.supports(a));
            }
        };
        let a = self.value(a);
        items.iter().any(|i| match (&nodes[*i as usize], a) {
            (Node::Number(n), Value::Number(a)) => a == *n,
            (Node::Text(text), _) => self.text(a) == Some(text),
            _ => false,
        })
    }

    /// Whether a text has one of some others, or is matched by one.
    fn search(&mut self, function: Function, a: Part, b: Part) -> bool {
        let nodes = self.nodes;
        let a = self.value(a);
        if function == Function::Matches && self.text(a).map_or(0, str::len) > MAX_GLOB_TEXT {
            self.wrong = Some("a text that is longer than 65,536 bytes cannot be matched with globs");
            return false;
        }
        match &nodes[b as usize] {
            Node::List(items) => items.iter().any(|i| match &nodes[*i as usize] {
                Node::Text(text) => self.found(function, a, Value::Text(text)),
                _ => false,
            }),
            Node::Fact(Fact::Versions, _) => match self.text(a) {
                Some(a) => self.knock.versions().any(|v| found(function, a, v)),
                None => false,
            },
            _ => {
                let b = self.value(b);
                self.found(function, a, b)
            }
        }
    }

    fn found(&self, function: Function, a: Value<'a>, b: Value<'a>) -> bool {
        match (self.text(a), self.text(b)) {
            (Some(a), Some(b)) => found(function, a, b),
            _ => false,
        }
    }

    /// The text in small letters, which is made once in a decision for each fact.
    fn lower(&mut self, part: Part, a: Part) -> Value<'a> {
        let nodes = self.nodes;
        let same = |made: Part| match (&nodes[made as usize], &nodes[part as usize]) {
            (Node::Lower(x), Node::Lower(y)) => match (&nodes[*x as usize], &nodes[*y as usize]) {
                (Node::Fact(x, _), Node::Fact(y, _)) => x == y,
                _ => x == y,
            },
            _ => false,
        };
        if let Some(i) = self.made.iter().position(|m| same(m.0)) {
            return Value::Made(i);
        }
        let v = self.value(a);
        let small = match self.text(v) {
            Some(text) => {
                let mut small = String::with_capacity(text.len());
                small.extend(text.chars().map(fold::lower));
                small
            }
            None => return Value::Absent,
        };
        self.made.push((part, small));
        Value::Made(self.made.len() - 1)
    }

    /// The decision's time in minutes since the epoch began at an offset from UTC.
    fn minutes(&self, offset: i64) -> Option<i64> {
        Some(self.knock.number(Field::NOW_MS)?.div_euclid(60_000) + offset)
    }
}

fn found(function: Function, a: &str, b: &str) -> bool {
    match function {
        Function::Matches => glob_match(b, a),
        Function::Contains => contains(a.as_bytes(), b.as_bytes()),
        Function::StartsWith => a.starts_with(b),
        _ => a.ends_with(b),
    }
}
