# A guest for the tests of wasmbin: a policy in Rego. Build:
# opa build -t wasm -e knock/verdict regoguest.rego, then policy.wasm of the bundle.
package knock

default verdict := "deny"

bad_suffixes := {".evil.example", ".spam.example", ".onion", ".invalid"}

bad if {
	some s in bad_suffixes
	endswith(input.origin, s)
}

words := split(lower(input.reason), " ")

verdict := "allow" if {
	not bad
	count(words) >= 3
	some w in words
	startswith(w, "please")
	sum([count(x) | some x in words]) > 10
}
