/* The C SDK for Knockgate policies. An author writes two functions,
 * policy_configure and policy_decide, and builds them with knockgate.c:
 *
 *   clang --target=wasm32 -Os -nostdlib -ffreestanding -mbulk-memory -I SDK -Wl,--no-entry \
 *     -Wl,-z,stack-size=16384 -Wl,--stack-first -Wl,--strip-all -Wl,--gc-sections \
 *     -o policy.wasm policy.c SDK/knockgate.c
 *
 * There is no C library. Where an instance is used wrongly it traps, and the host
 * answers by the policy's on_error. The normative text of the ABI is sdk/README.md. */
#ifndef KNOCKGATE_H
#define KNOCKGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text: bytes in UTF-8 that do not end with a zero. With at null it is absent, which is
 * not the same as empty. */
typedef struct {
    const char *at;
    uint32_t len;
} knock_text;

/* A literal as text. */
#define KNOCK_TEXT(literal) ((knock_text){"" literal, sizeof(literal) - 1})

bool knock_same(knock_text a, knock_text b);        /* the same bytes */
bool knock_begins(knock_text t, knock_text prefix); /* t begins with prefix */
bool knock_ends(knock_text t, knock_text suffix);   /* t ends with suffix */
uint32_t knock_characters(knock_text t);            /* how many code points */

/* What the next three make lives until policy_decide, or policy_configure, returns. They
 * have 8,192 bytes together; more is a trap. */
knock_text knock_join(const knock_text *parts, uint32_t count);
#define KNOCK_JOIN(...) \
    knock_join((knock_text[]){__VA_ARGS__}, sizeof((knock_text[]){__VA_ARGS__}) / sizeof(knock_text))
knock_text knock_digits(int64_t number);
knock_text knock_hex(const uint8_t *bytes, uint32_t len);

/* The knock. Getters neither parse nor copy: text is a view of the request that lasts
 * until policy_decide returns. */

typedef enum {
    KNOCK_MAKE_KNOCK = 1, /* a server asks for a template of a knock */
    KNOCK_SEND_KNOCK = 2, /* a server hands over a signed knock; a peer need not do the other before */
} knock_phase_number;

uint32_t knock_phase(void); /* a number of a later edition: a policy passes */

/* A field that is text. */
knock_text knock_field(uint32_t field);
/* A field that is a number: whether it is there, and its value, or 0. */
bool knock_number_field(uint32_t field, int64_t *value);
/* A field that is a truth value: 1, 0, or -1 if it is absent. */
int knock_truth_field(uint32_t field);

/* The numbers of the fields. Each has a getter of its name, such as knock_room_id(): text,
 * or a number, which reads as 0 if it is absent, or a truth value, which reads as false. */
enum {
    KNOCK_JSON = 0,                       /* all facts but the event, as one JSON object */
    KNOCK_ROOM_ID = 1,                    /* from room version 12 on without a server name */
    KNOCK_ROOM_VERSION = 2,               /* such as "11" */
    KNOCK_USER_ID = 3,                    /* the knocker, such as "@alice:example.org" */
    KNOCK_USER_LOCALPART = 4,             /* between "@" and ":" */
    KNOCK_USER_SERVER = 5,                /* in the knocker's ID, without its port */
    KNOCK_ORIGIN = 6,                     /* the server that sent the request, with its port if it has one */
    KNOCK_SUPPORTED_VERSIONS = 7,         /* make_knock: one room version a line */
    KNOCK_REASON = 8,                     /* send_knock: what the knocker wrote */
    KNOCK_DISPLAYNAME = 9,                /* send_knock: claimed by the knocker */
    KNOCK_AVATAR_URL = 10,                /* send_knock: claimed by the knocker */
    KNOCK_EVENT = 11,                     /* send_knock: canonical JSON */
    KNOCK_REQUEST_ID = 12,                /* as in the host's log and record */
    KNOCK_NOW_MS = 13,                    /* number: when the decision began, ms since the Unix epoch; 0 in policy_configure */
    KNOCK_CONTENT_HASH_OK = 14,           /* truth, send_knock: the event is as its sender signed it */
    KNOCK_ROOM_KNOWN = 15,                /* truth: the host knows of what is below */
    KNOCK_ROOM_JOIN_RULE = 16,            /* such as "knock" */
    KNOCK_ROOM_NAME = 17,
    KNOCK_ROOM_ALIAS = 18,                /* the canonical one */
    KNOCK_ROOM_TOPIC = 19,
    KNOCK_ROOM_ENCRYPTED = 20,            /* truth */
    KNOCK_ROOM_MEMBERS = 21,              /* number: joined */
    KNOCK_USER_MEMBERSHIP = 22,           /* the knocker's, before this knock */
    KNOCK_ROOM_AGE_MS = 23,               /* number: how old the host's view of the room is */
    KNOCK_ROOM_ACL = 24,                  /* the content of m.room.server_acl; empty: there is none; absent: not told */
    KNOCK_ROOM_PENDING = 25,              /* number: users who are knocking */
    KNOCK_ROOM_PENDING_SERVER = 26,       /* number: of them, of the knocker's server */
    KNOCK_ROOM_MEMBERS_SERVER = 27,       /* number: joined members of the knocker's server */
    KNOCK_ROOM_BANNED = 28,               /* number: banned users */
    KNOCK_ROOM_BANNED_SERVER = 29,        /* number: of them, of the knocker's server */
    KNOCK_USER_MEMBERSHIP_SINCE_MS = 30,  /* number: when it came to be, as the server of who made it claims */
    KNOCK_USER_MEMBERSHIP_BY = 31,        /* who made it what it is */
};

