//! Resource controls as administrators of AIX write them.

use super::*;

fn said(pairs: &[&str]) -> Result<Resources, ResourceError> {
    let mut resources = Resources::default();
    resources.set(pairs)?;
    Ok(resources)
}

/// As an administrator of AIX writes them.
const USUAL: [&str; 12] = [
    "active=yes",
    "rset=0-1,3",
    "shares_CPU=40",
    "CPU=5%-10%,50%",
    "memory=0%-50%,60%",
    "procVirtMem=512MB",
    "totalVirtMem=2GB",
    "totalProcesses=400",
    "totalPTYs=16",
    "ioRead=50MB/s",
    "ioWrite=512KB/s",
    "ioWeight=40",
];

#[test]
fn what_is_said_is_shown_and_said_again() {
    let resources = said(&USUAL).unwrap();
    for pair in USUAL {
        let (key, value) = pair.split_once('=').unwrap();
        assert_eq!(resources.value(key, Some(4096)), value);
    }
    assert_eq!(resources.value("totalThreads", None), "unlimited");
    assert_eq!(resources.value("pct_semIDs", None), "100%");
    let again = said(
        &resources
            .pairs()
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    );
    assert_eq!(again.unwrap(), resources);
    let json = serde_json::to_string(&resources).unwrap();
    assert_eq!(serde_json::from_str::<Resources>(&json).unwrap(), resources);
}

#[test]
fn nothing_said_is_as_aix_shows_it_but_for_the_processes() {
    let none = Resources::default();
    let shown: Vec<_> = KEYS.iter().map(|key| none.value(key, Some(4096))).collect();
    assert_eq!(
        shown.join(":"),
        "yes::unlimited:0%-100%,100%:unlimited:0%-100%,100%:unlimited:unlimited:4096:unlimited:\
         unlimited:unlimited:100%:100%:100%:100%:unlimited:unlimited:unlimited"
    );
    assert!(none.pairs().is_empty() && none.is_default());
    // Said as it is anyway, it is not said.
    let same = [
        "CPU=0%-100%,100%",
        "memory=0%-100%,100%",
        "shares_CPU=unlimited",
        "rset=",
    ];
    assert!(said(&same).unwrap().is_default());
    // No limit at all is not the default.
    let open = said(&["totalProcesses=unlimited"]).unwrap();
    assert_eq!(open.value("totalProcesses", Some(4096)), "unlimited");
    assert_eq!(open.pairs(), ["totalProcesses=unlimited"]);
}

#[test]
fn each_control_goes_back_to_its_default() {
    let mut resources = said(&USUAL).unwrap();
    resources.set(&["active=no", "totalThreads=900"]).unwrap();
    resources.reset(&["CPU"]).unwrap();
    assert_eq!(resources.cpu, None);
    assert_eq!(resources.shares_cpu, Some(40));
    resources.reset(&KEYS).unwrap();
    assert!(resources.is_default());
    let unknown = ResourceError::Unknown("cpus".to_owned());
    assert_eq!(resources.reset(&["cpus"]), Err(unknown));
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    for (pair, says) in [
        ("CPU", "name=value"),
        ("cpu=1", "no resource control 'cpu'"),
        ("active=true", "'yes' or 'no'"),
        ("rset=a", "list of processors"),
        ("rset=3-1", "list of processors"),
        ("shares_CPU=0", "1 to 65535"),
        ("shares_CPU=65536", "1 to 65535"),
        ("shares_CPU=99999999999", "1 to 65535"),
        ("CPU=50", "MIN%-SOFT%,HARD%"),
        ("CPU=60%-50%,100%", "must not fall"),
        ("CPU=0%-50%,101%", "MIN%-SOFT%,HARD%"),
        ("CPU=0%-0%,0%", "more than 0%"),
        ("memory=1K", "4M"),
        ("memory=-1M", "MIN%-SOFT%,HARD%"),
        ("procVirtMem=12", "suffix"),
        ("totalVirtMem=18446744073709551615GB", "suffix"),
        ("totalProcesses=0", "from 8 up"),
        ("totalThreads=+9", "from 8 up"),
        ("totalPTYs=0", "from 1 up"),
        ("ioRead=50", "50MB/s"),
        ("ioWrite=1K/s", "64K/s"),
        ("ioWeight=1001", "1 to 1000"),
        ("shares_memory=10", "no shares of memory"),
        ("totalLargePages=4", "large pages"),
        ("pct_msgIDs=50%", "IPC"),
        ("pct_pinMem=10%", "memory="),
    ] {
        let error = said(&[pair]).expect_err(pair).to_string();
        assert!(error.contains(says), "{pair}: {error}");
    }
    // What is so anyway may be said.
    said(&["shares_memory=unlimited", "pct_semIDs=100%"]).unwrap();
}
