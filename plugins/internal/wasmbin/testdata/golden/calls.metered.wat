(module
  (type (;0;) (func (param i32) (result i32)))
  (type (;1;) (func (param i32) (result i64)))
  (func $odd (type 0) (param i32) (result i32)
    block  ;; label = @1
      block (result i32)  ;; label = @2
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
        local.get 0
        i32.eqz
        if (result i32)  ;; label = @3
          i32.const 0
        else
          local.get 0
          i32.const 1
          i32.sub
          call $even
        end
      end
      global.get 1
      i32.const 1
      i32.add
      global.set 1
      return
    end
    unreachable)
  (func $even (type 0) (param i32) (result i32)
    block  ;; label = @1
      block (result i32)  ;; label = @2
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
        local.get 0
        i32.eqz
        if  ;; label = @3
          i32.const 1
          br 1 (;@2;)
          i32.const 7
          drop
        end
        local.get 0
        i32.const 1
        i32.sub
        call $odd
      end
      global.get 1
      i32.const 1
      i32.add
      global.set 1
      return
    end
    unreachable)
  (func $ways (type 0) (param i32) (result i32)
    block  ;; label = @1
      block (result i32)  ;; label = @2
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
        block  ;; label = @3
          block  ;; label = @4
            i32.const 10
            local.get 0
            call $odd
            i32.eqz
            br_if 2 (;@2;)
            drop
            local.get 0
            i32.const 1
            i32.shr_u
            br_table 0 (;@4;) 1 (;@3;) 0 (;@4;)
            unreachable
          end
          i32.const 30
          br 1 (;@2;)
          i64.const 3
          drop
        end
        i32.const 40
      end
      global.get 1
      i32.const 1
      i32.add
      global.set 1
      return
    end
    unreachable)
  (func (;3;) (type 1) (param i32) (result i64)
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
        local.get 0
        call $even
        local.get 0
        call $ways
        i32.add
        i64.extend_i32_s
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
  (export "run" (func 3))
  (export "knockgate.fuel" (global 0))
  (export "knockgate.depth" (global 1)))
