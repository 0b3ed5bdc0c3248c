/* The probe of this SDK: the settings say what it does. plugins/conformance holds it to
 * what every SDK's probe answers. */
#include "knockgate.h"

static const int64_t far = 1000000;
static const knock_text none = {"", 0};
static const knock_text choices[] = {{"a", 1}, {"b", 1}, {0, 0}};

static knock_text op, field, kind, message, note, code, text, key, value, server;
static int64_t number, ttl;

static struct {
    knock_text key, text;
    int64_t number;
    bool is_number, is_truth, truth;
} detail[8];
static uint32_t details;

static char summary[1024];
static uint32_t summary_len;

static void add(knock_text t) {
    if (t.len > sizeof summary - summary_len) __builtin_trap();
    __builtin_memcpy(summary + summary_len, t.at, t.len);
    summary_len += t.len;
}

static knock_text truth_name(bool b) { return b ? KNOCK_TEXT("true") : KNOCK_TEXT("false"); }

static void add_texts(knock_settings s, const char *name) {
    knock_list l = knock_get_texts(s, name);
    for (bool first = true; knock_next(&l); first = false) {
        if (knock_same(l.text, KNOCK_TEXT("refused"))) knock_fail_item(&l, KNOCK_TEXT("must not be refused"));
        if (!first) add(KNOCK_TEXT(","));
        add(l.text);
    }
}

void policy_configure(knock_settings s) {
    op = knock_get_text(s, "op", KNOCK_TEXT("echo"));
    field = knock_get_text(s, "field", none);
    kind = knock_get_text(s, "kind", KNOCK_TEXT("pass"));
    message = knock_get_text(s, "message", none);
    note = knock_get_text(s, "note", none);
    code = knock_get_text(s, "code", none);
    text = knock_get_text(s, "text", none);
    key = knock_get_text(s, "key", none);
    value = knock_get_text(s, "value", none);
    server = knock_get_text(s, "server", none);
    number = knock_get_number(s, "number", 0, -far, far);
    ttl = knock_get_number(s, "ttl", 0, 0, far);
    if (knock_same(text, KNOCK_TEXT("refused"))) knock_fail(s, "text", KNOCK_TEXT("must not be refused"));

    add(KNOCK_TEXT("truth="));
    add(truth_name(knock_get_truth(s, "truth", false)));
    add(KNOCK_JOIN(KNOCK_TEXT(" number="), knock_digits(number), KNOCK_TEXT(" text="), text, KNOCK_TEXT(" choice=")));
    add(knock_get_one_of(s, "choice", KNOCK_TEXT("a"), choices));
    add(KNOCK_TEXT(" items="));
    add_texts(s, "items");
    add(KNOCK_TEXT(" inner="));
    add(knock_digits(knock_get_number(knock_get_object(s, "inner"), "number", 1, 0, 10)));
    add(KNOCK_TEXT(" rules="));
    knock_list rules = knock_get_objects(s, "rules");
    for (bool first = true; knock_next(&rules); first = false) {
        if (!first) add(KNOCK_TEXT(";"));
        add(knock_get_text(rules.settings, "name", none));
        add(KNOCK_TEXT("("));
        add_texts(rules.settings, "allow");
        add(KNOCK_TEXT(")"));
    }
    knock_list l = knock_get_objects(s, "detail");
    while (details < 8 && knock_next(&l)) {
        detail[details].key = knock_get_text(l.settings, "key", none);
        detail[details].text = knock_get_text(l.settings, "text", none);
        detail[details].number = knock_get_number(l.settings, "number", 0, -far, far);
        detail[details].truth = knock_get_truth(l.settings, "truth", false);
        detail[details].is_number = knock_has(l.settings, "number");
        detail[details].is_truth = knock_has(l.settings, "truth");
        details++;
    }
}

static knock_verdict noted(knock_text t) {
    knock_verdict v = knock_allow();
    v.note = t;
    return v;
}

static knock_verdict coded(knock_text t) {
    knock_verdict v = knock_allow();
    v.code = t;
    return v;
}

static knock_verdict echo_text(knock_text t) {
    if (!t.at) return coded(KNOCK_TEXT("absent"));
    knock_verdict v = noted(t);
    v.code = KNOCK_TEXT("present");
    return v;
}

static knock_verdict echo_number(uint32_t f, int64_t got) {
    int64_t n;
    if (!knock_number_field(f, &n)) return coded(KNOCK_TEXT("absent"));
    return echo_text(knock_digits(got));
}

static knock_verdict echo_truth(uint32_t f, bool got) {
    if (knock_truth_field(f) < 0) return coded(KNOCK_TEXT("absent"));
    return echo_text(truth_name(got));
}

