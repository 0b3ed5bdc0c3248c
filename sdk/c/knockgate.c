#include "knockgate.h"

#define EXPORT(name) __attribute__((export_name(#name)))
#define IMPORT(name) __attribute__((import_module("knock_v1"), import_name(#name)))

enum { MAX_FRAME = 262144, MAX_RESULT = 16384, MAX_SETTINGS = 131072 };
enum { MAGIC = 0x314b4e4b, HEADER = 16, ENTRY = 8 };
enum { ALLOW = 1, DENY = 2, INCOMPATIBLE = 3, PASS = 4, ERROR = 255 };
enum { MAX_MESSAGE = 512, MAX_NOTE = 1024, MAX_CODE = 64, MAX_PATH = 256, MAX_DETAIL = 4096 };

static uint8_t frame[MAX_FRAME] __attribute__((aligned(8)));

static bool whole;      /* a decision is made, and its frame is whole */
static uint32_t fields; /* how many fields its table has; 0 outside a decision */

static char result[MAX_RESULT];
static uint32_t written;

/* What a call makes besides its result. */
static char scratch[8192];
static uint32_t scratch_used;
static char detail[MAX_DETAIL]; /* members, each with a comma before it */
static uint32_t detail_used;

_Noreturn static void trap(void) { __builtin_trap(); }

/* Text. */

static bool same_bytes(const char *a, const char *b, uint32_t len) {
    for (uint32_t i = 0; i < len; i++)
        if (a[i] != b[i]) return false;
    return true;
}

static knock_text of_string(const char *s) {
    knock_text t = {s, 0};
    while (s[t.len]) t.len++;
    return t;
}

bool knock_same(knock_text a, knock_text b) { return a.len == b.len && same_bytes(a.at, b.at, a.len); }

bool knock_begins(knock_text t, knock_text prefix) {
    return t.len >= prefix.len && same_bytes(t.at, prefix.at, prefix.len);
}

bool knock_ends(knock_text t, knock_text suffix) {
    return t.len >= suffix.len && same_bytes(t.at + (t.len - suffix.len), suffix.at, suffix.len);
}

uint32_t knock_characters(knock_text t) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < t.len; i++) n += ((uint8_t)t.at[i] & 0xc0) != 0x80;
    return n;
}

static char *take(uint32_t len) {
    if (len > sizeof scratch - scratch_used) trap();
    char *at = scratch + scratch_used;
    scratch_used += len;
    return at;
}

knock_text knock_join(const knock_text *parts, uint32_t count) {
    knock_text all = {scratch + scratch_used, 0};
    for (uint32_t i = 0; i < count; i++) {
        __builtin_memcpy(take(parts[i].len), parts[i].at, parts[i].len);
        all.len += parts[i].len;
    }
    return all;
}

knock_text knock_digits(int64_t number) {
    char digits[20];
    uint32_t at = sizeof digits;
    uint64_t rest = number < 0 ? -(uint64_t)number : (uint64_t)number;
    do digits[--at] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (number < 0) digits[--at] = '-';
    knock_text t = {digits + at, sizeof digits - at};
    return knock_join(&t, 1);
}

static const char hex[] = "0123456789abcdef";

knock_text knock_hex(const uint8_t *bytes, uint32_t len) {
    if (len > sizeof scratch / 2) trap();
    char *at = take(2 * len);
    for (uint32_t i = 0; i < len; i++) {
        at[2 * i] = hex[bytes[i] >> 4];
        at[2 * i + 1] = hex[bytes[i] & 15];
    }
    return (knock_text){at, 2 * len};
}

/* The knock. */

static uint32_t word(uint32_t at) { return *(const uint32_t *)(frame + at); }

/* open_frame reports whether the first len bytes begin with a whole header and table. A
 * field outside the frame, which no host sends, is a trap when it is asked for. */
