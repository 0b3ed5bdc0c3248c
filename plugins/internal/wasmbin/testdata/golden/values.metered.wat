(module
  (type $pair (func (result i32 i64)))
  (type $triple (func (param i32) (result i32 i64 f32)))
  (type $swap (func (param i64 i32) (result i32 i64)))
  (type (;3;) (func (param i32 i64) (result i32 i64)))
  (type (;4;) (func))
  (type (;5;) (func (param i32) (result i64)))
  (type (;6;) (func (param i64 i32) (result i64)))
  (type (;7;) (func (result i32 i64 f32)))
  (func $swap (type $swap) (param i64 i32) (result i32 i64)
    block  ;; label = @1
      block (result i32 i64)  ;; label = @2
        global.get 1
        i32.const 1
        i32.sub
        global.set 1
        global.get 0
        i64.const 1
        i64.sub
        global.set 0
        global.get 0
        global.get 1
        i64.extend_i32_s
        i64.or
        i64.const 0
        i64.lt_s
        br_if 1 (;@1;)
        call $two
        drop
        drop
        local.get 1
        local.get 0
      end
      global.get 1
      i32.const 1
      i32.add
      global.set 1
      return
    end
    unreachable)
  (func $two (type $pair) (result i32 i64)
    block  ;; label = @1
      block (result i32 i64)  ;; label = @2
        global.get 1
        i32.const 1
        i32.sub
        global.set 1
        global.get 0
        i64.const 1
        i64.sub
        global.set 0
        global.get 0
        global.get 1
        i64.extend_i32_s
        i64.or
        i64.const 0
        i64.lt_s
        br_if 1 (;@1;)
        call $nothing
        i32.const 5
        i64.const 6
        i32.const 1
        if (param i32 i64) (result i32 i64)  ;; label = @3
          br 1 (;@2;)
        end
      end
      global.get 1
      i32.const 1
      i32.add
      global.set 1
      return
    end
    unreachable)
  (func $triple (type $triple) (param i32) (result i32 i64 f32)
    block  ;; label = @1
      block (result i32 i64 f32)  ;; label = @2
        global.get 1
        i32.const 1
        i32.sub
        global.set 1
        global.get 0
        i64.const 1
        i64.sub
        global.set 0
        global.get 0
        global.get 1
        i64.extend_i32_s
        i64.or
        i64.const 0
        i64.lt_s
        br_if 1 (;@1;)
        call $nothing
        i32.const 1
        i64.const 2
        f32.const 0x1.8p+1 (;=3;)
      end
      global.get 1
      i32.const 1
      i32.add
      global.set 1
      return
    end
    unreachable)
  (func $nothing (type 4)
    global.get 0
    i64.const 1
    i64.sub
    global.set 0
    global.get 0
    i64.const 0
    i64.lt_s
    if  ;; label = @1
      unreachable
    end)
  (func (;4;) (type 5) (param i32) (result i64)
    (local i64)
    block  ;; label = @1
      block (result i64)  ;; label = @2
        global.get 1
        i32.const 1
        i32.sub
        global.set 1
        global.get 0
        i64.const 1
        i64.sub
        global.set 0
        global.get 0
        global.get 1
        i64.extend_i32_s
        i64.or
        i64.const 0
        i64.lt_s
        br_if 1 (;@1;)
        i64.const 9
        local.get 0
        loop (param i64 i32) (result i64)  ;; label = @3
          global.get 0
          i64.const 1
          i64.sub
          global.set 0
          global.get 0
          i64.const 0
          i64.lt_s
          br_if 2 (;@1;)
          i32.const 1
          i32.sub
          local.tee 0
          call $swap
          local.set 1
          drop
          local.get 1
          local.get 0
          local.get 0
          br_if 0 (;@3;)
          drop
        end
      end
      global.get 1
      i32.const 1
      i32.add
      global.set 1
      return
    end
    unreachable)
  (global (;0;) (mut i64) (i64.const 1000))
  (global (;1;) (mut i32) (i32.const 100))
  (export "run" (func 4))
  (export "knockgate.fuel" (global 0))
  (export "knockgate.depth" (global 1)))