#define TEXT_FIELD(name) \
    if (knock_same(field, KNOCK_TEXT(#name))) return echo_text(knock_##name())
#define NUMBER_FIELD(name, f) \
    if (knock_same(field, KNOCK_TEXT(#name))) return echo_number(f, knock_##name())
#define TRUTH_FIELD(name, f) \
    if (knock_same(field, KNOCK_TEXT(#name))) return echo_truth(f, knock_##name())

static knock_verdict echo(void) {
    TEXT_FIELD(json);
    TEXT_FIELD(room_id);
    TEXT_FIELD(room_version);
    TEXT_FIELD(user_id);
    TEXT_FIELD(user_localpart);
    TEXT_FIELD(user_server);
    TEXT_FIELD(origin);
    TEXT_FIELD(supported_versions);
    TEXT_FIELD(reason);
    TEXT_FIELD(displayname);
    TEXT_FIELD(avatar_url);
    TEXT_FIELD(event);
    TEXT_FIELD(request_id);
    NUMBER_FIELD(now_ms, KNOCK_NOW_MS);
    TRUTH_FIELD(content_hash_ok, KNOCK_CONTENT_HASH_OK);
    TRUTH_FIELD(room_known, KNOCK_ROOM_KNOWN);
    TEXT_FIELD(room_join_rule);
    TEXT_FIELD(room_name);
    TEXT_FIELD(room_alias);
    TEXT_FIELD(room_topic);
    TRUTH_FIELD(room_encrypted, KNOCK_ROOM_ENCRYPTED);
    NUMBER_FIELD(room_members, KNOCK_ROOM_MEMBERS);
    TEXT_FIELD(user_membership);
    NUMBER_FIELD(room_age_ms, KNOCK_ROOM_AGE_MS);
    TEXT_FIELD(room_acl);
    NUMBER_FIELD(room_pending, KNOCK_ROOM_PENDING);
    NUMBER_FIELD(room_pending_server, KNOCK_ROOM_PENDING_SERVER);
    NUMBER_FIELD(room_members_server, KNOCK_ROOM_MEMBERS_SERVER);
    NUMBER_FIELD(room_banned, KNOCK_ROOM_BANNED);
    NUMBER_FIELD(room_banned_server, KNOCK_ROOM_BANNED_SERVER);
    NUMBER_FIELD(user_membership_since_ms, KNOCK_USER_MEMBERSHIP_SINCE_MS);
    TEXT_FIELD(user_membership_by);
    return knock_error(KNOCK_TEXT("no such field"));
}

static knock_verdict verdict(void) {
    knock_verdict v = knock_pass();
    if (knock_same(kind, KNOCK_TEXT("allow"))) v = knock_allow();
    if (knock_same(kind, KNOCK_TEXT("deny"))) v = knock_deny(message);
    if (knock_same(kind, KNOCK_TEXT("incompatible"))) v = knock_incompatible(message);
    if (knock_same(kind, KNOCK_TEXT("error"))) v = knock_error(message);
    if (note.len) v.note = note;
    v.code = code;
    for (uint32_t i = 0; i < details; i++) {
        if (detail[i].is_number) knock_detail_number(detail[i].key, detail[i].number);
        else if (detail[i].is_truth) knock_detail_truth(detail[i].key, detail[i].truth);
        else knock_detail_text(detail[i].key, detail[i].text);
    }
    return v;
}

static bool is(const char *name, uint32_t len) { return knock_same(op, (knock_text){name, len}); }
#define IS(name) is(name, sizeof(name) - 1)

knock_verdict policy_decide(void) {
    static uint8_t bytes[4096];
    if (IS("echo")) return echo();
    if (IS("verdict")) return verdict();
    if (IS("settings")) return noted((knock_text){summary, summary_len});
    if (IS("phase")) {
        switch (knock_phase()) {
        case KNOCK_MAKE_KNOCK: return noted(KNOCK_TEXT("make_knock"));
        case KNOCK_SEND_KNOCK: return noted(KNOCK_TEXT("send_knock"));
        }
        return noted(KNOCK_TEXT("unknown"));
    }
    if (IS("supports")) return noted(truth_name(knock_supports(text)));
    if (IS("origin_server")) return noted(knock_origin_server());
    if (IS("strip_port")) return noted(knock_strip_port(text));
    if (IS("log")) {
        uint32_t level = KNOCK_ERROR;
        if (knock_same(kind, KNOCK_TEXT("debug"))) level = KNOCK_DEBUG;
        if (knock_same(kind, KNOCK_TEXT("info"))) level = KNOCK_INFO;
        if (knock_same(kind, KNOCK_TEXT("warn"))) level = KNOCK_WARN;
        knock_log(level, text);
        return knock_allow();
    }
    if (IS("now")) return noted(knock_digits(knock_host_now_ms()));
    if (IS("random")) {
        if (number < 0 || number > (int64_t)sizeof bytes) __builtin_trap();
        knock_random(bytes, (uint32_t)number);
        return noted(knock_hex(bytes, (uint32_t)number));
    }
    if (IS("glob")) return noted(truth_name(knock_glob_match(key, text)));
    if (IS("acl")) return noted(truth_name(knock_acl_allows(text, server)));
    if (IS("kv_get")) {
        int32_t n = knock_kv_get(key, bytes, sizeof bytes);
        if (n < 0) return coded(KNOCK_TEXT("absent"));
        return noted((knock_text){(const char *)bytes, (uint32_t)n});
    }
    if (IS("kv_put")) return noted(truth_name(knock_kv_put(key, (const uint8_t *)value.at, value.len, ttl)));
    if (IS("kv_incr")) {
        int64_t count = knock_kv_incr(key, number, ttl);
        return count < 0 ? coded(KNOCK_TEXT("refused")) : noted(knock_digits(count));
    }
    if (IS("list")) {
        switch (knock_list_has(value, key)) {
        case 1: return noted(KNOCK_TEXT("holds"));
        case 0: return noted(KNOCK_TEXT("lacks"));
        }
        return noted(KNOCK_TEXT("unknown"));
    }
    __builtin_trap();
}
