// What is behind the exports: one instance of a module with its buffers.
import { Knock } from "./knock";
import { Report, Settings } from "./settings";
import { Verdict } from "./verdict";

const MAX_FRAME: u32 = 262144;

/** A policy: register takes one. */
export abstract class Policy {
  /** Reads the settings, once in each instance. A setting that is wrong is told with the methods of
   * s, most of which do it themselves. */
  configure(s: Settings): void {}

  /** Judges one knock. */
  abstract decide(k: Knock): Verdict;
}

let policy: Policy | null = null;
let accepted = false;
let refused = false;
const frame: usize = heap.alloc(MAX_FRAME);

/** Makes a policy that of the module. It stands once, at the top level of the entry file. */
export function register(p: Policy): void {
  assert(policy === null, "a module holds one policy");
  policy = p;
}

export function knock_v1_buffer(size: u32): usize {
  return policy !== null && size <= MAX_FRAME ? frame : 0;
}

export function knock_v1_configure(len: u32): i64 {
  const result = configure(frame, len);
  __collect(); // nothing of the call is in use any more
  return result;
}

function configure(src: usize, len: u32): i64 {
  const report = new Report(), p = policy;
  accepted = false;
  if (len > MAX_FRAME) {
    report.note("", "the settings are too large");
  } else {
    const settings = report.read(src, len);
    if (settings !== null && p !== null) p.configure(settings);
  }
  const result = report.finish();
  accepted = result == 0;
  refused = !accepted;
  return result;
}

export function knock_v1_decide(len: u32): i64 {
  const result = decide(len);
  __collect();
  return result;
}

function decide(len: u32): i64 {
  if (!accepted && !refused) { // a host that gives no settings means {}
    const none = String.UTF8.encode("{}");
    configure(changetype<usize>(none), none.byteLength);
  }
  const p = policy;
  if (p === null || !accepted) return Verdict.error("the policy has not accepted its settings").answer();
  const knock = new Knock(frame, len);
  if (len > MAX_FRAME || !knock.whole) return Verdict.error("the request frame is not valid").answer();
  return p.decide(knock).answer();
}
