//! Choosing images by their names.

use super::is_meant;

#[test]
fn a_name_is_meant_by_its_end() {
    let name = "docker.io/library/debian:12";
    for wanted in ["12", "debian:12", "library/debian:12", name] {
        assert!(is_meant(name, wanted), "{wanted}");
    }
    for wanted in ["2", "ebian:12", "docker.io", "debian"] {
        assert!(!is_meant(name, wanted), "{wanted}");
    }
}
