#include "knockgate.h"

static int64_t min;

void policy_configure(knock_settings s) { min = knock_get_number(s, "min", 10, 0, 500); }

knock_verdict policy_decide(void) {
    if (knock_phase() != KNOCK_SEND_KNOCK || knock_characters(knock_reason()) >= min) return knock_pass();
    knock_verdict v = knock_deny(KNOCK_JOIN(KNOCK_TEXT("Please say in "), knock_digits(min),
                                            KNOCK_TEXT(" characters why you would like to join.")));
    v.code = KNOCK_TEXT("reason_too_short");
    return v;
}