#define KNOCK_GET_TEXT(name, NAME) \
    static inline knock_text knock_##name(void) { return knock_field(KNOCK_##NAME); }
#define KNOCK_GET_NUMBER(name, NAME)                   \
    static inline int64_t knock_##name(void) {         \
        int64_t value;                                 \
        knock_number_field(KNOCK_##NAME, &value);      \
        return value;                                  \
    }
#define KNOCK_GET_TRUTH(name, NAME) \
    static inline bool knock_##name(void) { return knock_truth_field(KNOCK_##NAME) == 1; }

KNOCK_GET_TEXT(json, JSON)
KNOCK_GET_TEXT(room_id, ROOM_ID)
KNOCK_GET_TEXT(room_version, ROOM_VERSION)
KNOCK_GET_TEXT(user_id, USER_ID)
KNOCK_GET_TEXT(user_localpart, USER_LOCALPART)
KNOCK_GET_TEXT(user_server, USER_SERVER)
KNOCK_GET_TEXT(origin, ORIGIN)
KNOCK_GET_TEXT(supported_versions, SUPPORTED_VERSIONS)
KNOCK_GET_TEXT(reason, REASON)
KNOCK_GET_TEXT(displayname, DISPLAYNAME)
KNOCK_GET_TEXT(avatar_url, AVATAR_URL)
KNOCK_GET_TEXT(event, EVENT)
KNOCK_GET_TEXT(request_id, REQUEST_ID)
KNOCK_GET_NUMBER(now_ms, NOW_MS)
KNOCK_GET_TRUTH(content_hash_ok, CONTENT_HASH_OK)
KNOCK_GET_TRUTH(room_known, ROOM_KNOWN)
KNOCK_GET_TEXT(room_join_rule, ROOM_JOIN_RULE)
KNOCK_GET_TEXT(room_name, ROOM_NAME)
KNOCK_GET_TEXT(room_alias, ROOM_ALIAS)
KNOCK_GET_TEXT(room_topic, ROOM_TOPIC)
KNOCK_GET_TRUTH(room_encrypted, ROOM_ENCRYPTED)
KNOCK_GET_NUMBER(room_members, ROOM_MEMBERS)
KNOCK_GET_TEXT(user_membership, USER_MEMBERSHIP)
KNOCK_GET_NUMBER(room_age_ms, ROOM_AGE_MS)
KNOCK_GET_TEXT(room_acl, ROOM_ACL)
KNOCK_GET_NUMBER(room_pending, ROOM_PENDING)
KNOCK_GET_NUMBER(room_pending_server, ROOM_PENDING_SERVER)
KNOCK_GET_NUMBER(room_members_server, ROOM_MEMBERS_SERVER)
KNOCK_GET_NUMBER(room_banned, ROOM_BANNED)
KNOCK_GET_NUMBER(room_banned_server, ROOM_BANNED_SERVER)
KNOCK_GET_NUMBER(user_membership_since_ms, USER_MEMBERSHIP_SINCE_MS)
KNOCK_GET_TEXT(user_membership_by, USER_MEMBERSHIP_BY)

knock_text knock_strip_port(knock_text server_name); /* "[::1]" for "[::1]:8448" */
static inline knock_text knock_origin_server(void) { return knock_strip_port(knock_origin()); }
bool knock_supports(knock_text version); /* the origin says that it supports a room version; never on send_knock */

/* Verdicts. Texts are plain, live until policy_decide returns and are cut: the message
 * to 512 bytes, the note to 1,024, the code to 64. */