static bool open_frame(uint32_t len) {
    whole = false;
    fields = 0;
    if (len < HEADER || len > MAX_FRAME || word(0) != MAGIC || word(4) != len) return false;
    uint32_t n = word(12);
    if (n > (len - HEADER) / ENTRY) return false;
    fields = n;
    return whole = true;
}

uint32_t knock_phase(void) { return whole ? word(8) : 0; }

knock_text knock_field(uint32_t field) {
    knock_text t = {0, 0};
    if (field >= fields) return t;
    uint32_t at = word(HEADER + field * ENTRY), len = word(HEADER + field * ENTRY + 4);
    if (!at) return t;
    if (len > word(4) || at > word(4) - len) trap();
    t.at = (const char *)frame + at;
    t.len = len;
    return t;
}

bool knock_number_field(uint32_t field, int64_t *value) {
    knock_text t = knock_field(field);
    *value = 0;
    if (t.len != sizeof *value) return false;
    __builtin_memcpy(value, t.at, sizeof *value);
    return true;
}

int knock_truth_field(uint32_t field) {
    knock_text t = knock_field(field);
    return t.len == 1 && (uint8_t)t.at[0] <= 1 ? t.at[0] : -1;
}

knock_text knock_strip_port(knock_text name) {
    uint32_t n = name.len;
    while (n && name.at[n - 1] >= '0' && name.at[n - 1] <= '9') n--;
    if (n && name.at[n - 1] == ':') name.len = n - 1;
    return name;
}

bool knock_supports(knock_text version) {
    knock_text all = knock_supported_versions();
    for (uint32_t from = 0, i = 0; all.len && i <= all.len; i++) {
        if (i < all.len && all.at[i] != '\n') continue;
        if (i > from && knock_same((knock_text){all.at + from, i - from}, version)) return true;
        from = i + 1;
    }
    return false;
}

/* Writing JSON. */

typedef struct {
    char *at;
    uint32_t used, room;
} writer;

static void put(writer *w, knock_text t) {
    if (t.len > w->room - w->used) { /* once full, it stays full */
        w->used = w->room;
        return;
    }
    __builtin_memcpy(w->at + w->used, t.at, t.len);
    w->used += t.len;
}

#define PUT(w, literal) put(w, KNOCK_TEXT(literal))

/* cut returns the beginning of a text that has at most most bytes, cut at a character. */
static knock_text cut(knock_text t, uint32_t most) {
    if (t.len <= most) return t;
    while (most && ((uint8_t)t.at[most] & 0xc0) == 0x80) most--;
    t.len = most;
    return t;
}

/* put_quoted writes the beginning of a text as a JSON string. */
static void put_quoted(writer *w, knock_text t, uint32_t most) {
    t = cut(t, most);
    PUT(w, "\"");
    uint32_t from = 0;
    for (uint32_t i = 0; i < t.len; i++) {
        uint8_t c = (uint8_t)t.at[i];
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        put(w, (knock_text){t.at + from, i - from});
        from = i + 1;
        char escape[6] = {'\\', (char)c, '0', '0', hex[c >> 4], hex[c & 15]};
        if (c < 0x20) escape[1] = 'u';
        put(w, (knock_text){escape, c < 0x20 ? 6 : 2});
    }
    put(w, (knock_text){t.at + from, t.len - from});
    PUT(w, "\"");
}

static uint64_t pack(uint32_t len) { return (uint64_t)(uint32_t)result << 32 | len; }

/* Verdicts. */

static knock_verdict verdict(uint32_t kind) {
    knock_verdict v = {kind, {0, 0}, {0, 0}, {0, 0}};
    return v;
}

knock_verdict knock_allow(void) { return verdict(ALLOW); }

knock_verdict knock_pass(void) { return verdict(PASS); }

knock_verdict knock_deny(knock_text message) {
    knock_verdict v = verdict(DENY);
    v.message = message;
    return v;
}

knock_verdict knock_incompatible(knock_text message) {
    knock_verdict v = verdict(INCOMPATIBLE);
    v.message = message;
    return v;
}

