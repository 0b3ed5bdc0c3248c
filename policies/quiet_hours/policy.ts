// quiet_hours takes knocks at some hours of the week only. README.md is the documentation.
import { Field, Knock, Policy, Settings, Verdict, register } from "../../sdk/assemblyscript/assembly";
export { knock_v1_buffer, knock_v1_configure, knock_v1_decide } from "../../sdk/assemblyscript/assembly";

const MESSAGE = "Knocks are taken at other hours. Please come again on {when}.";
const WHEN = "{when}";
const MOST_WHEN = 43; // bytes of the longest that {when} becomes

const DAY: i64 = 24 * 60; // in minutes, as all times here
const WEEK: i64 = 7 * DAY;
const DAYS: string[] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const NAMES: string[] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/** Part of a week, from its first minute to the one after its last. */
class Span {
  constructor(public from: i64, public to: i64) {}
}

/** The offset from UTC that holds from a minute of UTC on. */
class Change {
  constructor(public since: i64, public offset: i64) {}
}

class QuietHours extends Policy {
  open: Span[] = []; // in order, none beside or in another
  always: bool = true;
  offset: i64 = 0;
  changes: Change[] = [];
  message: string[] = MESSAGE.split(WHEN); // what is before, between and after {when}

  configure(s: Settings): void {
    this.readWindows(s);
    const offset = parseOffset(s.text("offset", "+00:00"));
    if (offset == NONE) s.fail("offset", 'must be an offset from UTC from -14:00 to +14:00, such as "+01:00"');
    this.offset = offset;
    this.readChanges(s);
    const message = s.text("message", MESSAGE);
    if (message.trim().length == 0) s.fail("message", "must not be empty: leave it out for the usual sentence");
    const most = message.includes(WHEN) ? 512 - MOST_WHEN : 512;
    if (String.UTF8.byteLength(message) > most) s.fail("message", "must be at most " + most.toString() + " bytes");
    this.message = message.split(WHEN);
  }

  private readWindows(s: Settings): void {
    const spans: Span[] = [];
    const windows = s.objects("windows");
    this.always = !s.has("windows");
    if (!this.always && windows.length == 0) s.fail("windows", "must have at least one window: leave it out for all hours");
    if (windows.length > 64) s.fail("windows", "must be at most 64 windows");
    for (let i = 0; i < windows.length; i++) {
      const days = readDays(windows[i]);
      const from = readTime(windows[i], "from", "00:00");
      let to = readTime(windows[i], "to", "24:00");
      if (from == DAY) windows[i].fail("from", "must be before 24:00");
      if (to <= from) to += DAY; // over midnight
      for (let day = 0; day < 7; day++) {
        if (days >> day & 1) add(spans, day * DAY + from, day * DAY + to);
      }
    }
    this.open = merged(spans);
  }

  private readChanges(s: Settings): void {
    const list = s.objects("offsets");
    if (list.length > 64) s.fail("offsets", "must be at most 64 offsets");
    this.changes = [];
    let last = i64.MIN_VALUE;
    for (let i = 0; i < list.length; i++) {
      const since = parseInstant(list[i].text("since", ""));
      const offset = parseOffset(list[i].text("offset", ""));
      if (since == NONE) list[i].fail("since", 'must be a time in UTC, such as "2026-03-29T01:00Z"');
      else if (since <= last) list[i].fail("since", "must be later than that of the offset before");
      if (offset == NONE) list[i].fail("offset", 'must be an offset from UTC from -14:00 to +14:00, such as "+02:00"');
      last = since;
      this.changes.push(new Change(since, offset));
    }
  }

  /** The offset that holds at a minute of UTC. */
  private offsetAt(utc: i64): i64 {
    let offset = this.offset;
    for (let i = 0; i < this.changes.length && this.changes[i].since <= utc; i++) offset = this.changes[i].offset;
    return offset;
  }

  decide(k: Knock): Verdict {
    if (this.always) return Verdict.pass();
    if (!k.has(Field.NOW_MS)) return Verdict.error("the request has no time");
    const utc = floorDiv(k.nowMs, 60000), offset = this.offsetAt(utc), now = utc + offset;
    const minute = ofWeek(now);
    let wait = this.open[0].from + WEEK - minute;
    for (let i = 0; i < this.open.length; i++) {
      if (minute < this.open[i].from) {
        wait = this.open[i].from - minute;
        break;
      }
      if (minute < this.open[i].to) return Verdict.pass();
    }
    const then = now + wait;
    const when = describe(then, this.offsetAt(then - offset));
    return Verdict.deny(this.message.join(when)).withCode("outside_hours")
      .withNote("it is " + describe(now, offset));
  }
}

/** Adds a span, in two parts if it goes over the end of the week. */
function add(spans: Span[], from: i64, to: i64): void {
  if (to > WEEK) {
    spans.push(new Span(0, to - WEEK));
    to = WEEK;
  }
  spans.push(new Span(from, to));
}

