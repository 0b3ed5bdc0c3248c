;; Traps if it is entered while it runs, and denies if what it wrote at the
;; start of the call is not there at its end.
(module
  (memory (export "memory") 8)
  (global $inside (mut i32) (i32.const 0))
  (global $calls (mut i32) (i32.const 0))
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_decide") (param i32) (result i64) (local $i i32) (local $mine i32)
    (if (global.get $inside) (then unreachable))
    (global.set $inside (i32.const 1))
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (local.set $mine (global.get $calls))
    (i32.store (i32.const 0x60000) (local.get $mine))
    (loop
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $i) (i32.const 200))))
    (global.set $inside (i32.const 0))
    (if (i32.ne (i32.load (i32.const 0x60000)) (local.get $mine)) (then (return (i64.const 2))))
    i64.const 1))
