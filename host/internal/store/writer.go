package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// queueSize is how many submissions may wait or run.
	queueSize = 1024
	// maxBatch is the most submissions of one transaction.
	maxBatch = 256
	// decisionQueueSize is how many decisions may wait. One transaction takes
	// all that are there.
	decisionQueueSize = 2048
	// decisionQueueBytes is the most that their details may have in all, which
	// hold the facts and so up to a few 100 KiB each.
	decisionQueueBytes = 64 << 20
	// decisionDelay is how long decisions wait for a transaction that is made
	// anyway before they get one of their own.
	decisionDelay = 100 * time.Millisecond
)

// writer is the goroutine that owns the connection that writes.
type writer struct {
	path  string
	conn  *sql.Conn
	stmts [writeCount]*sql.Stmt

	slots     chan struct{} // one token for each submission between Reserve and its answer
	queue     chan *Ticket  // of queueSize, so that a holder of a slot never blocks
	decisions chan Decision
	dropped   atomic.Int64
	queued    atomic.Int64 // bytes of details of decisions not yet written
	observer  atomic.Pointer[func(time.Duration, bool)]
	lost      atomic.Pointer[func(int, error)]
	failed    atomic.Pointer[error] // of the last transaction; nil: it was committed

	closing   chan struct{} // closed: nothing new is taken
	stop      chan struct{} // closed: everything taken is done
	stopped   chan struct{} // closed: the goroutine has ended
	closeOnce sync.Once
}

func newWriter(path string, conn *sql.Conn) *writer {
	return &writer{
		path:      path,
		conn:      conn,
		slots:     make(chan struct{}, queueSize),
		queue:     make(chan *Ticket, queueSize),
		decisions: make(chan Decision, decisionQueueSize),
		closing:   make(chan struct{}),
		stop:      make(chan struct{}),
		stopped:   make(chan struct{}),
	}
}

// close ends the writer once everything taken is done.
func (w *writer) close() {
	w.closeOnce.Do(func() {
		close(w.closing)
		// A slot is free again only when its submission is answered.
		for range queueSize {
			w.slots <- struct{}{}
		}
		close(w.stop)
		<-w.stopped
		for _, st := range w.stmts {
			if st != nil {
				_ = st.Close()
			}
		}
		_ = w.conn.Close()
	})
}

func (w *writer) enqueueDecision(d Decision) bool {
	select {
	case <-w.closing:
		w.dropped.Add(1)
		return false
	default:
	}
	size := int64(len(d.Detail))
	if w.queued.Add(size) <= decisionQueueBytes {
		select {
		case w.decisions <- d:
			return true
		default:
		}
	}
	w.queued.Add(-size)
	w.dropped.Add(1)
	return false
}

// batch is what one transaction writes.
type batch struct {
	tickets   []*Ticket
	decisions []Decision
	lost      bool // the decisions
}

// run writes batches until stop is closed and nothing is left.
func (w *writer) run() {
	defer close(w.stopped)
	var b batch
	for {
		clear(b.tickets)
		clear(b.decisions)
		b.tickets, b.decisions, b.lost = b.tickets[:0], b.decisions[:0], false
		if !w.gather(&b) {
			return
		}
		w.write(&b)
		for i := range b.decisions {
			w.queued.Add(-int64(len(b.decisions[i].Detail)))
		}
	}
}

// gather waits for something to write and takes what is there. Decisions alone
// wait a little for company. It returns false once there will be no more.
func (w *writer) gather(b *batch) bool {
	select {
	case t := <-w.queue:
		b.tickets = append(b.tickets, t)
	case d := <-w.decisions:
		b.decisions = append(b.decisions, d)
		w.linger(b)
	case <-w.stop:
		b.drain(w)
		return len(b.decisions) > 0
	}
	b.drain(w)
	return true
}

// linger takes decisions until a submission comes, time is up, or there are
// enough.
func (w *writer) linger(b *batch) {
	timer := time.NewTimer(decisionDelay)
	defer timer.Stop()
	for len(b.decisions) < decisionQueueSize/2 {
		select {
		case t := <-w.queue:
			b.tickets = append(b.tickets, t)
			return
		case d := <-w.decisions:
			b.decisions = append(b.decisions, d)
		case <-w.closing:
			return
		case <-timer.C:
			return
		}
	}
}