knock_verdict knock_error(knock_text text) {
    knock_verdict v = verdict(ERROR);
    v.note = text;
    return v;
}

/* add_detail begins a member; end_detail keeps it if it had room. */
static writer add_detail(knock_text key) {
    writer w = {detail, detail_used, sizeof detail};
    PUT(&w, ",");
    put_quoted(&w, key, MAX_DETAIL);
    PUT(&w, ":");
    return w;
}

static void end_detail(const writer *w) {
    if (w->used < w->room) detail_used = w->used;
}

void knock_detail_text(knock_text key, knock_text value) {
    writer w = add_detail(key);
    put_quoted(&w, value, MAX_DETAIL);
    end_detail(&w);
}

void knock_detail_number(knock_text key, int64_t value) {
    writer w = add_detail(key);
    put(&w, knock_digits(value));
    end_detail(&w);
}

void knock_detail_truth(knock_text key, bool value) {
    writer w = add_detail(key);
    put(&w, value ? KNOCK_TEXT("true") : KNOCK_TEXT("false"));
    end_detail(&w);
}

static knock_text name(uint32_t kind) {
    switch (kind) {
    case ALLOW: return KNOCK_TEXT("allow");
    case DENY: return KNOCK_TEXT("deny");
    case INCOMPATIBLE: return KNOCK_TEXT("incompatible");
    case PASS: return KNOCK_TEXT("pass");
    }
    return KNOCK_TEXT("error");
}

static uint64_t answer(knock_verdict v) {
    if (!v.message.len && !v.note.len && !v.code.len && !detail_used) return v.kind;
    writer w = {result, 0, sizeof result};
    PUT(&w, "{\"verdict\":");
    put_quoted(&w, name(v.kind), MAX_CODE);
    if (v.message.len) {
        PUT(&w, ",\"message\":");
        put_quoted(&w, v.message, MAX_MESSAGE);
    }
    if (v.note.len) {
        put(&w, v.kind == ERROR ? KNOCK_TEXT(",\"error\":") : KNOCK_TEXT(",\"note\":"));
        put_quoted(&w, v.note, MAX_NOTE);
    }
    if (v.code.len) {
        PUT(&w, ",\"code\":");
        put_quoted(&w, v.code, MAX_CODE);
    }
    if (detail_used) {
        PUT(&w, ",\"detail\":{");
        put(&w, (knock_text){detail + 1, detail_used - 1});
        PUT(&w, "}");
    }
    PUT(&w, "}");
    return pack(w.used);
}

/* Settings: a strict reader of JSON. Its values lie one after the other from the heap's
 * beginning, and are never given back. */

typedef enum { NOTHING, TRUTH, NUMBER, FRACTION, TEXT, LIST, OBJECT } kind;

typedef struct asked {
    const char *key;
    struct asked *next;
} asked;

struct knock_value {
    kind kind;
    bool seen;      /* it was asked for */
    uint32_t index; /* in a list */
    knock_value *parent, *next, *child;
    knock_text key; /* in an object */
    knock_text text;
    int64_t number;
    asked *asked; /* the keys that an object was asked for, the last first */
};

extern uint8_t __heap_base;
static uint8_t *heap;

static void *allocate(uint32_t size) {
    const uint32_t page = 65536;
    if (!heap) heap = &__heap_base;
    uint8_t *at = (uint8_t *)(((uint32_t)heap + 7) & ~7u);
    uint32_t end = (uint32_t)at + size, have = __builtin_wasm_memory_size(0) * page;
    if (end > have && __builtin_wasm_memory_grow(0, (end - have + page - 1) / page) == (size_t)-1) trap();
    heap = at + size;
    return at;
}

static knock_value *new_value(kind k, knock_value *parent) {
    knock_value *v = allocate(sizeof *v);
    *v = (knock_value){.kind = k, .parent = parent};
    return v;
}

enum { MAX_DEPTH = 32, MAX_KEYS = 1000 };
static const int64_t max_number = 9007199254740991;

