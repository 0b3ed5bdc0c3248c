package xmatrix

// The kinds of failure to authenticate a request, as the Kind of a matrix.Error
// has them.
const (
	FailMissing     = "missing"           // no X-Matrix header
	FailMalformed   = "malformed"         // a header that cannot be read
	FailTooMany     = "too_many"          // more headers than MaxHeaders or MaxSignatures
	FailDiffer      = "headers_differ"    // headers of more than one origin or destination
	FailDestination = "wrong_destination" // for another server
	FailOrigin      = "own_name"          // in our own name
	FailTarget      = "bad_target"        // a request-target that nobody can have signed
	FailSignature   = "wrong_signature"   // a signature that does not verify
	FailKey         = "no_usable_key"     // no key that is known and valid
)

// Failures are all kinds of failure.
var Failures = []string{
	FailMissing, FailMalformed, FailTooMany, FailDiffer, FailDestination, FailOrigin, FailTarget, FailSignature, FailKey,
}
