;; A program that exports what a policy does, as Go makes one without
;; -buildmode=c-shared: its runtime has not begun when nobody calls _start.
(module
  (memory (export "memory") 8)
  (func (export "_start"))
  (func (export "knock_v1_buffer") (param i32) (result i32) unreachable)
  (func (export "knock_v1_decide") (param i32) (result i64) unreachable))