/* The reader stops at the first fault: then at stays. Texts are written over their own
 * escapes, which are longer. */
typedef struct {
    char *src;
    uint32_t at, len;
    const char *fault;
} reader;

static void fault(reader *r, const char *text) {
    if (!r->fault) r->fault = text;
}

static int peek(const reader *r) { return r->fault || r->at >= r->len ? -1 : (uint8_t)r->src[r->at]; }

static void space(reader *r) {
    for (int c = peek(r); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = peek(r)) r->at++;
}

static bool eat(reader *r, int c) {
    space(r);
    if (peek(r) != c) return false;
    r->at++;
    return true;
}

static int32_t hex4(reader *r) {
    int32_t n = 0;
    for (int i = 0; i < 4; i++) {
        int c = peek(r);
        if (c >= '0' && c <= '9') c -= '0';
        else if (c >= 'a' && c <= 'f') c -= 'a' - 10;
        else if (c >= 'A' && c <= 'F') c -= 'A' - 10;
        else return -1;
        n = n << 4 | c;
        r->at++;
    }
    return n;
}

/* escape reads what follows a backslash, -1 if it is malformed. */
static int32_t escape(reader *r) {
    int c = peek(r);
    r->at++;
    switch (c) {
    case '"': case '\\': case '/': return c;
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'u': break;
    default: return -1;
    }
    int32_t high = hex4(r);
    if (high < 0xd800 || high > 0xdfff) return high;
    if (high > 0xdbff || peek(r) != '\\') return -1;
    r->at++;
    if (peek(r) != 'u') return -1;
    r->at++;
    int32_t low = hex4(r);
    if (low < 0xdc00 || low > 0xdfff) return -1;
    return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/* multibyte returns the length of the character at s that begins with c, 0 if it is not
 * UTF-8. */
static uint32_t multibyte(const char *s, uint32_t left, uint8_t c) {
    uint32_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4 || n > left) return 0;
    for (uint32_t i = 1; i < n; i++)
        if (((uint8_t)s[i] & 0xc0) != 0x80) return 0;
    uint8_t second = (uint8_t)s[1];
    if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) || (c == 0xf0 && second < 0x90) ||
        (c == 0xf4 && second > 0x8f))
        return 0;
    return n;
}

static char *put_character(char *to, int32_t c) {
    if (c < 0x80) {
        *to++ = (char)c;
        return to;
    }
    if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *to++ = (char)(0xe0 | c >> 12);
        } else {
            *to++ = (char)(0xf0 | c >> 18);
            *to++ = (char)(0x80 | (c >> 12 & 0x3f));
        }
        *to++ = (char)(0x80 | (c >> 6 & 0x3f));
    }
    *to++ = (char)(0x80 | (c & 0x3f));
    return to;
}

static knock_text read_text(reader *r) {
    r->at++;
    char *start = r->src + r->at, *to = start;
    for (;;) {
        int c = peek(r);
        if (c < 0) {
            fault(r, "a text does not end");
            break;
        }
        if (c == '"') {
            r->at++;
            break;
        }
        if (c < 0x20) {
            fault(r, "a text holds a control character");
        } else if (c == '\\') {
            r->at++;
            int32_t character = escape(r);
            if (character < 0) fault(r, "an escape is malformed");
            else to = put_character(to, character);
        } else {
            uint32_t n = c < 0x80 ? 1 : multibyte(r->src + r->at, r->len - r->at, (uint8_t)c);
            if (!n) fault(r, "a text is not UTF-8");
            while (n--) *to++ = r->src[r->at++];
        }
    }
    return (knock_text){start, (uint32_t)(to - start)};
}

static void digits(reader *r, int64_t *sum) {
    uint32_t from = r->at;
    for (int c = peek(r); c >= '0' && c <= '9'; c = peek(r)) {
        if (*sum <= max_number) *sum = *sum * 10 + (c - '0');
        r->at++;
    }
    if (r->at == from) fault(r, "a number is malformed");
}

