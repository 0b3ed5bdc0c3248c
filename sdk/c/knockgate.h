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

/* The numbers of the fields, and a getter for each. A number that is absent reads as 0. */
enum {
    KNOCK_JSON = 0,
    KNOCK_ROOM_ID = 1,
    KNOCK_ROOM_VERSION = 2,
    KNOCK_USER_ID = 3,
    KNOCK_USER_LOCALPART = 4,
    KNOCK_USER_SERVER = 5,
    KNOCK_ORIGIN = 6,
    KNOCK_SUPPORTED_VERSIONS = 7,
    KNOCK_REASON = 8,
    KNOCK_DISPLAYNAME = 9,
    KNOCK_AVATAR_URL = 10,
    KNOCK_EVENT = 11,
    KNOCK_REQUEST_ID = 12,
    KNOCK_NOW_MS = 13,
    KNOCK_CONTENT_HASH_OK = 14,
    KNOCK_ROOM_KNOWN = 15,
    KNOCK_ROOM_JOIN_RULE = 16,
    KNOCK_ROOM_NAME = 17,
    KNOCK_ROOM_ALIAS = 18,
    KNOCK_ROOM_TOPIC = 19,
    KNOCK_ROOM_ENCRYPTED = 20,
    KNOCK_ROOM_MEMBERS = 21,
    KNOCK_USER_MEMBERSHIP = 22,
    KNOCK_ROOM_AGE_MS = 23,
    KNOCK_ROOM_ACL = 24,
    KNOCK_ROOM_PENDING = 25,
    KNOCK_ROOM_PENDING_SERVER = 26,
    KNOCK_ROOM_MEMBERS_SERVER = 27,
    KNOCK_ROOM_BANNED = 28,
    KNOCK_ROOM_BANNED_SERVER = 29,
    KNOCK_USER_MEMBERSHIP_SINCE_MS = 30,
    KNOCK_USER_MEMBERSHIP_BY = 31,
};

#define KNOCK_GET_TEXT(name, field) \
    static inline knock_text knock_##name(void) { return knock_field(field); }
#define KNOCK_GET_NUMBER(name, field)          \
    static inline int64_t knock_##name(void) { \
        int64_t value;                         \
        knock_number_field(field, &value);     \
        return value;                          \
    }
#define KNOCK_GET_TRUTH(name, field) \
    static inline bool knock_##name(void) { return knock_truth_field(field) == 1; }

KNOCK_GET_TEXT(json, KNOCK_JSON)                           /* all facts but the event, as one JSON object */
KNOCK_GET_TEXT(room_id, KNOCK_ROOM_ID)                     /* from room version 12 on without a server name */
KNOCK_GET_TEXT(room_version, KNOCK_ROOM_VERSION)           /* such as "11" */
KNOCK_GET_TEXT(user_id, KNOCK_USER_ID)                     /* the knocker, such as "@alice:example.org" */
KNOCK_GET_TEXT(user_localpart, KNOCK_USER_LOCALPART)       /* between "@" and ":" */
KNOCK_GET_TEXT(user_server, KNOCK_USER_SERVER)             /* in the knocker's ID, without its port */
KNOCK_GET_TEXT(origin, KNOCK_ORIGIN)                       /* the server that sent the request, with its port if it has one */
KNOCK_GET_TEXT(supported_versions, KNOCK_SUPPORTED_VERSIONS) /* make_knock: one room version a line */
KNOCK_GET_TEXT(reason, KNOCK_REASON)                       /* send_knock: what the knocker wrote */
KNOCK_GET_TEXT(displayname, KNOCK_DISPLAYNAME)             /* send_knock: claimed by the knocker */
KNOCK_GET_TEXT(avatar_url, KNOCK_AVATAR_URL)               /* send_knock: claimed by the knocker */
KNOCK_GET_TEXT(event, KNOCK_EVENT)                         /* send_knock: canonical JSON */
KNOCK_GET_TEXT(request_id, KNOCK_REQUEST_ID)               /* as in the host's log and record */
KNOCK_GET_NUMBER(now_ms, KNOCK_NOW_MS)                     /* when the decision began, since the Unix epoch; 0 in policy_configure */
KNOCK_GET_TRUTH(content_hash_ok, KNOCK_CONTENT_HASH_OK)    /* send_knock: the event is as its sender signed it */
KNOCK_GET_TRUTH(room_known, KNOCK_ROOM_KNOWN)              /* false: the host knows nothing of what is below */
KNOCK_GET_TEXT(room_join_rule, KNOCK_ROOM_JOIN_RULE)       /* such as "knock" */
KNOCK_GET_TEXT(room_name, KNOCK_ROOM_NAME)
KNOCK_GET_TEXT(room_alias, KNOCK_ROOM_ALIAS)               /* the canonical one */
KNOCK_GET_TEXT(room_topic, KNOCK_ROOM_TOPIC)
KNOCK_GET_TRUTH(room_encrypted, KNOCK_ROOM_ENCRYPTED)
KNOCK_GET_NUMBER(room_members, KNOCK_ROOM_MEMBERS)         /* joined */
KNOCK_GET_TEXT(user_membership, KNOCK_USER_MEMBERSHIP)     /* the knocker's, before this knock */
KNOCK_GET_NUMBER(room_age_ms, KNOCK_ROOM_AGE_MS)           /* how old the host's view of the room is */
KNOCK_GET_TEXT(room_acl, KNOCK_ROOM_ACL)                   /* m.room.server_acl, for knock_acl_allows; empty: there is none; absent: not told */
KNOCK_GET_NUMBER(room_pending, KNOCK_ROOM_PENDING)         /* users who are knocking */
KNOCK_GET_NUMBER(room_pending_server, KNOCK_ROOM_PENDING_SERVER) /* of them, of the knocker's server */
KNOCK_GET_NUMBER(room_members_server, KNOCK_ROOM_MEMBERS_SERVER) /* joined members of the knocker's server */
KNOCK_GET_NUMBER(room_banned, KNOCK_ROOM_BANNED)           /* banned users */
KNOCK_GET_NUMBER(room_banned_server, KNOCK_ROOM_BANNED_SERVER)   /* of them, of the knocker's server */
KNOCK_GET_NUMBER(user_membership_since_ms, KNOCK_USER_MEMBERSHIP_SINCE_MS) /* as the server of who made it claims */
KNOCK_GET_TEXT(user_membership_by, KNOCK_USER_MEMBERSHIP_BY)     /* who made it what it is */

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
    knock_value *value; /* null: an object that is not set, and empty */
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
