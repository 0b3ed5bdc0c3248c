/* pending_cap refuses knocks on a room, or by a server on it, where too many wait for an
 * answer already. README.md is the documentation. */
#include "knockgate.h"

enum { MOST = 1000000 };

static int64_t max_room, max_server;
static bool deny_unknown;
static knock_text message;

static bool blank(knock_text t) {
    for (uint32_t i = 0; i < t.len; i++)
        if (t.at[i] != ' ' && (t.at[i] < '\t' || t.at[i] > '\r')) return false;
    return true;
}

void policy_configure(knock_settings s) {
    static const knock_text answers[] = {{"deny", 4}, {"pass", 4}, {0, 0}};
    max_room = knock_get_number(s, "max_room", 100, 0, MOST);
    max_server = knock_get_number(s, "max_server", 20, 0, MOST);
    deny_unknown = knock_same(knock_get_one_of(s, "unknown", KNOCK_TEXT("deny"), answers), KNOCK_TEXT("deny"));
    message = knock_get_text(s, "message", (knock_text){0, 0});
    if (max_room == 0 && max_server == 0) knock_fail(s, "", KNOCK_TEXT("max_room and max_server must not both be 0, which is no cap"));
    if (!message.at) return;
    if (blank(message))
        knock_fail(s, "message", KNOCK_TEXT("must not be empty: leave it out for the usual sentence"));
    else if (message.len > 512)
        knock_fail(s, "message", KNOCK_TEXT("must be at most 512 bytes"));
}

static knock_verdict refuse(knock_text words, knock_text code, knock_text note) {
    knock_verdict v = knock_deny(message.at ? message : words);
    v.code = code;
    v.note = note;
    return v;
}

static knock_text count(int64_t pending, int64_t most) {
    return KNOCK_JOIN(knock_digits(pending), KNOCK_TEXT(" pending, at most "), knock_digits(most));
}

knock_verdict policy_decide(void) {
    uint32_t phase = knock_phase();
    if (phase != KNOCK_MAKE_KNOCK && phase != KNOCK_SEND_KNOCK) return knock_pass();
    /* Who is knocking already is one of those who wait: their new words make none more. */
    if (knock_same(knock_user_membership(), KNOCK_TEXT("knock"))) return knock_pass();
    int64_t room, server;
    bool told = knock_number_field(KNOCK_ROOM_PENDING, &room) || max_room == 0;
    told = (knock_number_field(KNOCK_ROOM_PENDING_SERVER, &server) || max_server == 0) && told;
    if (max_room > 0 && room >= max_room)
        return refuse(KNOCK_TEXT("Too many knocks on this room are waiting for an answer. Please try again later."),
                      KNOCK_TEXT("pending_room"), count(room, max_room));
    if (max_server > 0 && server >= max_server)
        return refuse(KNOCK_TEXT("Too many knocks of your server on this room are waiting for an answer. Please try again later."),
                      KNOCK_TEXT("pending_server"), count(server, max_server));
    if (told) return knock_pass();
    knock_text note = KNOCK_TEXT("the host does not tell how many knocks are pending");
    if (deny_unknown)
        return refuse(KNOCK_TEXT("Knocks on this room are not taken at the moment."), KNOCK_TEXT("pending_unknown"), note);
    knock_verdict v = knock_pass();
    v.code = KNOCK_TEXT("pending_unknown");
    v.note = note;
    return v;
}
