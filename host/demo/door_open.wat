;; The demo's door while it is open: no opinion on any knock.
(module
  ;; Four pages of request buffer behind one page for everything else.
  (memory (export "memory") 5)
  (func (export "knock_v1_buffer") (param $size i32) (result i32)
    (i32.const 65536))
  ;; Pointer 0 makes the low half an inline verdict: 4 is pass.
  (func (export "knock_v1_decide") (param $len i32) (result i64)
    (i64.const 4)))
