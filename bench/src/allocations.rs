//! Counting what a piece of code allocates.
//!
//! ```
//! use bench::allocations::{Counting, Count};
//! #[global_allocator]
//! static ALLOCATOR: Counting = Counting;
//! assert_eq!(Count::of(|| Box::new(7)).times, 1);
//! ```
#![expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counted by thread.
#[derive(Debug)]
pub struct Counting;

/// Calls that got memory, and the bytes they asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// `malloc`, `calloc` and `realloc`.
    pub times: u64,
    /// In all; what was freed meanwhile is not taken off.
    pub bytes: u64,
}

thread_local! {
    static SO_FAR: Cell<Count> = const { Cell::new(Count { times: 0, bytes: 0 }) };
}

impl Count {
    /// What `work` allocates on this thread. Zero in a program whose allocator is not [`Counting`].
    pub fn of<T>(work: impl FnOnce() -> T) -> Self {
        let before = SO_FAR.get();
        let result = work();
        let after = SO_FAR.get();
        drop(result);
        Self { times: after.times - before.times, bytes: after.bytes - before.bytes }
    }
}

fn note(bytes: usize) {
    // A thread that is ending has no counter any more.
    let _ = SO_FAR.try_with(|so_far| {
        let Count { times, bytes: sum } = so_far.get();
        so_far.set(Count { times: times + 1, bytes: sum + bytes as u64 });
    });
}

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        unsafe { System.realloc(memory, layout, size) }
    }
}
