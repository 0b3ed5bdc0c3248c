;; Several results, blocks and loops with parameters, and types shared between
;; the block that is put in and the module's own.
(module
  (type $pair (func (result i32 i64)))
  (type $triple (func (param i32) (result i32 i64 f32)))
  (type $swap (func (param i64 i32) (result i32 i64)))
  (func $swap (type $swap)
    (call $two)
    drop drop
    local.get 1 local.get 0)
  (func $two (type $pair)
    (call $nothing)
    i32.const 5 i64.const 6
    (if (param i32 i64) (result i32 i64) (i32.const 1)
      (then return)
      (else)))
  (func $triple (type $triple) (call $nothing) i32.const 1 i64.const 2 f32.const 3)
  (func $nothing)
  (func (export "run") (param i32) (result i64)
    (local i64)
    i64.const 9
    local.get 0
    (loop $l (param i64 i32) (result i64)
      i32.const 1
      i32.sub
      local.tee 0
      (call $swap)
      local.set 1
      drop
      local.get 1
      local.get 0
      local.get 0
      br_if $l
      drop)))
