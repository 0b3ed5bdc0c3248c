/* A policy against the raw ABI, in C; guests_test.go says what it answers. Build:
 * clang-14 --target=wasm32 -O2 -nostdlib -ffreestanding -mbulk-memory -Wl,--no-entry
 *   -Wl,-z,stack-size=16384 -Wl,--stack-first -Wl,--strip-all -o gate_c.wasm gate.c */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
#define EXPORT(name) __attribute__((export_name(#name)))

enum { HEADER = 16, ENTRY = 8, MAX_FRAME = 262144 };
enum { ROOM_ID = 1, USER_SERVER = 5, REASON = 8 };
enum { SEND_KNOCK = 2 };
enum { ALLOW = 1, DENY = 2, PASS = 4, ERROR = 255 };

static const char pattern[] = "*.evil.example";
static const char quiet[] = "!quiet";
static const char refusal[] = "{\"verdict\":\"deny\",\"message\":\"Your server may not knock here.\",\"code\":\"server\"}";

static u8 frame[MAX_FRAME] __attribute__((aligned(8)));

typedef struct {
    const u8 *at; /* null: absent */
    u32 len;
} text;

static u32 number(u32 at) { return *(const u32 *)(frame + at); }

static text field(u32 f) {
    text t = {0, 0};
    if (f < number(12)) {
        u32 at = number(HEADER + f * ENTRY);
        t.len = number(HEADER + f * ENTRY + 4);
        if (at) t.at = frame + at;
    }
    return t;
}

static u8 lower(u8 c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

/* glob: * is any text, ? any one byte, and letters match in either case. */
static int glob(const char *p, u32 plen, text s) {
    u32 i = 0, j = 0, star = plen, mark = 0;
    while (j < s.len) {
        if (i < plen && p[i] == '*') {
            star = i++, mark = j;
        } else if (i < plen && (p[i] == '?' || lower(p[i]) == lower(s.at[j]))) {
            i++, j++;
        } else if (star < plen) {
            i = star + 1, j = ++mark;
        } else {
            return 0;
        }
    }
    while (i < plen && p[i] == '*') i++;
    return i == plen;
}

static int begins(text s, const char *prefix, u32 n) {
    if (s.len < n) return 0;
    for (u32 i = 0; i < n; i++)
        if (s.at[i] != (u8)prefix[i]) return 0;
    return 1;
}

EXPORT(knock_v1_buffer) u32 buffer(u32 size) { return size <= sizeof frame ? (u32)frame : 0; }

EXPORT(knock_v1_decide) u64 decide(u32 len) {
    if (len < HEADER || number(0) != 0x314b4e4b || number(4) != len) return ERROR;
    text server = field(USER_SERVER), room = field(ROOM_ID), reason = field(REASON);
    if (!server.at || !room.at) return ERROR;
    if (glob(pattern, sizeof pattern - 1, server)) return (u64)(u32)refusal << 32 | (sizeof refusal - 1);
    if (begins(room, quiet, sizeof quiet - 1)) return PASS;
    if (number(8) == SEND_KNOCK && reason.len == 0) return DENY;
    return ALLOW;
}
