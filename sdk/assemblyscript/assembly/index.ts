// The AssemblyScript SDK for Knockgate policies: a policy author extends Policy and
// re-exports this file's three exports. The normative text of the ABI is sdk/README.md.
//
// One instance serves one knock at a time. A failed assertion, or whatever else calls
// abort, is logged and ends the instance, and the host answers by the policy's on_error.
export { Policy, register, knock_v1_buffer, knock_v1_configure, knock_v1_decide } from "./guest";
export { Field, Knock, Phase, characters, stripPort } from "./knock";
export { Verdict } from "./verdict";
export { Item, Settings } from "./settings";
export { Level, ListAnswer, aclAllows, globMatch, knock_abort, kvGet, kvIncr, kvPut, listHas, log, nowMs, random } from "./host";