static void read_number(reader *r, knock_value *v) {
    int64_t size = 0, ignored = 0;
    bool negative = peek(r) == '-';
    if (negative) r->at++;
    uint32_t from = r->at;
    digits(r, &size);
    if (r->at > from + 1 && r->src[from] == '0') fault(r, "a number is malformed");
    v->kind = NUMBER;
    if (peek(r) == '.') {
        v->kind = FRACTION;
        r->at++;
        digits(r, &ignored);
    }
    if (peek(r) == 'e' || peek(r) == 'E') {
        v->kind = FRACTION;
        r->at++;
        if (peek(r) == '+' || peek(r) == '-') r->at++;
        digits(r, &ignored);
    }
    if (v->kind == NUMBER && size > max_number) fault(r, "a number is too large");
    v->number = negative ? -size : size;
}

static bool read_word(reader *r, knock_text w) {
    if (r->len - r->at < w.len || !same_bytes(r->src + r->at, w.at, w.len)) return false;
    r->at += w.len;
    return true;
}

static knock_value *read_value(reader *r, knock_value *parent, uint32_t depth);

static void read_members(reader *r, knock_value *v, uint32_t depth) {
    knock_value **end = &v->child;
    int close = v->kind == OBJECT ? '}' : ']';
    uint32_t count = 0;
    r->at++;
    if (eat(r, close)) return;
    do {
        knock_text key = {0, 0};
        if (v->kind == OBJECT) {
            space(r);
            if (peek(r) != '"') fault(r, "a key is missing");
            else key = read_text(r);
            for (const knock_value *m = v->child; m; m = m->next)
                if (knock_same(m->key, key)) fault(r, "a key stands twice");
            if (count == MAX_KEYS) fault(r, "more than 1000 keys in one object");
            if (!eat(r, ':')) fault(r, "a colon is missing");
        }
        if (r->fault) return;
        knock_value *m = read_value(r, v, depth + 1);
        m->key = key;
        m->index = count++;
        *end = m;
        end = &m->next;
    } while (eat(r, ','));
    if (!eat(r, close))
        fault(r, close == '}' ? "a comma or the end of an object is missing" : "a comma or the end of a list is missing");
}

static knock_value *read_value(reader *r, knock_value *parent, uint32_t depth) {
    knock_value *v = new_value(NOTHING, parent);
    space(r);
    if (depth > MAX_DEPTH) fault(r, "nested too deep");
    int c = peek(r);
    if (c < 0) {
        fault(r, "it ends too soon");
    } else if (c == '{' || c == '[') {
        v->kind = c == '{' ? OBJECT : LIST;
        read_members(r, v, depth);
    } else if (c == '"') {
        v->kind = TEXT;
        v->text = read_text(r);
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        read_number(r, v);
    } else if (read_word(r, KNOCK_TEXT("true"))) {
        v->kind = TRUTH;
        v->number = 1;
    } else if (read_word(r, KNOCK_TEXT("false"))) {
        v->kind = TRUTH;
    } else if (!read_word(r, KNOCK_TEXT("null"))) {
        fault(r, "no value begins like this");
    }
    return v;
}

/* Faults of settings go straight into the result. */

static uint32_t faults, left_out;

static void put_fault(writer *w, knock_text path, knock_text message) {
    if (faults + left_out) PUT(w, ",");
    PUT(w, "{\"path\":");
    put_quoted(w, path, MAX_PATH);
    PUT(w, ",\"message\":");
    put_quoted(w, message, MAX_NOTE);
    PUT(w, "}");
}

static void note(knock_text path, knock_text message) {
    writer w = {result, written, sizeof result - 256}; /* the rest is for the last entry */
    if (!faults) PUT(&w, "{\"errors\":[");
    if (!left_out) put_fault(&w, path, message);
    if (left_out || w.used == w.room) {
        left_out++;
    } else {
        faults++;
        written = w.used;
    }
}

