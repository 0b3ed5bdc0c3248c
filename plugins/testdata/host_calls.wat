;; Calls host functions as the reason says, a line for each: one letter for the
;; function, then its first text, "|" and its second. Allows, with a note of 16
;; hexadecimal digits for each result, and those of the first 8 bytes that a
;; function wrote.
(module
  (import "knock_v1" "random" (func $random (param i32 i32)))
  (import "knock_v1" "now_ms" (func $now (result i64)))
  (import "knock_v1" "glob_match" (func $glob (param i32 i32 i32 i32) (result i32)))
  (import "knock_v1" "acl_allows" (func $acl (param i32 i32 i32 i32) (result i32)))
  (import "knock_v1" "kv_get" (func $get (param i32 i32 i32 i32) (result i32)))
  (import "knock_v1" "kv_put" (func $put (param i32 i32 i32 i32 i64) (result i32)))
  (import "knock_v1" "kv_incr" (func $incr (param i32 i32 i64 i64) (result i64)))
  (import "knock_v1" "list_has" (func $list (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 8)
  (data (i32.const 0x70000) "{\"verdict\":\"allow\",\"note\":\"")
  (global $at (mut i32) (i32.const 0))
  (func (export "knock_v1_buffer") (param i32) (result i32) i32.const 0x10000)
  (func $digits (param $v i64) (local $i i32) (local $d i32)
    (local.set $i (i32.const 60))
    (loop
      (local.set $d (i32.and (i32.wrap_i64 (i64.shr_u (local.get $v) (i64.extend_i32_u (local.get $i)))) (i32.const 15)))
      (i32.store8 (global.get $at)
        (i32.add (local.get $d) (select (i32.const 87) (i32.const 48) (i32.gt_u (local.get $d) (i32.const 9)))))
      (global.set $at (i32.add (global.get $at) (i32.const 1)))
      (local.set $i (i32.sub (local.get $i) (i32.const 4)))
      (br_if 0 (i32.ge_s (local.get $i) (i32.const 0)))))
  (func $find (param $from i32) (param $to i32) (param $c i32) (result i32)
    (block (loop
      (br_if 1 (i32.ge_u (local.get $from) (local.get $to)))
      (br_if 1 (i32.eq (i32.load8_u (local.get $from)) (local.get $c)))
      (local.set $from (i32.add (local.get $from) (i32.const 1)))
      (br 0)))
    local.get $from)
  (func $call (param $f i32) (param $a i32) (param $n i32) (param $b i32) (param $m i32) (result i64)
    (if (i32.eq (local.get $f) (i32.const 0x72)) (then ;; r
      (call $random (i32.const 0x60000) (i32.const 8)) (return (i64.const 8))))
    (if (i32.eq (local.get $f) (i32.const 0x6e)) (then (return (call $now)))) ;; n
    (if (i32.eq (local.get $f) (i32.const 0x6d)) (then ;; m
      (return (i64.extend_i32_s (call $glob (local.get $a) (local.get $n) (local.get $b) (local.get $m))))))
    (if (i32.eq (local.get $f) (i32.const 0x61)) (then ;; a
      (return (i64.extend_i32_s (call $acl (local.get $a) (local.get $n) (local.get $b) (local.get $m))))))
    (if (i32.eq (local.get $f) (i32.const 0x67)) (then ;; g: room for 8 bytes
      (return (i64.extend_i32_s (call $get (local.get $a) (local.get $n) (i32.const 0x60000) (i32.const 8))))))
    (if (i32.eq (local.get $f) (i32.const 0x70)) (then ;; p: for a second
      (return (i64.extend_i32_s (call $put (local.get $a) (local.get $n) (local.get $b) (local.get $m) (i64.const 1000))))))
    (if (i32.eq (local.get $f) (i32.const 0x69)) (then ;; i: by one, for a second
      (return (call $incr (local.get $a) (local.get $n) (i64.const 1) (i64.const 1000)))))
    (if (i32.eq (local.get $f) (i32.const 0x6c)) (then ;; l
      (return (i64.extend_i32_s (call $list (local.get $a) (local.get $n) (local.get $b) (local.get $m))))))
    (if (i32.eq (local.get $f) (i32.const 0x6f)) (then ;; o: outside memory
      (return (i64.extend_i32_s (call $get (local.get $a) (local.get $n) (i32.const 0xfffffff0) (i32.const 0x20))))))
    unreachable)
  (func (export "knock_v1_decide") (param i32) (result i64) (local $from i32) (local $to i32) (local $end i32) (local $bar i32)
    ;; field 8 is the reason
    (local.set $from (i32.add (i32.const 0x10000) (i32.load (i32.const 0x10050))))
    (local.set $end (i32.add (local.get $from) (i32.load (i32.const 0x10054))))
    (global.set $at (i32.const 0x7001b))
    (loop $lines
      (local.set $to (call $find (local.get $from) (local.get $end) (i32.const 10)))
      (local.set $bar (call $find (i32.add (local.get $from) (i32.const 1)) (local.get $to) (i32.const 0x7c)))
      (i64.store (i32.const 0x60000) (i64.const 0))
      (call $digits (call $call (i32.load8_u (local.get $from))
        (i32.add (local.get $from) (i32.const 1))
        (i32.sub (local.get $bar) (i32.add (local.get $from) (i32.const 1)))
        (i32.add (local.get $bar) (i32.const 1))
        (select (i32.const 0) (i32.sub (local.get $to) (i32.add (local.get $bar) (i32.const 1)))
          (i32.eq (local.get $bar) (local.get $to)))))
      (if (i64.ne (i64.load (i32.const 0x60000)) (i64.const 0))
        (then (call $digits (i64.load (i32.const 0x60000)))))
      (local.set $from (i32.add (local.get $to) (i32.const 1)))
      (br_if $lines (i32.lt_u (local.get $from) (local.get $end))))
    (i32.store16 (global.get $at) (i32.const 0x7d22))
    (i64.or (i64.const 0x0007000000000000)
      (i64.extend_i32_u (i32.sub (i32.add (global.get $at) (i32.const 2)) (i32.const 0x70000))))))
