;; Sleeps for an hour, without end.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 8)
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func (export "knock_v1_decide") (param i32) (result i64)
    (i64.store (i32.const 0x218) (i64.const 3600000000000))
    (i32.store (i32.const 0x210) (i32.const 1))
    (loop
      (drop (call $poll (i32.const 0x200) (i32.const 0x300) (i32.const 1) (i32.const 0x400)))
      (br 0))
    i64.const 1))
