(module
  (type (;0;) (func))
  (type (;1;) (func (param i32) (result i64)))
  (func $f (type 0)
    global.get 3
    i64.const 1
    i64.sub
    global.set 3
    global.get 3
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end)
  (func (;1;) (type 1) (param i32) (result i64)
    (local i32)
    block  ;; label = @1
      block (result i64)  ;; label = @2
        global.get 3
        i64.const 42
        i64.sub
        global.set 3
        global.get 3
        i64.const 0
        i64.lt_s
        br_if 1 (;@1;)
        i32.const 8
        i32.const 0
        i32.const 5
        local.tee 1
        global.get 3
        local.get 1
        i64.extend_i32_u
        i64.const 6
        i64.shr_u
        i64.sub
        global.set 3
        global.get 3
        i64.const 0
        i64.lt_s
        br_if 1 (;@1;)
        memory.init 0
        i32.const 100
        i32.const 8
        i32.const 5
        local.tee 1
        global.get 3
        local.get 1
        i64.extend_i32_u
        i64.const 6
        i64.shr_u
        i64.sub
        global.set 3
        global.get 3
        i64.const 0
        i64.lt_s
        br_if 1 (;@1;)
        memory.copy
        i32.const 200
        i32.const 1
        local.get 0
        i32.const 1023
        i32.and
        local.tee 1
        global.get 3
        local.get 1
        i64.extend_i32_u
        i64.const 6
        i64.shr_u
        i64.sub
        global.set 3
        global.get 3
        i64.const 0
        i64.lt_s
        br_if 1 (;@1;)
        memory.fill
        i32.const 1
        local.tee 1
        global.get 3
        local.get 1
        i64.extend_i32_u
        i64.const 10
        i64.shl
        i64.sub
        global.set 3
        global.get 3
        i64.const 0
        i64.lt_s
        br_if 1 (;@1;)
        memory.grow
        drop
        i32.const 0
        i32.const 0
        i32.const 1
        local.tee 1
        global.get 3
        local.get 1
        i64.extend_i32_u
        i64.const 3
        i64.shr_u
        i64.sub
        global.set 3
        global.get 3
        i64.const 0
        i64.lt_s
        br_if 1 (;@1;)
        table.init 0
        i32.const 1
        i32.const 0
        i32.const 1
        local.tee 1
        global.get 3
        local.get 1
        i64.extend_i32_u
        i64.const 3
        i64.shr_u
        i64.sub
        global.set 3
        global.get 3
        i64.const 0
        i64.lt_s
        br_if 1 (;@1;)
        table.copy
        i32.const 2
        ref.func $f
        i32.const 1
        local.tee 1
        global.get 3
        local.get 1
        i64.extend_i32_u
        i64.const 3
        i64.shr_u
        i64.sub
        global.set 3
        global.get 3
        i64.const 0
        i64.lt_s
        br_if 1 (;@1;)
        table.fill 0
        ref.null func
        i32.const 1
        local.tee 1
        global.get 3
        local.get 1
        i64.extend_i32_u
        i64.sub
        global.set 3
        global.get 3
        i64.const 0
        i64.lt_s
        br_if 1 (;@1;)
        table.grow 0
        drop
        block  ;; label = @3
          local.get 0
          br_if 0 (;@3;)
          i32.const 1
          global.set $a
        end
        local.get 0
        if  ;; label = @3
          i32.const 0
          i32.const 0
          i32.const 3
          local.tee 1
          global.get 3
          local.get 1
          i64.extend_i32_u
          i64.const 6
          i64.shr_u
          i64.sub
          global.set 3
          global.get 3
          i64.const 0
          i64.lt_s
          br_if 2 (;@1;)
          memory.fill
        end
        i32.const 200
        i64.load
        global.set $b
        global.get $b
        global.get $a
        global.get $c
        memory.size
        i32.add
        i32.add
        i64.extend_i32_u
        i64.add
      end
      return
    end
    unreachable)
  (table (;0;) 4 8 funcref)
  (memory (;0;) 1 4)
  (global $a (mut i32) (i32.const 3))
  (global $b (mut i64) (i64.const 4))
  (global $c i32 (i32.const 5))
  (global (;3;) (mut i64) (i64.const 1000))
  (global (;4;) (mut i32) (i32.const 100))
  (export "run" (func 1))
  (export "knockgate.fuel" (global 3))
  (export "knockgate.depth" (global 4))
  (export "knockgate.g0" (global $a))
  (export "knockgate.g1" (global $b))
  (elem (;0;) func $f)
  (data (;0;) "hello"))
