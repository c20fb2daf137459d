//! A map from inode numbers to small values that takes little more memory than they do.
//!
//! What the kernel knows is remembered number by number, a million of them at a time. The standard
//! map doubles: just after that half of it is empty, and while it does it is there one and a half
//! times. This one grows by a quarter, and never has an eighth of its places less than it needs.
//! Open addressing, linear probing; a removal moves what follows back, so nothing is left behind.
//!
//! The number 0 is no inode's: it stands for an empty place, and cannot be put in.

/// The map. See the module.
#[derive(Debug)]
pub(crate) struct NumberMap<V> {
    /// 0 where nothing is.
    keys: Vec<u64>,
    values: Vec<V>,
    len: usize,
}

impl<V> Default for NumberMap<V> {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            values: Vec::new(),
            len: 0,
        }
    }
}

/// Places of the smallest map that has any.
const SMALLEST: usize = 8;

impl<V: Copy + Default> NumberMap<V> {
    /// How many numbers are in it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many numbers fit without growing.
    pub(crate) fn capacity(&self) -> usize {
        room(self.keys.len())
    }

    /// The value of `key`.
    pub(crate) fn get(&self, key: &u64) -> Option<&V> {
        self.values.get(self.find(*key)?)
    }

    /// The value of `key`, to be changed.
    pub(crate) fn get_mut(&mut self, key: &u64) -> Option<&mut V> {
        let at = self.find(*key)?;
        self.values.get_mut(at)
    }

    /// Puts `value` in the place of what `key` had.
    pub(crate) fn insert(&mut self, key: u64, value: V) {
        if let Some(old) = self.get_mut(&key) {
            *old = value;
        } else if key != 0 {
            if self.len >= self.capacity() {
                let places = self.keys.len();
                self.rebuild((places + places / 4).max(SMALLEST));
            }
            self.put(key, value);
        }
    }

    /// Takes `key` out, and returns its value.
    pub(crate) fn remove(&mut self, key: &u64) -> Option<V> {
        let at = self.find(*key)?;
        let value = self.values.get(at).copied();
        self.len -= 1;
        self.close(at);
        value
    }

    /// All numbers, in no order.
    #[allow(dead_code, reason = "a map has them, and its tests ask")]
    pub(crate) fn keys(&self) -> impl Iterator<Item = &u64> {
        self.keys.iter().filter(|key| **key != 0)
    }

    /// All values, in no order.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        let taken = self.keys.iter().map(|key| *key != 0);
        let values = self.values.iter_mut().zip(taken);
        values.filter_map(|(value, taken)| taken.then_some(value))
    }

    /// Gives memory back, but for that of `capacity` numbers.
    pub(crate) fn shrink_to(&mut self, capacity: usize) {
        let wanted = capacity.max(self.len);
        let places = (wanted + wanted / 4).max(SMALLEST);
        if places < self.keys.len() {
            self.rebuild(places);
        }
    }

    /// Where `key` would be if nothing else were there.
    fn home(&self, key: u64) -> usize {
        let mixed = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // The product's upper half spreads evenly over any number of places.
        ((u128::from(mixed) * self.keys.len() as u128) >> 64) as usize
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 == self.keys.len() { 0 } else { at + 1 }
    }

    fn key(&self, at: usize) -> u64 {
        self.keys.get(at).copied().unwrap_or(0)
    }

    fn find(&self, key: u64) -> Option<usize> {
        if key == 0 || self.len == 0 {
            return None;
        }
        let mut at = self.home(key);
        // There is always an empty place, so this ends.
        loop {
            match self.key(at) {
                0 => return None,
                found if found == key => return Some(at),
                _ => at = self.next(at),
            }
        }
    }

    /// Puts in what is not there, where there is room.
    fn put(&mut self, key: u64, value: V) {
        let mut at = self.home(key);
        while self.key(at) != 0 {
            at = self.next(at);
        }
        self.set(at, key, value);
        self.len += 1;
    }

    fn set(&mut self, at: usize, key: u64, value: V) {
        if let (Some(key_there), Some(value_there)) =
            (self.keys.get_mut(at), self.values.get_mut(at))
        {
            (*key_there, *value_there) = (key, value);
        }
    }

    /// Empties a place, and moves up what would not be found any more.
    fn close(&mut self, mut hole: usize) {
        let places = self.keys.len();
        let distance = |from: usize, to: usize| (to + places - from) % places;
        let mut at = self.next(hole);
        while self.key(at) != 0 {
            let home = self.home(self.key(at));
            if distance(home, at) >= distance(hole, at) {
                let value = self.values.get(at).copied().unwrap_or_default();
                self.set(hole, self.key(at), value);
                hole = at;
            }
            at = self.next(at);
        }
        self.set(hole, 0, V::default());
    }

    fn rebuild(&mut self, places: usize) {
        let keys = std::mem::replace(&mut self.keys, vec![0; places]);
        let values = std::mem::replace(&mut self.values, vec![V::default(); places]);
        self.len = 0;
        for (key, value) in keys.into_iter().zip(values) {
            if key != 0 {
                self.put(key, value);
            }
        }
    }
}

/// How many numbers may be in so many places; always one fewer at least.
fn room(places: usize) -> usize {
    places - places.div_ceil(8)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_does_what_any_map_does() {
        let mut map = NumberMap::default();
        let mut expected = BTreeMap::new();
        let mut state = 1_u64;
        for step in 0..200_000_u32 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // Few numbers, some of which lie far apart.
            let key = 1 + (state >> 40) % 700;
            let key = if state & 4096 == 0 {
                key
            } else {
                key << 50 | 1
            };
            match state >> 33 & 3 {
                0 | 1 if step % 9000 < 6000 => {
                    map.insert(key, step);
                    expected.insert(key, step);
                }
                2 => {
                    if let Some(value) = map.get_mut(&key) {
                        *value += 1;
                        *expected.get_mut(&key).unwrap() += 1;
                    }
                }
                _ => assert_eq!(map.remove(&key), expected.remove(&key)),
            }
            if step % 5000 == 0 {
                map.shrink_to(map.len() * 2);
            }
            assert_eq!(map.len(), expected.len());
            assert_eq!(map.get(&key), expected.get(&key));
            if step % 500 == 0 {
                let mut keys: Vec<_> = map.keys().copied().collect();
                keys.sort_unstable();
                assert!(keys.iter().eq(expected.keys()));
                assert!(keys.iter().all(|key| map.get(key) == expected.get(key)));
                assert_eq!(map.values_mut().count(), expected.len());
            }
        }
        assert_eq!(map.get(&0), None);
        map.insert(0, 1);
        assert_eq!(map.get(&0), None, "no inode has this number");
    }

    #[test]
    fn it_is_never_much_larger_than_what_is_in_it() {
        let mut map = NumberMap::default();
        for number in 1..200_000_u64 {
            map.insert(number, 0_u32);
            let places = map.keys.len();
            assert!(
                places <= SMALLEST.max(map.len() * 3 / 2 + 2),
                "{places} for {number}"
            );
            assert_eq!((map.keys.capacity(), map.values.len()), (places, places));
        }
    }
}
