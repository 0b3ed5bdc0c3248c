;; Answers with an object whose note holds, in hexadecimal, what WASI and the
;; host tell it: 8 bytes each of wall clock, monotonic clock before and after
;; a sleep of 1 ms, random bytes, and now_ms; then the result of reading a
;; folder that is not there.
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_fdstat_get" (func $fdstat (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (import "knock_v1" "now_ms" (func $now (result i64)))
  (memory (export "memory") 8)
  (data (i32.const 0x60000) "{\"verdict\":\"allow\",\"note\":\"")
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func $digit (param i32) (result i32)
    (i32.add (local.get 0) (select (i32.const 0x57) (i32.const 0x30) (i32.gt_u (local.get 0) (i32.const 9)))))
  (func (export "knock_v1_decide") (param i32) (result i64) (local $i i32) (local $at i32)
    (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 0x100)))
    (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 0x108)))
    (i64.store (i32.const 0x218) (i64.const 1000000)) ;; timeout of a clock subscription
    (i32.store (i32.const 0x210) (i32.const 1))       ;; monotonic
    (drop (call $poll (i32.const 0x200) (i32.const 0x300) (i32.const 1) (i32.const 0x400)))
    (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 0x110)))
    (drop (call $random (i32.const 0x118) (i32.const 8)))
    (i64.store (i32.const 0x120) (call $now))
    (i32.store (i32.const 0x128) (call $prestat (i32.const 3) (i32.const 0x500)))
    (i32.store (i32.const 0x12c) (call $args (i32.const 0x500) (i32.const 0x504)))
    (drop (call $environ (i32.const 0x508) (i32.const 0x50c)))
    (drop (call $fdstat (i32.const 1) (i32.const 0x510)))
    (drop (call $yield))
    (local.set $at (i32.const 0x6001b))
    (loop
      (i32.store8 (local.get $at) (call $digit (i32.shr_u (i32.load8_u (i32.add (i32.const 0x100) (local.get $i))) (i32.const 4))))
      (i32.store8 (i32.add (local.get $at) (i32.const 1)) (call $digit (i32.and (i32.load8_u (i32.add (i32.const 0x100) (local.get $i))) (i32.const 15))))
      (local.set $at (i32.add (local.get $at) (i32.const 2)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if 0 (i32.lt_u (local.get $i) (i32.const 48))))
    (i32.store16 (local.get $at) (i32.const 0x7d22)) ;; "}
    (i64.or (i64.const 0x0006000000000000)
      (i64.extend_i32_u (i32.sub (i32.add (local.get $at) (i32.const 2)) (i32.const 0x60000))))))
