;; Misuses host functions, as the first letter of the reason says; then allows,
;; if what came back was right, and denies otherwise. The exports that a host might
;; be tempted to call for memory trap.
(module
  (import "knock_v1" "log" (func $log (param i32 i32 i32)))
  (import "knock_v1" "random" (func $random (param i32 i32)))
  (import "knock_v1" "glob_match" (func $glob (param i32 i32 i32 i32) (result i32)))
  (import "knock_v1" "acl_allows" (func $acl (param i32 i32 i32 i32) (result i32)))
  (import "knock_v1" "kv_get" (func $get (param i32 i32 i32 i32) (result i32)))
  (import "knock_v1" "kv_put" (func $put (param i32 i32 i32 i32 i64) (result i32)))
  (import "knock_v1" "kv_incr" (func $incr (param i32 i32 i64 i64) (result i64)))
  (import "knock_v1" "list_has" (func $list (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 8)
  (data (i32.const 0x100) "key12345*.example")
  (global $n (mut i32) (i32.const 0))
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func $trap (export "malloc") (export "realloc") (export "free") (export "cabi_realloc") (export "__alloc") (export "__new")
    (export "knock_v1_alloc") (param i32 i32 i32 i32) (result i32) unreachable)
  ;; what the monotonic clock says an amount of work takes
  (func $measure (param $rounds i32) (result i64) (local $before i64)
    (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 0x200)))
    (local.set $before (i64.load (i32.const 0x200)))
    (loop (br_if 0 (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
    (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 0x200)))
    (i64.sub (i64.load (i32.const 0x200)) (local.get $before)))
  (func $wall (result i64)
    (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 0x200)))
    (i64.load (i32.const 0x200)))
  (func $case (param $c i32) (result i32) (local $wall i64)
    (if (i32.eq (local.get $c) (i32.const 0x61)) (then ;; a: value and key, then key and out, are the same bytes
      (if (call $put (i32.const 0x100) (i32.const 8) (i32.const 0x100) (i32.const 8) (i64.const 0)) (then (return (i32.const 0))))
      (return (i32.eq (call $get (i32.const 0x100) (i32.const 8) (i32.const 0x100) (i32.const 8)) (i32.const 8)))))
    (if (i32.eq (local.get $c) (i32.const 0x62)) (then ;; b: out lies across the key
      (drop (call $put (i32.const 0x100) (i32.const 8) (i32.const 0x108) (i32.const 8) (i64.const 0)))
      (return (i32.and
        (i32.eq (call $get (i32.const 0x100) (i32.const 8) (i32.const 0x104) (i32.const 8)) (i32.const 8))
        (i64.eq (i64.load (i32.const 0x104)) (i64.const 0x6c706d6178652e2a))))))
    (if (i32.eq (local.get $c) (i32.const 0x63)) (then ;; c: over the frame
      (call $random (i32.const 0x10000) (i32.const 0x10000)) (return (i32.const 1))))
    (if (i32.eq (local.get $c) (i32.const 0x64)) (then ;; d
      (call $random (i32.const 0) (i32.const -1)) (return (i32.const 0))))
    (if (i32.eq (local.get $c) (i32.const 0x65)) (then ;; e
      (return (call $get (i32.const 0x100) (i32.const 8) (i32.const 0) (i32.const -1)))))
    (if (i32.eq (local.get $c) (i32.const 0x66)) (then ;; f: the vector, its text and the count are the same bytes
      (i32.store (i32.const 0x300) (i32.const 0x300))
      (i32.store (i32.const 0x304) (i32.const 8))
      (return (i32.eqz (call $write (i32.const 1) (i32.const 0x300) (i32.const 1) (i32.const 0x300))))))
    (if (i32.eq (local.get $c) (i32.const 0x67)) (then ;; g: more vectors than memory has room for
      (return (i32.ne (call $write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 0)) (i32.const 0)))))
    (if (i32.eq (local.get $c) (i32.const 0x68)) (then ;; h: a vector that ends past 2^32
      (i32.store (i32.const 0x300) (i32.const -8))
      (i32.store (i32.const 0x304) (i32.const 16))
      (return (call $write (i32.const 1) (i32.const 0x300) (i32.const 1) (i32.const 0x320)))))
    (if (i32.eq (local.get $c) (i32.const 0x69)) (then ;; i: events over the subscriptions
      (i32.store (i32.const 0x410) (i32.const 1))
      (return (i32.eqz (call $poll (i32.const 0x400) (i32.const 0x404) (i32.const 1) (i32.const 0x408))))))
    (if (i32.eq (local.get $c) (i32.const 0x6a)) (then ;; j: 2^32-1 subscriptions
      (return (i32.ne (call $poll (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 0)) (i32.const 0)))))
    (if (i32.eq (local.get $c) (i32.const 0x6b)) (then ;; k: a line that ends past 2^32
      (call $log (i32.const 1) (i32.const -8) (i32.const 16)) (return (i32.const 0))))
    (if (i32.eq (local.get $c) (i32.const 0x6c)) (then ;; l: pattern and text are the same bytes
      (return (call $glob (i32.const 0x108) (i32.const 9) (i32.const 0x108) (i32.const 9)))))
    (if (i32.eq (local.get $c) (i32.const 0x6d)) (then ;; m: list and key too, and the ACL and its server
      (drop (call $acl (i32.const 0x100) (i32.const 8) (i32.const 0x100) (i32.const 8)))
      (return (i32.eq (call $list (i32.const 0x100) (i32.const 8) (i32.const 0x100) (i32.const 8)) (i32.const -1)))))
    (if (i32.eq (local.get $c) (i32.const 0x6e)) (then ;; n: a new key each time, without end
      (loop
        (global.set $n (i32.add (global.get $n) (i32.const 1)))
        (i32.store (i32.const 0x100) (global.get $n))
        (drop (call $put (i32.const 0x100) (i32.const 512) (i32.const 0) (i32.const 4096) (i64.const 0)))
        (drop (call $incr (i32.const 0x100) (i32.const 512) (i64.const 1) (i64.const 0)))
        (br 0))))
    (if (i32.eq (local.get $c) (i32.const 0x6f)) (then ;; o: the clocks do not tell much work from little
      (local.set $wall (call $wall))
      (if (i64.ne (call $measure (i32.const 1)) (call $measure (i32.const 50000))) (then (return (i32.const 0))))
      (return (i64.eq (local.get $wall) (call $wall)))))
    unreachable)
  (func (export "knock_v1_decide") (param i32) (result i64)
    ;; field 8 is the reason
    (i64.extend_i32_u (select (i32.const 1) (i32.const 2)
      (call $case (i32.load8_u (i32.add (i32.const 0x10000) (i32.load (i32.const 0x10050)))))))))