static uint64_t refuse(void) {
    writer w = {result, written, sizeof result};
    if (left_out) put_fault(&w, KNOCK_TEXT(""), KNOCK_JOIN(knock_digits(left_out), KNOCK_TEXT(" more settings are wrong")));
    PUT(&w, "]}");
    return pack(w.used);
}

static void put_path(writer *w, const knock_value *v) {
    if (!v->parent) return;
    put_path(w, v->parent);
    if (v->parent->kind == LIST) {
        PUT(w, "[");
        put(w, knock_digits(v->index));
        PUT(w, "]");
    } else {
        if (w->used) PUT(w, ".");
        put(w, cut(v->key, MAX_PATH));
    }
}

/* note_at notes a fault at a value, or at a key of an object. */
static void note_at(const knock_value *v, knock_text key, knock_text message) {
    char path[4 * MAX_PATH];
    uint32_t used = scratch_used; /* what the path took of it is free again */
    writer w = {path, 0, sizeof path};
    put_path(&w, v);
    if (key.len) {
        if (w.used) PUT(&w, ".");
        put(&w, cut(key, MAX_PATH));
    }
    note((knock_text){path, w.used}, message);
    scratch_used = used;
}

static knock_text kind_name(kind k) {
    switch (k) {
    case NOTHING: return KNOCK_TEXT("null");
    case TRUTH: return KNOCK_TEXT("a truth value");
    case NUMBER: return KNOCK_TEXT("a number");
    case FRACTION: return KNOCK_TEXT("a fraction");
    case TEXT: return KNOCK_TEXT("a text");
    case LIST: return KNOCK_TEXT("a list");
    case OBJECT: break;
    }
    return KNOCK_TEXT("an object");
}

static void wrong(const knock_value *v, knock_text what) {
    uint32_t used = scratch_used;
    note_at(v, KNOCK_TEXT(""), KNOCK_JOIN(KNOCK_TEXT("must be "), what, KNOCK_TEXT(", not "), kind_name(v->kind)));
    scratch_used = used;
}

void knock_fail(knock_settings s, const char *key, knock_text message) { note_at(s.value, of_string(key), message); }

void knock_fail_item(const knock_list *list, knock_text message) { note_at(list->value, KNOCK_TEXT(""), message); }

/* find returns the value of a key, null if it is not set. */
static knock_value *find(knock_settings s, const char *key) {
    knock_text k = of_string(key);
    asked *a = s.value->asked;
    while (a && !knock_same(of_string(a->key), k)) a = a->next;
    if (!a) {
        a = allocate(sizeof *a);
        *a = (asked){key, s.value->asked};
        s.value->asked = a;
    }
    for (knock_value *m = s.value->child; m; m = m->next) {
        if (!knock_same(m->key, k)) continue;
        m->seen = true;
        return m;
    }
    return 0;
}

/* want returns the value of a key if it is of one of two kinds, and notes a fault if it
 * is of another. */
static knock_value *want(knock_settings s, const char *key, kind k, kind or, knock_text what) {
    knock_value *v = find(s, key);
    if (!v || v->kind == k || v->kind == or) return v;
    wrong(v, what);
    return 0;
}

bool knock_has(knock_settings s, const char *key) { return find(s, key) != 0; }

bool knock_get_truth(knock_settings s, const char *key, bool def) {
    knock_value *v = want(s, key, TRUTH, TRUTH, KNOCK_TEXT("true or false"));
    return v ? v->number : def;
}

int64_t knock_get_number(knock_settings s, const char *key, int64_t def, int64_t least, int64_t most) {
    knock_value *v = want(s, key, NUMBER, NUMBER, KNOCK_TEXT("a whole number"));
    if (!v) return def;
    if (v->number >= least && v->number <= most) return v->number;
    uint32_t used = scratch_used;
    note_at(v, KNOCK_TEXT(""),
            KNOCK_JOIN(KNOCK_TEXT("must be from "), knock_digits(least), KNOCK_TEXT(" to "), knock_digits(most),
                       KNOCK_TEXT(", not "), knock_digits(v->number)));
    scratch_used = used;
    return def;
}

