;; Its buffer begins in memory and ends outside.
(module
  (memory (export "memory") 4)
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_decide") (param i32) (result i64) i64.const 1))
