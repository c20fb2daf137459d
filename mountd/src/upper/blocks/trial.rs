//! Where a test can stop the host, call by call.
//!
//! Each call that changes a partly copied file or its map is announced here first. Outside of
//! tests this is nothing.

/// What is about to happen, or, of the two syncs, has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Data of the lower goes into the store's file.
    Fill,
    /// Data of a program goes there, or a range of it is emptied.
    Data,
    /// The store's file gets another size.
    Resize,
    /// An entry is appended to the log.
    Log,
    /// The store's file is synced.
    SyncData,
    /// It was.
    DataSynced,
    /// A page of the map is written.
    WriteMap,
    /// The map is synced.
    SyncMap,
    /// It was.
    MapSynced,
    /// The state is written.
    State,
}

#[cfg(not(test))]
#[inline]
pub(crate) fn announce(_: Call) -> crate::error::FsResult<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) use hook::{announce, with};

#[cfg(test)]
mod hook {
    use std::cell::RefCell;

    use super::Call;
    use crate::error::FsResult;

    type Hook = Box<dyn FnMut(Call) -> FsResult<()>>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    pub(crate) fn announce(call: Call) -> FsResult<()> {
        HOOK.with_borrow_mut(|hook| hook.as_mut().map_or(Ok(()), |hook| hook(call)))
    }

    /// Runs `body` with `hook` asked before each call of this thread.
    pub(crate) fn with<T>(
        hook: impl FnMut(Call) -> FsResult<()> + 'static,
        body: impl FnOnce() -> T,
    ) -> T {
        HOOK.set(Some(Box::new(hook)));
        let result = body();
        HOOK.set(None);
        result
    }
}