/** The spans in order, those that touch made one. */
function merged(spans: Span[]): Span[] {
  spans.sort((a, b) => <i32>(a.from - b.from));
  const out: Span[] = [];
  for (let i = 0; i < spans.length; i++) {
    const span = spans[i];
    if (out.length > 0 && span.from <= out[out.length - 1].to) {
      const last = out[out.length - 1];
      if (span.to > last.to) last.to = span.to;
    } else {
      out.push(span);
    }
  }
  return out;
}

/** The days of a window, a bit for each. */
function readDays(s: Settings): i32 {
  const items = s.texts("days");
  if (!s.has("days")) return 127;
  if (items.length == 0) s.fail("days", "must have at least one day: leave it out for all days");
  let days = 0;
  for (let i = 0; i < items.length; i++) {
    const day = DAYS.indexOf(items[i].text);
    if (day < 0) items[i].fail("must be one of mon, tue, wed, thu, fri, sat, sun");
    else days |= 1 << day;
  }
  return days;
}

const NONE: i64 = i64.MIN_VALUE; // of a text that is none

function readTime(s: Settings, key: string, otherwise: string): i64 {
  const time = parseTime(s.text(key, otherwise), 0);
  if (time == NONE || time > DAY) {
    s.fail(key, 'must be a time from 00:00 to 24:00, such as "08:30"');
    return 0;
  }
  return time;
}

/** The number of the digits from a place on, NONE if they are none. */
function number(text: string, at: i32, digits: i32): i64 {
  if (at + digits > text.length) return NONE;
  let n: i64 = 0;
  for (let i = at; i < at + digits; i++) {
    const c = text.charCodeAt(i);
    if (c < 0x30 || c > 0x39) return NONE;
    n = n * 10 + c - 0x30;
  }
  return n;
}

/** The minutes of a text that ends with HH:MM at a place. */
function parseTime(text: string, at: i32): i64 {
  const hours = number(text, at, 2), minutes = number(text, at + 3, 2);
  if (text.length != at + 5 || text.charAt(at + 2) != ":" || hours == NONE || minutes == NONE || minutes > 59) return NONE;
  return hours * 60 + minutes;
}

/** The minutes of an offset such as +01:00. */
function parseOffset(text: string): i64 {
  const minutes = parseTime(text, 1), sign = text.charAt(0);
  if (minutes == NONE || minutes > 14 * 60 || sign != "+" && sign != "-") return NONE;
  return sign == "-" ? -minutes : minutes;
}

/** The minutes since the epoch of a time such as 2026-03-29T01:00Z. */
function parseInstant(text: string): i64 {
  if (text.length != 17 || text.charAt(16) != "Z" || text.charAt(10) != "T" || text.charAt(4) != "-" || text.charAt(7) != "-") return NONE;
  const year = number(text, 0, 4), month = number(text, 5, 2), day = number(text, 8, 2);
  const time = parseTime(text.substring(0, 16), 11);
  if (year < 1970 || month < 1 || month > 12 || day < 1 || time == NONE || time >= DAY) return NONE;
  const days = daysOf(year, month, day), date = new Civil(days);
  return date.day == day && date.month == month ? days * DAY + time : NONE; // there is no 30 February
}

/** The days since the epoch of a date. Years begin with March here, so that the day that some have
 * more is their last. */
function daysOf(year: i64, month: i64, day: i64): i64 {
  const y = month <= 2 ? year - 1 : year, m = (month + 9) % 12;
  return y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719468;
}

/** The date of a day since the epoch. */
class Civil {
  year: i64;
  month: i64;
  day: i64;

  constructor(days: i64) {
    const d = days + 719468, era = floorDiv(d, 146097), ofEra = d - era * 146097;
    const yearOfEra = (ofEra - ofEra / 1460 + ofEra / 36524 - ofEra / 146096) / 365;
    const ofYear = ofEra - (yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100);
    const m = (ofYear * 5 + 2) / 153;
    this.day = ofYear - (m * 153 + 2) / 5 + 1;
    this.month = m < 10 ? m + 3 : m - 9;
    this.year = era * 400 + yearOfEra + (this.month <= 2 ? 1 : 0);
  }
}

/** A minute of the week from Monday on, of local minutes since the epoch, a Thursday. */
function ofWeek(local: i64): i64 {
  const m = local + 3 * DAY;
  return m - floorDiv(m, WEEK) * WEEK;
}

function floorDiv(a: i64, b: i64): i64 {
  return a >= 0 ? a / b : -((b - 1 - a) / b);
}

function two(n: i64): string {
  return n.toString().padStart(2, "0");
}

/** A local time in words: Monday, 2026-11-30, at 08:00 (UTC+01:00). */
function describe(local: i64, offset: i64): string {
  const days = floorDiv(local, DAY), minute = local - days * DAY, date = new Civil(days);
  const ahead = offset < 0 ? -offset : offset;
  return NAMES[<i32>(ofWeek(local) / DAY)] + ", " + date.year.toString() + "-" + two(date.month) + "-" + two(date.day) +
    ", at " + two(minute / 60) + ":" + two(minute % 60) +
    " (UTC" + (offset < 0 ? "-" : "+") + two(ahead / 60) + ":" + two(ahead % 60) + ")";
}

register(new QuietHours());
