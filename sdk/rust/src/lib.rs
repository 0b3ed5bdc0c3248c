//! The Rust SDK for Knockgate policies: a policy author writes a type with two
//! functions and nothing of the ABI.
//!
//! ```ignore
//! #![no_std]
//! use knockgate::{policy, Knock, Phase, Policy, Settings, Verdict};
//!
//! struct AskWhy;
//!
//! impl Policy for AskWhy {
//!     fn configure(_: &Settings) -> Self {
//!         AskWhy
//!     }
//!     fn decide(&self, k: &Knock) -> Verdict {
//!         if k.phase() == Phase::SendKnock && k.reason().unwrap_or("").is_empty() {
//!             return Verdict::deny("Please say why you would like to join.");
//!         }
//!         Verdict::pass()
//!     }
//! }
//!
//! policy!(AskWhy);
//! ```
//!
//! There is no standard library: `alloc` has `String`, `Vec` and `format!`. One
//! instance serves one knock at a time; a panic is logged with its place and ends
//! the instance, and the host answers by the policy's on_error.
//!
//! The normative text of the ABI is sdk/README.md.
#![no_std]
#![warn(missing_docs)]
#![cfg_attr(feature = "before_1_68", feature(alloc_error_handler))]

extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

#[doc(hidden)]
pub mod guest;
#[cfg(all(target_arch = "wasm32", not(feature = "std")))]
mod heap;
mod host;
mod json;
mod knock;
mod settings;
mod verdict;

pub use host::{
    acl_allows, glob_match, kv_get, kv_incr, kv_put, list_has, log, now_ms, random, Level,
    ListAnswer,
};
pub use knock::{strip_port, Field, Knock, Phase};
pub use settings::{Item, Settings};
pub use verdict::{digits, Verdict};

/// A policy: what [`policy!`] makes the exports of.
pub trait Policy: Sized {
    /// Reads the settings, once in each instance. A setting that is wrong is told
    /// with the methods of `s`, most of which do it themselves; what is returned is
    /// then not used.
    fn configure(s: &Settings) -> Self;

    /// Judges one knock.
    fn decide(&self, k: &Knock) -> Verdict;
}

/// Makes a type the policy of the module. It stands once in a crate.
#[macro_export]
macro_rules! policy {
    ($policy:ty) => {
        static mut KNOCK_POLICY: $crate::guest::Instance<$policy> = $crate::guest::Instance::new();

        #[no_mangle]
        pub extern "C" fn knock_v1_buffer(size: u32) -> u32 {
            $crate::guest::buffer(size)
        }

        #[no_mangle]
        pub extern "C" fn knock_v1_configure(len: u32) -> u64 {
            // The host enters an instance once at a time.
            unsafe { (*core::ptr::addr_of_mut!(KNOCK_POLICY)).configure(len) }
        }

        #[no_mangle]
        pub extern "C" fn knock_v1_decide(len: u32) -> u64 {
            unsafe { (*core::ptr::addr_of_mut!(KNOCK_POLICY)).decide(len) }
        }
    };
}
