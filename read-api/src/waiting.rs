//! Places of reads that wait for their position: so many in all, and half of them for one principal. A client that makes
//! positions up keeps its own reads waiting, and nobody else's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The places of one process.
pub(crate) struct WaitingRoom {
    places: usize,
    places_each: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// Only those that wait are in it.
    by_principal: HashMap<String, usize>,
}

impl WaitingRoom {
    /// With so many places.
    pub(crate) fn new(places: usize) -> Self {
        Self { places, places_each: places.div_ceil(2), taken: Mutex::default() }
    }

    /// A place, if there is one for this principal.
    pub(crate) fn enter(self: &Arc<Self>, principal: &str) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.by_principal.get(principal).copied().unwrap_or(0);
        if taken.all >= self.places || own >= self.places_each {
            return None;
        }
        taken.all += 1;
        taken.by_principal.insert(principal.to_owned(), own + 1);
        Some(Place { room: self.clone(), principal: principal.to_owned() })
    }
}

/// One place; free again when it is dropped.
pub(crate) struct Place {
    room: Arc<WaitingRoom>,
    principal: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        if let Some(own) = taken.by_principal.get_mut(&self.principal) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.by_principal.remove(&self.principal);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_principal_takes_half_of_the_places_and_leaves_no_trace() {
        let room = Arc::new(WaitingRoom::new(4));
        let own = [room.enter("a"), room.enter("a")];
        assert!(own.iter().all(Option::is_some) && room.enter("a").is_none());
        let others = [room.enter("b"), room.enter("c")];
        assert!(others.iter().all(Option::is_some) && room.enter("d").is_none(), "all are taken");
        drop((own, others));
        let taken = room.taken.lock().unwrap();
        assert!(taken.all == 0 && taken.by_principal.is_empty());
    }
}
