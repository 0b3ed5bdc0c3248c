;; What a module made by "opa build -t wasm" imports, for the tests: memory,
;; and builtins that are never called.
(module
  (memory (export "memory") 2)
  (func (export "opa_abort") (param i32) unreachable)
  (func (export "opa_println") (param i32) unreachable)
  (func (export "opa_builtin0") (param i32 i32) (result i32) unreachable)
  (func (export "opa_builtin1") (param i32 i32 i32) (result i32) unreachable)
  (func (export "opa_builtin2") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "opa_builtin3") (param i32 i32 i32 i32 i32) (result i32) unreachable)
  (func (export "opa_builtin4") (param i32 i32 i32 i32 i32 i32) (result i32) unreachable))
