//! The allocator and the panic handler of a module without Rust's standard library.
use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size, unreachable};
use core::ptr::{addr_of_mut, null_mut};

/// Blocks are powers of two from 16 bytes; freed ones wait in a list of their size.
/// Nothing is given back to the host, which replaces instances that grew.
struct Heap;

const SMALLEST: u32 = 4;
const PAGE: usize = 65_536;

static mut FREE: [*mut u8; 32] = [null_mut(); 32];
static mut NEXT: usize = 0;

extern "C" {
    static __heap_base: u8;
}

fn class(layout: Layout) -> u32 {
    let size = layout.size().max(1 << SMALLEST);
    usize::BITS - (size - 1).leading_zeros()
}

// There is one thread.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let class = class(layout);
        if class > 30 || layout.align() > 16 {
            return null_mut(); // as if there were no more memory
        }
        let list = addr_of_mut!(FREE).cast::<*mut u8>().add(class as usize);
        let block = *list;
        if !block.is_null() {
            *list = *(block as *mut *mut u8);
            return block;
        }
        if NEXT == 0 {
            NEXT = &__heap_base as *const u8 as usize;
        }
        let start = (NEXT + 15) & !15;
        let end = match start.checked_add(1 << class) {
            Some(end) => end,
            None => return null_mut(),
        };
        let have = memory_size(0) * PAGE;
        if end > have && memory_grow(0, (end - have + PAGE - 1) / PAGE) == usize::MAX {
            return null_mut();
        }
        NEXT = end;
        start as *mut u8
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let list = addr_of_mut!(FREE)
            .cast::<*mut u8>()
            .add(class(layout) as usize);
        *(block as *mut *mut u8) = *list;
        *list = block;
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let wanted = Layout::from_size_align_unchecked(size, layout.align());
        if class(wanted) == class(layout) {
            return block;
        }
        let new = self.alloc(wanted);
        if !new.is_null() {
            core::ptr::copy_nonoverlapping(block, new, layout.size().min(size));
            self.dealloc(block, layout);
        }
        new
    }
}

#[global_allocator]
static HEAP: Heap = Heap;

/// What later compilers do by themselves.
#[cfg(feature = "before_1_68")]
#[alloc_error_handler]
fn full(_: Layout) -> ! {
    panic!("there is no more memory")
}

/// Logs where it happened, without the words: to format them would make every
/// module larger.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    let mut line = [0; 128];
    let mut n = 0;
    let mut put = |text: &[u8]| {
        for &b in text {
            if n < line.len() {
                line[n] = b;
                n += 1;
            }
        }
    };
    put(b"panicked");
    if let Some(place) = info.location() {
        let mut digits = [0; 10];
        let mut at = digits.len();
        let mut number = place.line();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        put(b" at line ");
        put(&digits[at..]);
        put(b" of ");
        put(place.file().as_bytes());
    }
    crate::host::log_bytes(3, &line[..n]);
    unreachable()
}
