;; Logs a line with a line break and a byte that is no UTF-8, then 200 lines,
;; then writes to standard error in pieces.
(module
  (import "knock_v1" "log" (func $log (param i32 i32 i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 8)
  (data (i32.const 0x100) "one\ntwo\ff")
  (data (i32.const 0x200) "panic: bo")
  (data (i32.const 0x210) "om\n\n")
  (data (i32.const 0x300) "\00\02\00\00\09\00\00\00\10\02\00\00\04\00\00\00")
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_decide") (param i32) (result i64) (local $i i32)
    (drop (call $write (i32.const 2) (i32.const 0x300) (i32.const 2) (i32.const 0x400)))
    (call $log (i32.const 2) (i32.const 0x100) (i32.const 8))
    (loop
      (call $log (i32.const 1) (i32.const 0x100) (i32.const 3))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $i) (i32.const 200))))
    unreachable))
