;; Imports its memory.
(module
  (import "env" "memory" (memory 8))
  (export "memory" (memory 0))
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_decide") (param i32) (result i64) i64.const 1))