typedef struct {
    uint32_t kind;
    knock_text message; /* for the knocker; all that leaves the server */
    knock_text note;    /* for the record only; with an error what went wrong */
    knock_text code;    /* the rule that fired, such as "reason_too_short" */
} knock_verdict;

knock_verdict knock_allow(void);                     /* no later policy is asked */
knock_verdict knock_pass(void);                      /* no opinion: the next policy is asked */
knock_verdict knock_deny(knock_text message);        /* an empty one leaves the sentence to the host */
knock_verdict knock_incompatible(knock_text message); /* the server does not support the room's version */
knock_verdict knock_error(knock_text text);          /* the policy could not decide */

/* Adds to the detail of this decision's verdict, for the record only. A key must not be
 * added twice; what makes the detail longer than 4,096 bytes is left out. */
void knock_detail_text(knock_text key, knock_text value);
void knock_detail_number(knock_text key, int64_t value);
void knock_detail_truth(knock_text key, bool value);

/* Settings. A policy asks for each key that it knows; a function that finds another kind
 * of value notes the fault, with its path, and returns the default. A key that was never
 * asked for is a fault too. Text lasts as long as the instance. */

typedef struct knock_value knock_value;
typedef struct {
    knock_value *value; /* an object */
} knock_settings;

bool knock_has(knock_settings s, const char *key);
bool knock_get_truth(knock_settings s, const char *key, bool def);
int64_t knock_get_number(knock_settings s, const char *key, int64_t def, int64_t least, int64_t most);
knock_text knock_get_text(knock_settings s, const char *key, knock_text def);
/* One of the choices, which end with an absent text. */
knock_text knock_get_one_of(knock_settings s, const char *key, knock_text def, const knock_text *choices);
knock_settings knock_get_object(knock_settings s, const char *key);

/* A list: knock_next goes through it. One text alone is a list of one.
 *
 *   knock_list l = knock_get_texts(s, "allow");
 *   while (knock_next(&l))
 *       if (l.text.len == 0) knock_fail_item(&l, KNOCK_TEXT("must not be empty")); */
typedef struct {
    knock_value *next;
    bool objects;
    knock_value *value;
    knock_text text;         /* the item of a list of texts */
    knock_settings settings; /* the item of a list of objects */
} knock_list;

knock_list knock_get_texts(knock_settings s, const char *key);
knock_list knock_get_objects(knock_settings s, const char *key);
bool knock_next(knock_list *list);

/* Notes that a setting is wrong: the message says what is and what would be right. With
 * the key "" it is about the object itself. */
void knock_fail(knock_settings s, const char *key, knock_text message);
void knock_fail_item(const knock_list *list, knock_text message);

/* What a policy can ask the host. Arguments beyond the sizes of sdk/README.md end the
 * instance. */

enum { KNOCK_DEBUG = 0, KNOCK_INFO = 1, KNOCK_WARN = 2, KNOCK_ERROR = 3 };

void knock_log(uint32_t level, knock_text line); /* to the host's log, which limits length and number */
int64_t knock_host_now_ms(void);                 /* what knock_now_ms reads, asked of the host */
void knock_random(uint8_t *out, uint32_t len);   /* at most 65,536 bytes that follow from the request; no secret */
/* The whole text matches: * is any text, ? any one character, letters in either case. */
bool knock_glob_match(knock_text pattern, knock_text text);
/* The content of an m.room.server_acl event lets the server take part; an empty one does. */
bool knock_acl_allows(knock_text acl, knock_text server);

enum { KNOCK_ABSENT = -1, KNOCK_SMALL = -2, KNOCK_LIMIT = -3, KNOCK_KIND = -4 };

/* These need the capability kv. The length of what is kept at key, which is then at out,
 * or KNOCK_ABSENT, KNOCK_SMALL (out is too small; 4,096 bytes never are), KNOCK_LIMIT. */
int32_t knock_kv_get(knock_text key, uint8_t *out, uint32_t room);
/* Keeps a value for ttl_ms milliseconds, or with 0 without end; false past a quota. */
bool knock_kv_put(knock_text key, const uint8_t *value, uint32_t len, int64_t ttl_ms);
/* Adds to a counter, in one step, and returns its new value, or KNOCK_LIMIT, KNOCK_KIND. */
int64_t knock_kv_incr(knock_text key, int64_t delta, int64_t ttl_ms);
/* It needs the capability lists: 1, 0, KNOCK_ABSENT (no such list) or KNOCK_LIMIT. */
int32_t knock_list_has(knock_text list, knock_text key);

/* What the author writes. policy_configure is called once in each instance, before any
 * policy_decide. */
void policy_configure(knock_settings settings);
knock_verdict policy_decide(void);

#endif
