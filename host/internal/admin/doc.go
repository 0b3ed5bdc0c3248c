// Package admin is the listener for the administrator: whether the program lives,
// whether it is ready, what it has measured and, for who has the token, an API by which
// the policies in force are looked at and changed. The interfaces of what that shows and
// does are here, and the program implements them.
package admin
