//! What a policy can ask the host. Arguments beyond the sizes of sdk/README.md
//! end the instance.
#[cfg(target_arch = "wasm32")]
mod raw {
    #[link(wasm_import_module = "knock_v1")]
    extern "C" {
        pub fn log(level: u32, text: *const u8, len: usize);
        pub fn now_ms() -> i64;
        pub fn random(out: *mut u8, len: usize);
        pub fn glob_match(
            pattern: *const u8,
            pattern_len: usize,
            text: *const u8,
            text_len: usize,
        ) -> i32;
        pub fn acl_allows(
            acl: *const u8,
            acl_len: usize,
            server: *const u8,
            server_len: usize,
        ) -> i32;
        pub fn kv_get(key: *const u8, key_len: usize, out: *mut u8, cap: usize) -> i32;
        pub fn kv_put(
            key: *const u8,
            key_len: usize,
            value: *const u8,
            value_len: usize,
            ttl_ms: i64,
        ) -> i32;
        pub fn kv_incr(key: *const u8, key_len: usize, delta: i64, ttl_ms: i64) -> i64;
        pub fn list_has(list: *const u8, list_len: usize, key: *const u8, key_len: usize) -> i32;
    }
}

/// There is no host natively: a policy's tests leave these functions alone.
#[cfg(not(target_arch = "wasm32"))]
#[allow(clippy::missing_safety_doc)]
mod raw {
    macro_rules! none {
        ($($name:ident($($arg:ident: $t:ty),*) -> $r:ty;)*) => {
            $(pub unsafe fn $name($(_: $t),*) -> $r { panic!(concat!("there is no host here: ", stringify!($name))) })*
        };
    }
    none! {
        log(level: u32, text: *const u8, len: usize) -> ();
        now_ms() -> i64;
        random(out: *mut u8, len: usize) -> ();
        glob_match(pattern: *const u8, pattern_len: usize, text: *const u8, text_len: usize) -> i32;
        acl_allows(acl: *const u8, acl_len: usize, server: *const u8, server_len: usize) -> i32;
        kv_get(key: *const u8, key_len: usize, out: *mut u8, cap: usize) -> i32;
        kv_put(key: *const u8, key_len: usize, value: *const u8, value_len: usize, ttl_ms: i64) -> i32;
        kv_incr(key: *const u8, key_len: usize, delta: i64, ttl_ms: i64) -> i64;
        list_has(list: *const u8, list_len: usize, key: *const u8, key_len: usize) -> i32;
    }
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Level {
    Debug = 0,
    Info = 1,
    Warn = 2,
    Error = 3,
}

/// Writes a line to the host's log, under the policy's name and the request's ID.
/// The host limits length and number of lines.
pub fn log(level: Level, text: &str) {
    log_bytes(level as u32, text.as_bytes())
}

pub(crate) fn log_bytes(level: u32, text: &[u8]) {
    unsafe { raw::log(level, text.as_ptr(), text.len()) }
}

/// The decision's time in milliseconds since the Unix epoch, which does not move
/// while it is made; 0 in configure.
pub fn now_ms() -> i64 {
    unsafe { raw::now_ms() }
}

/// Fills at most 65,536 bytes with random ones that follow from the policy and the
/// request's ID. They are no secret.
pub fn random(out: &mut [u8]) {
    unsafe { raw::random(out.as_mut_ptr(), out.len()) }
}

/// Whether the whole of `text` matches `pattern`, in which `*` is any text and `?`
/// any one character, and ASCII letters match in either case. The pattern has at
/// most 512 bytes, the text 65,536.
pub fn glob_match(pattern: &str, text: &str) -> bool {
    unsafe { raw::glob_match(pattern.as_ptr(), pattern.len(), text.as_ptr(), text.len()) == 1 }
}

/// Whether the content of an m.room.server_acl event lets a server take part. "" is
/// a room without one, which lets in everybody.
pub fn acl_allows(acl: &str, server: &str) -> bool {
    unsafe { raw::acl_allows(acl.as_ptr(), acl.len(), server.as_ptr(), server.len()) == 1 }
}

/// What the policy keeps at `key`, written to the start of `out`; None if there is
/// nothing, if `out` is too small for it (4,096 bytes never are), and past the quota
/// of calls. It needs the capability kv.
pub fn kv_get<'a>(key: &[u8], out: &'a mut [u8]) -> Option<&'a [u8]> {
    let n = unsafe { raw::kv_get(key.as_ptr(), key.len(), out.as_mut_ptr(), out.len()) };
    if n < 0 {
        return None;
    }
    out.get(..n as usize)
}

/// Keeps a value at `key`, for all instances of the policy, for `ttl_ms`
/// milliseconds or, with 0, without end. False, and nothing is kept, past a quota.
/// It needs the capability kv.
pub fn kv_put(key: &[u8], value: &[u8], ttl_ms: i64) -> bool {
    unsafe { raw::kv_put(key.as_ptr(), key.len(), value.as_ptr(), value.len(), ttl_ms) == 0 }
}

/// Adds `delta` to the counter at `key` in one step and returns its new value, which
/// does not fall below 0. A new counter starts at 0 and is gone after `ttl_ms`
/// milliseconds; 0 is without end. None, and nothing is counted, past a quota and
/// where the value is no counter. It needs the capability kv.
pub fn kv_incr(key: &[u8], delta: i64, ttl_ms: i64) -> Option<i64> {
    let n = unsafe { raw::kv_incr(key.as_ptr(), key.len(), delta, ttl_ms) };
    if n < 0 {
        return None;
    }
    Some(n)
}

/// What a list of the host says of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListAnswer {
    /// The list holds the key.
    Holds,
    /// The list does not hold the key.
    Lacks,
    /// The host has no such list, or the quota of calls is used up.
    Unknown,
}

/// Whether the host's list holds a key. It needs the capability lists.
pub fn list_has(list: &str, key: &str) -> ListAnswer {
    match unsafe { raw::list_has(list.as_ptr(), list.len(), key.as_ptr(), key.len()) } {
        1 => ListAnswer::Holds,
        0 => ListAnswer::Lacks,
        _ => ListAnswer::Unknown,
    }
}