knock_text knock_get_text(knock_settings s, const char *key, knock_text def) {
    knock_value *v = want(s, key, TEXT, TEXT, KNOCK_TEXT("a text"));
    return v ? v->text : def;
}

knock_text knock_get_one_of(knock_settings s, const char *key, knock_text def, const knock_text *choices) {
    knock_value *v = want(s, key, TEXT, TEXT, KNOCK_TEXT("a text"));
    if (!v) return def;
    char message[1024];
    writer w = {message, 0, sizeof message};
    PUT(&w, "must be one of ");
    for (uint32_t i = 0; choices[i].at; i++) {
        if (knock_same(v->text, choices[i])) return v->text;
        if (i) PUT(&w, ", ");
        put(&w, choices[i]);
    }
    PUT(&w, ", not ");
    put_quoted(&w, v->text, MAX_PATH);
    note_at(v, KNOCK_TEXT(""), (knock_text){message, w.used});
    return def;
}

knock_settings knock_get_object(knock_settings s, const char *key) {
    knock_value *v = want(s, key, OBJECT, OBJECT, KNOCK_TEXT("an object"));
    if (!v) {
        v = new_value(OBJECT, s.value);
        v->key = of_string(key);
    }
    return (knock_settings){v};
}

knock_list knock_get_texts(knock_settings s, const char *key) {
    knock_list list = {0};
    knock_value *v = want(s, key, TEXT, LIST, KNOCK_TEXT("a text or a list of texts"));
    if (v) list.next = v->kind == LIST ? v->child : v;
    return list;
}

knock_list knock_get_objects(knock_settings s, const char *key) {
    knock_list list = {0};
    knock_value *v = want(s, key, LIST, LIST, KNOCK_TEXT("a list of objects"));
    if (v) list.next = v->child;
    list.objects = true;
    return list;
}

bool knock_next(knock_list *list) {
    while (list->next) {
        knock_value *v = list->value = list->next;
        list->next = v->parent->kind == LIST ? v->next : 0; /* one text alone has no list */
        if (v->kind == (list->objects ? OBJECT : TEXT)) {
            v->seen = true;
            list->text = v->text;
            list->settings.value = v;
            return true;
        }
        wrong(v, list->objects ? KNOCK_TEXT("an object") : KNOCK_TEXT("a text"));
    }
    return false;
}

static void put_asked(writer *w, const asked *a) {
    if (a->next) {
        put_asked(w, a->next);
        PUT(w, ", ");
    }
    put(w, of_string(a->key));
}

/* note_unknown is no part of check_asked, which calls itself: its text is no small part
 * of the stack. */
__attribute__((noinline)) static void note_unknown(const knock_value *m) {
    char message[1024];
    writer w = {message, 0, sizeof message};
    if (m->parent->asked) {
        PUT(&w, "unknown setting; known here: ");
        put_asked(&w, m->parent->asked);
    } else {
        PUT(&w, "unknown setting; there are no settings here");
    }
    note_at(m, KNOCK_TEXT(""), (knock_text){message, w.used});
}

/* check_asked notes a fault for every key that nobody asked for, in the objects that
 * somebody did. */
static void check_asked(const knock_value *v) {
    for (const knock_value *m = v->child; m; m = m->next) {
        if (v->kind == LIST || m->seen) {
            if ((m->kind == OBJECT && m->seen) || m->kind == LIST) check_asked(m);
        } else {
            note_unknown(m);
        }
    }
}

/* Exports. */

static bool accepted, refused;

