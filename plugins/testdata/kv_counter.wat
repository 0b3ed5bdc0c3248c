;; Allows the first two knocks of a minute and denies the others.
(module
  (import "knock_v1" "kv_incr" (func $incr (param i32 i32 i64 i64) (result i64)))
  (memory (export "memory") 5)
  (data (i32.const 0x100) "knocks")
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_decide") (param i32) (result i64)
    (select (i64.const 2) (i64.const 1)
      (i64.gt_u (call $incr (i32.const 0x100) (i32.const 6) (i64.const 1) (i64.const 60000)) (i64.const 2)))))
