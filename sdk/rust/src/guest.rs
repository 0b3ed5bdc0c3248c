//! What is behind the exports: one instance of a module with its buffers.
use crate::knock::Knock;
use crate::settings::{self, Settings};
use crate::verdict::Verdict;
use crate::Policy;
use alloc::vec::Vec;
use core::ptr::addr_of_mut;

const MAX_FRAME: usize = 262_144;
pub(crate) const MAX_RESULT: usize = 16_384;

static mut FRAME: [u8; MAX_FRAME] = [0; MAX_FRAME];
static mut RESULT: Vec<u8> = Vec::new();

pub fn buffer(size: u32) -> u32 {
    if size as usize > MAX_FRAME {
        return 0;
    }
    #[allow(unused_unsafe)] // compilers before 1.77 want it
    unsafe {
        addr_of_mut!(FRAME) as usize as u32
    }
}

/// The first `len` bytes of the buffer; None if there are not as many. The host
/// writes there between calls, and nothing else does.
fn input(len: u32) -> Option<&'static [u8]> {
    if len as usize > MAX_FRAME {
        return None;
    }
    Some(unsafe { core::slice::from_raw_parts(addr_of_mut!(FRAME) as *const u8, len as usize) })
}

/// Keeps a result until the next call and returns where it is.
fn pack(write: impl FnOnce(&mut Vec<u8>)) -> u64 {
    let result = unsafe { &mut *addr_of_mut!(RESULT) };
    result.clear();
    write(result);
    (result.as_ptr() as usize as u64) << 32 | result.len() as u64
}

pub struct Instance<P> {
    policy: Option<P>,
    refused: bool,
}

impl<P> Instance<P> {
    #[allow(clippy::new_without_default)] // Default is not const
    pub const fn new() -> Self {
        Instance {
            policy: None,
            refused: false,
        }
    }
}

impl<P: Policy> Instance<P> {
    pub fn configure(&mut self, len: u32) -> u64 {
        match input(len) {
            Some(text) => self.load(text),
            None => pack(|out| settings::one_error(out, "the settings are too large")),
        }
    }

    fn load(&mut self, text: &[u8]) -> u64 {
        let mut loaded = None;
        let faults = settings::read(text, |s: &Settings| loaded = Some(P::configure(s)));
        self.refused = !faults.is_empty();
        self.policy = if self.refused { None } else { loaded };
        if self.refused {
            return pack(|out| settings::write_errors(out, &faults));
        }
        0
    }

    pub fn decide(&mut self, len: u32) -> u64 {
        if self.policy.is_none() && !self.refused {
            self.load(b"{}"); // a host that gives no settings means {}
        }
        let verdict = match (&self.policy, input(len).and_then(Knock::new)) {
            (None, _) => Verdict::error("the policy has not accepted its settings"),
            (_, None) => Verdict::error("the request frame is not valid"),
            (Some(policy), Some(knock)) => policy.decide(&knock),
        };
        match verdict.inline() {
            Some(number) => number,
            None => pack(|out| verdict.write(out)),
        }
    }
}
