;; Leaves with proc_exit(0) while it starts, as a program does.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 8)
  (func (export "_initialize") (call $exit (i32.const 0)))
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_decide") (param i32) (result i64) i64.const 1))
