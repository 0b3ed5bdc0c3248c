//! The probe of this SDK: the settings say what it does. plugins/conformance holds
//! it to what every SDK's probe answers.
#![no_std]
extern crate alloc;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use knockgate::*;

enum Value {
    Text(String),
    Number(i64),
    Truth(bool),
}

struct Probe {
    op: String,
    field: String,
    kind: String,
    message: String,
    note: String,
    code: String,
    text: String,
    key: String,
    value: String,
    server: String,
    number: i64,
    ttl: i64,
    detail: Vec<(String, Value)>,
    summary: String,
}

const FAR: i64 = 1_000_000;

impl Policy for Probe {
    fn configure(s: &Settings) -> Self {
        let text = s.text("text", "");
        if text == "refused" {
            s.fail("text", "must not be refused");
        }
        let number = s.number("number", 0, -FAR, FAR);
        let mut items = Vec::new();
        for item in s.texts("items") {
            if item.text == "refused" {
                item.fail("must not be refused");
            }
            items.push(item.text);
        }
        let inner = s.object("inner").number("number", 1, 0, 10);
        let mut rules = Vec::new();
        for rule in s.objects("rules") {
            let name = rule.text("name", "");
            let allow: Vec<String> = rule.texts("allow").into_iter().map(|i| i.text).collect();
            rules.push(format!("{}({})", name, allow.join(",")));
        }
        let mut detail = Vec::new();
        for d in s.objects("detail") {
            let key = d.text("key", "");
            let (text, number, truth) = (
                d.text("text", ""),
                d.number("number", 0, -FAR, FAR),
                d.truth("truth", false),
            );
            let value = if d.has("number") {
                Value::Number(number)
            } else if d.has("truth") {
                Value::Truth(truth)
            } else {
                Value::Text(text)
            };
            detail.push((key, value));
        }
        let summary = format!(
            "truth={} number={} text={} choice={} items={} inner={} rules={}",
            s.truth("truth", false),
            number,
            text,
            s.one_of("choice", "a", &["a", "b"]),
            items.join(","),
            inner,
            rules.join(";"),
        );
        Probe {
            op: s.text("op", "echo"),
            field: s.text("field", ""),
            kind: s.text("kind", "pass"),
            message: s.text("message", ""),
            note: s.text("note", ""),
            code: s.text("code", ""),
            key: s.text("key", ""),
            value: s.text("value", ""),
            server: s.text("server", ""),
            ttl: s.number("ttl", 0, 0, FAR),
            text,
            number,
            detail,
            summary,
        }
    }

    fn decide(&self, k: &Knock) -> Verdict {
        let (text, key) = (self.text.as_str(), self.key.as_str());
        let note: String = match self.op.as_str() {
            "echo" => return self.echo(k),
            "verdict" => return self.verdict(),
            "settings" => self.summary.clone(),
            "phase" => match k.phase() {
                Phase::MakeKnock => "make_knock",
                Phase::SendKnock => "send_knock",
                Phase::Unknown => "unknown",
            }
            .into(),
            "supports" => k.supports(text).to_string(),
            "origin_server" => k.origin_server().unwrap_or("").into(),
            "strip_port" => strip_port(text).into(),
            "log" => {
                let level = match self.kind.as_str() {
                    "debug" => Level::Debug,
                    "info" => Level::Info,
                    "warn" => Level::Warn,
                    _ => Level::Error,
                };
                log(level, text);
                String::new()
            }
            "now" => now_ms().to_string(),
            "random" => {
                let mut bytes = Vec::new();
                bytes.resize(self.number as usize, 0);
                random(&mut bytes);
                bytes.iter().map(|b| format!("{:02x}", b)).collect()
            }
            "glob" => glob_match(key, text).to_string(),
            "acl" => acl_allows(text, &self.server).to_string(),
            "kv_get" => match kv_get(key.as_bytes(), &mut [0; 4096]) {
                Some(value) => String::from_utf8_lossy(value).into_owned(),
                None => return Verdict::allow().code("absent"),
            },
            "kv_put" => kv_put(key.as_bytes(), self.value.as_bytes(), self.ttl).to_string(),
            "kv_incr" => match kv_incr(key.as_bytes(), self.number, self.ttl) {
                Some(count) => count.to_string(),
                None => return Verdict::allow().code("refused"),
            },
            "list" => match list_has(&self.value, key) {
                ListAnswer::Holds => "holds",
                ListAnswer::Lacks => "lacks",
                ListAnswer::Unknown => "unknown",
            }
            .into(),
            _ => panic!("asked to"),
        };
        Verdict::allow().note(note)
    }
}

impl Probe {
    fn echo(&self, k: &Knock) -> Verdict {
        let text = |t: Option<&str>| t.map(String::from);
        let number = |n: Option<i64>| n.map(|n| n.to_string());
        let truth = |t: Option<bool>| t.map(|t| t.to_string());
        let value = match self.field.as_str() {
            "json" => text(k.json()),
            "room_id" => text(k.room_id()),
            "room_version" => text(k.room_version()),
            "user_id" => text(k.user_id()),
            "user_localpart" => text(k.user_localpart()),
            "user_server" => text(k.user_server()),
            "origin" => text(k.origin()),
            "supported_versions" => text(k.supported_versions()),
            "reason" => text(k.reason()),
            "displayname" => text(k.displayname()),
            "avatar_url" => text(k.avatar_url()),
            "event" => text(k.event()),
            "request_id" => text(k.request_id()),
            "now_ms" => number(k.now_ms()),
            "content_hash_ok" => truth(k.content_hash_ok()),
            "room_known" => truth(k.room_known()),
            "room_join_rule" => text(k.room_join_rule()),
            "room_name" => text(k.room_name()),
            "room_alias" => text(k.room_alias()),
            "room_topic" => text(k.room_topic()),
            "room_encrypted" => truth(k.room_encrypted()),
            "room_members" => number(k.room_members()),
            "user_membership" => text(k.user_membership()),
            "room_age_ms" => number(k.room_age_ms()),
            "room_acl" => text(k.room_acl()),
            "room_pending" => number(k.room_pending()),
            "room_pending_server" => number(k.room_pending_server()),
            "room_members_server" => number(k.room_members_server()),
            "room_banned" => number(k.room_banned()),
            "room_banned_server" => number(k.room_banned_server()),
            "user_membership_since_ms" => number(k.user_membership_since_ms()),
            "user_membership_by" => text(k.user_membership_by()),
            _ => return Verdict::error("no such field"),
        };
        match value {
            Some(value) => Verdict::allow().note(value).code("present"),
            None => Verdict::allow().code("absent"),
        }
    }

    fn verdict(&self) -> Verdict {
        let mut v = match self.kind.as_str() {
            "allow" => Verdict::allow(),
            "deny" => Verdict::deny(self.message.clone()),
            "incompatible" => Verdict::incompatible(self.message.clone()),
            "error" => Verdict::error(self.message.clone()),
            _ => Verdict::pass(),
        };
        if !self.note.is_empty() {
            v = v.note(self.note.clone());
        }
        for (key, value) in &self.detail {
            v = match value {
                Value::Text(text) => v.detail_text(key, text),
                Value::Number(number) => v.detail_number(key, *number),
                Value::Truth(truth) => v.detail_truth(key, *truth),
            };
        }
        v.code(self.code.clone())
    }
}

policy!(Probe);
