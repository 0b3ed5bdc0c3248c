// Package web is the pages of the admin listener: how the server stands, what it
// decided, its policies, knocks that wait, and a place to try facts out. They are
// HTML that works without JavaScript; with it, charts are drawn and rows come live.
//
// Nearly every text on a page was written by a stranger. It is put there by
// html/template alone, with what a reader cannot see made visible, and no page runs a
// script or a style that is not a file of this package.
package web
