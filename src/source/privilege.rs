//! What this process may do on the host.

/// Whether it is root on the host itself, not only in a user namespace.
pub fn is_host_root() -> bool {
    rustix::process::geteuid().is_root()
        && std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| maps_all(&map))
}

/// Whether each user number stands for itself (user_namespaces(7)).
fn maps_all(map: &str) -> bool {
    let mut lines = map.lines();
    let all = lines
        .next()
        .is_some_and(|line| line.split_whitespace().eq(["0", "0", "4294967295"]));
    all && lines.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_with_a_map_of_its_own_is_told_apart() {
        assert!(maps_all("         0          0 4294967295\n"));
        for map in ["", "0 1000 1\n", "0 0 1\n", "0 0 4294967295\n1 1 1\n"] {
            assert!(!maps_all(map), "{map}");
        }
    }
}