static uint64_t configure(uint32_t len) {
    fields = scratch_used = written = faults = left_out = 0;
    whole = accepted = false;
    refused = true;
    if (len > MAX_SETTINGS) {
        note(KNOCK_TEXT(""), KNOCK_TEXT("the settings are too large"));
        return refuse();
    }
    reader r = {allocate(len + 1), 0, len, 0};
    __builtin_memcpy(r.src, frame, len);
    knock_value *root = read_value(&r, 0, 0);
    space(&r);
    if (!r.fault && r.at < r.len) fault(&r, "something follows the object");
    if (r.fault) {
        note(KNOCK_TEXT(""), KNOCK_JOIN(KNOCK_TEXT("the settings are not JSON: "), of_string(r.fault),
                                        KNOCK_TEXT(" at byte "), knock_digits(r.at)));
    } else if (root->kind != OBJECT) {
        note(KNOCK_TEXT(""), KNOCK_JOIN(KNOCK_TEXT("the settings must be an object, not "), kind_name(root->kind)));
    } else {
        policy_configure((knock_settings){root});
        check_asked(root);
    }
    if (faults + left_out) return refuse();
    accepted = true;
    refused = false;
    return 0;
}

EXPORT(knock_v1_buffer) uint32_t knock_export_buffer(uint32_t size) {
    return size <= sizeof frame ? (uint32_t)frame : 0;
}

EXPORT(knock_v1_configure) uint64_t knock_export_configure(uint32_t len) { return configure(len); }

EXPORT(knock_v1_decide) uint64_t knock_export_decide(uint32_t len) {
    if (!accepted && !refused) { /* a host that gives no settings means {} */
        uint8_t kept[2] = {frame[0], frame[1]};
        frame[0] = '{', frame[1] = '}';
        configure(2);
        frame[0] = kept[0], frame[1] = kept[1];
    }
    scratch_used = detail_used = 0;
    if (!accepted) return answer(knock_error(KNOCK_TEXT("the policy has not accepted its settings")));
    if (!open_frame(len)) return answer(knock_error(KNOCK_TEXT("the request frame is not valid")));
    return answer(policy_decide());
}

/* Host functions. */

IMPORT(log) void knock_import_log(uint32_t, const char *, uint32_t);
IMPORT(now_ms) int64_t knock_import_now_ms(void);
IMPORT(random) void knock_import_random(uint8_t *, uint32_t);
IMPORT(glob_match) int32_t knock_import_glob_match(const char *, uint32_t, const char *, uint32_t);
IMPORT(acl_allows) int32_t knock_import_acl_allows(const char *, uint32_t, const char *, uint32_t);
IMPORT(kv_get) int32_t knock_import_kv_get(const char *, uint32_t, uint8_t *, uint32_t);
IMPORT(kv_put) int32_t knock_import_kv_put(const char *, uint32_t, const uint8_t *, uint32_t, int64_t);
IMPORT(kv_incr) int64_t knock_import_kv_incr(const char *, uint32_t, int64_t, int64_t);
IMPORT(list_has) int32_t knock_import_list_has(const char *, uint32_t, const char *, uint32_t);

void knock_log(uint32_t level, knock_text line) { knock_import_log(level, line.at, line.len); }

int64_t knock_host_now_ms(void) { return knock_import_now_ms(); }

void knock_random(uint8_t *out, uint32_t len) { knock_import_random(out, len); }

bool knock_glob_match(knock_text pattern, knock_text text) {
    return knock_import_glob_match(pattern.at, pattern.len, text.at, text.len) == 1;
}

bool knock_acl_allows(knock_text acl, knock_text server) {
    return knock_import_acl_allows(acl.at, acl.len, server.at, server.len) == 1;
}

int32_t knock_kv_get(knock_text key, uint8_t *out, uint32_t room) {
    return knock_import_kv_get(key.at, key.len, out, room);
}

bool knock_kv_put(knock_text key, const uint8_t *value, uint32_t len, int64_t ttl_ms) {
    return knock_import_kv_put(key.at, key.len, value, len, ttl_ms) == 0;
}

int64_t knock_kv_incr(knock_text key, int64_t delta, int64_t ttl_ms) {
    return knock_import_kv_incr(key.at, key.len, delta, ttl_ms);
}

int32_t knock_list_has(knock_text list, knock_text key) {
    return knock_import_list_has(list.at, list.len, key.at, key.len);
}
