;; Logs what is not in its memory.
(module
  (import "knock_v1" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 8)
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_decide") (param i32) (result i64)
    (call $log (i32.const 1) (i32.const 0x7fff0) (i32.const 0x20))
    i64.const 1))
