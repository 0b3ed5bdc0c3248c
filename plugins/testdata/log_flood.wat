;; Logs 300 KiB at a time, without end.
(module
  (import "knock_v1" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 8)
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_decide") (param i32) (result i64)
    (loop
      (call $log (i32.const 3) (i32.const 0) (i32.const 300000))
      (br 0))
    i64.const 1))
