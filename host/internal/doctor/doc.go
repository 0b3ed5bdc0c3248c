// Package doctor finds out what happens to a knock on its way to this server, hop
// by hop: whether its request-target, its Host, its Authorization and its body
// arrive as they were sent.
//
// It has two halves. A doctor ([Run]) announces itself with a token and a public
// key in the state folder, and sends signed requests to the server's public name.
// The running server ([Echo]) knows such a request by the token, and answers what
// it saw of it, ahead of all else: no probe gets to a policy or to a homeserver
// through it. Whoever can write to the state folder can do so, and nobody else.
package doctor
