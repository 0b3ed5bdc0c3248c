;; Counts to 200 million, which is a tenth of a second or more where nothing
;; stops it.
(module
  (memory (export "memory") 8)
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_decide") (param i32) (result i64) (local $i i32)
    (loop
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $i) (i32.const 200000000))))
    i64.const 1))