// drain takes what is waiting: submissions up to maxBatch, and then all decisions, so that
// none which came before a submission is written after it.
func (b *batch) drain(w *writer) {
	for n := min(len(w.queue), maxBatch-len(b.tickets)); n > 0; n-- {
		b.tickets = append(b.tickets, <-w.queue)
	}
	for n := len(w.decisions); n > 0; n-- {
		b.decisions = append(b.decisions, <-w.decisions)
	}
}

// write runs a batch in one transaction and answers everybody in it.
func (w *writer) write(b *batch) {
	begin := time.Now()
	err := w.transaction(b)
	if observe := w.observer.Load(); observe != nil {
		(*observe)(time.Since(begin), err == nil)
	}
	if err == nil {
		w.failed.Store(nil)
		if len(b.decisions) > 0 && !b.lost {
			w.tell(0, nil)
		}
	} else {
		err = w.explain(err)
		w.failed.Store(&err)
		for _, t := range b.tickets {
			if t.err == nil {
				t.err = err
			}
		}
		w.lose(b, err)
	}
	for _, t := range b.tickets {
		if t.after != nil {
			t.after(t.err)
		}
		close(t.done)
		<-w.slots
	}
}

// errBroken says that the transaction itself is gone, not only a submission.
var errBroken = errors.New("the transaction was lost")

func (w *writer) transaction(b *batch) error {
	if err := w.exec(stBegin); err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	if err := w.fill(b); err != nil {
		_ = w.exec(stRollback)
		return err
	}
	if err := w.exec(stCommit); err != nil {
		_ = w.exec(stRollback)
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

// fill runs everything of a batch. Its error is one of the whole transaction.
func (w *writer) fill(b *batch) error {
	tx := &Tx{w}
	for _, t := range b.tickets {
		var lost error
		t.err, lost = w.guarded(func() error { return t.do(tx) })
		if known := explainFault(w.path, t.err); known != nil {
			t.err = known
		}
		if lost != nil {
			return lost
		}
	}
	if len(b.decisions) == 0 {
		return nil
	}
	failed, lost := w.guarded(func() error {
		for i := range b.decisions {
			if err := tx.appendDecision(&b.decisions[i]); err != nil {
				return err
			}
		}
		return tx.count(newTally(b.decisions))
	})
	if failed != nil && lost == nil {
		w.lose(b, w.explain(failed))
	}
	return lost
}

// explain names the file, and says what to do where that is known.
func (w *writer) explain(err error) error {
	if known := explainFault(w.path, err); known != nil {
		return known
	}
	return fmt.Errorf("%s: %w", w.path, err)
}

// lose counts the decisions of a batch as dropped.
func (w *writer) lose(b *batch, err error) {
	b.lost = true
	if len(b.decisions) > 0 {
		w.dropped.Add(int64(len(b.decisions)))
		w.tell(len(b.decisions), err)
	}
}

// tell says how many decisions are lost, or that some are stored.
func (w *writer) tell(lost int, err error) {
	if f := w.lost.Load(); f != nil {
		(*f)(lost, err)
	}
}

// guarded runs do in a savepoint, and undoes it if it fails.
func (w *writer) guarded(do func() error) (failed, lost error) {
	if err := w.exec(stSavepoint); err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	if failed = do(); failed != nil {
		// SQLite ends the whole transaction by itself on some failures, such
		// as a full disk. The savepoint is gone then.
		if err := w.exec(stRollbackTo); err != nil {
			return failed, fmt.Errorf("%w: %w: %w", errBroken, failed, err)
		}
	}
	if err := w.exec(stRelease); err != nil {
		return failed, fmt.Errorf("%w: %w", errBroken, err)
	}
	return failed, nil
}

func (w *writer) exec(st writeStmt, args ...any) error {
	_, err := w.stmts[st].ExecContext(context.Background(), args...)
	return err
}
