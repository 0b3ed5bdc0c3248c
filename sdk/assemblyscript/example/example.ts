import { Knock, Phase, Policy, Settings, Verdict, characters, register } from "../assembly";
export { knock_v1_buffer, knock_v1_configure, knock_v1_decide } from "../assembly";

class Reason extends Policy {
  min: i64 = 0;

  configure(s: Settings): void {
    this.min = s.number("min", 10, 0, 500);
  }

  decide(k: Knock): Verdict {
    if (k.phase != Phase.SEND_KNOCK || characters(k.reason) >= this.min) return Verdict.pass();
    return Verdict.deny("Please say in " + this.min.toString() + " characters why you would like to join.")
      .withCode("reason_too_short");
  }
}

register(new Reason());
