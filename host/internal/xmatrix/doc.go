// Package xmatrix authenticates federation requests: the X-Matrix scheme of the
// Authorization header, in which a server signs the method, the request-target
// and the content of a request for the server it is meant for.
//
// Spec: Server-Server API, "Request Authentication".
package xmatrix
