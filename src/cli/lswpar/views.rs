//! What a WPAR has several of, or properties of one kind: one table of columns for each view of AIX.
//!
//! The names of the columns are those of `-c`, the headings those of the tables. Both are read by
//! programs and are not changed.

use super::fields;
use super::row::Row;
use crate::cli::error::{CliError, CliResult};
use crate::launch::TASKS;
use crate::model::base::USR_PARTS;
use crate::model::network::{Address, Mode, Route};
use crate::model::resources::KEYS;

/// A view.
#[derive(Debug)]
pub(super) struct View {
    /// The section of `-L` that shows the same.
    pub(super) title: &'static str,
    /// Name and heading of each column; the first is the WPAR's name.
    columns: &'static [(&'static str, &'static str)],
    /// The objects of a WPAR, without its name.
    objects: fn(&Row) -> Vec<Vec<String>>,
}

/// What a WPAR finds in its `/dev`, whatever its source has there.
const DEVICES: &[&str] = &[
    "/dev/full",
    "/dev/null",
    "/dev/ptmx",
    "/dev/random",
    "/dev/tty",
    "/dev/urandom",
    "/dev/zero",
];

/// `-N`.
pub(super) static NETWORK: View = View {
    title: "NETWORK",
    columns: &[
        ("name", "Name"),
        ("interface", "Interface"),
        ("address", "Address(6)"),
        ("mask_prefix", "Mask/Prefix"),
        ("broadcast", "Broadcast"),
    ],
    objects: |row| {
        let network = row.record.as_ref().map(|record| &record.network);
        let addresses = network.map_or(&[][..], |network| &network.addresses);
        let object = |address: &Address| {
            let interface = address.interface.as_ref();
            vec![
                interface.map(ToString::to_string).unwrap_or_default(),
                address.address.to_string(),
                address.mask(),
                address
                    .broadcast
                    .map(|broadcast| broadcast.to_string())
                    .unwrap_or_default(),
            ]
        };
        match addresses {
            // What the host has is not its own.
            [] if network.is_some_and(|network| network.mode() == Mode::Shared) => Vec::new(),
            // Its own loopback is all that a WPAR without an address has.
            [] => of_record(row, &[&["lo", "127.0.0.1", "255.0.0.0", ""]]),
            addresses => addresses.iter().map(object).collect(),
        }
    },
};

/// `-I`.
pub(super) static ROUTES: View = View {
    title: "USER-SPECIFIED ROUTES",
    columns: &[
        ("name", "Name"),
        ("rttype", "Type"),
        ("rtdest", "Destination"),
        ("rtgateway", "Gateway"),
        ("rtinterface", "Interface"),
    ],
    objects: |row| {
        let network = row.record.as_ref().map(|record| &record.network);
        let routes = network.map_or(&[][..], |network| &network.routes);
        let object = |route: &Route| {
            let interface = route.interface.as_ref();
            vec![
                route.kind().to_owned(),
                route.destination.to_string(),
                route.gateway.to_string(),
                interface.map(ToString::to_string).unwrap_or_default(),
            ]
        };
        routes.iter().map(object).collect()
    },
};

/// `-M`.
pub(super) static FILE_SYSTEMS: View = View {
    title: "FILE SYSTEMS",
    columns: &[
        ("name", "Name"),
        ("mountpoint", "MountPoint"),
        ("device", "Device"),
        ("vfs", "Vfs"),
        ("nodename", "Nodename"),
        ("options", "Options"),
    ],
    objects: |row| {
        let device = row.record.as_ref().map(fields::source).unwrap_or_default();
        let options = row
            .record
            .as_ref()
            .map_or_else(|| "rw".to_owned(), fields::options);
        let mut rows = of_record(row, &[&["/", &device, "wpar", "", &options]]);
        let base = row.record.as_ref().and_then(|record| record.base.as_ref());
        for base in base.into_iter().filter(|base| !base.private) {
            rows.extend(USR_PARTS.map(|point| {
                let from = base.system.root().join(point).display().to_string();
                vec![
                    format!("/{point}"),
                    from,
                    "namefs".to_owned(),
                    String::new(),
                    "ro".to_owned(),
                ]
            }));
        }
        rows
    },
};

/// `-D`.
pub(super) static DEVICE_EXPORTS: View = View {
    title: "DEVICE EXPORTS",
    columns: &[
        ("name", "Name"),
        ("devname", "Device Name"),
        ("devtype", "Type"),
        ("vdevname", "Virtual Device"),
        ("devstatus", "Status"),
        ("devid", "ID"),
        ("rootvg", "RootVG"),
        ("adapter", "Adapter"),
    ],
    objects: |row| {
        let device =
            |name: &&str| [*name, "pseudo", "", "EXPORTED", "", "no", ""].map(str::to_owned);
        DEVICES
            .iter()
            .filter(|_| row.record.is_some())
            .map(|name| device(name).to_vec())
            .collect()
    },
};

/// `-X`.
pub(super) static KERNEL_EXTENSIONS: View = View {
    title: "KERNEL EXTENSIONS",
    columns: &[
        ("name", "Name"),
        ("kext", "Kernel Extension"),
        ("local", "Local"),
        ("major", "Major"),
        ("status", "Status"),
    ],
    objects: |_| Vec::new(),
};

/// `-b`: disks to start from. No WPAR has a disk of its own.
pub(super) static BOOT_SETS: View = View {
    title: "BOOT SETS",
    columns: &[
        ("name", "Name"),
        ("bootset", "Bootset"),
        ("devname", "Device Name"),
    ],
    objects: |_| Vec::new(),
};

/// `-R`.
pub(super) static RESOURCES: View = View {
    title: "RESOURCE CONTROLS",
    columns: &[
        ("name", "Name"),
        ("state", "State"),
        ("active", "Active"),
        ("rset", "Resource Set"),
        ("shares_CPU", "CPU Shares"),
        ("CPU", "CPU Limits"),
        ("shares_memory", "Memory Shares"),
        ("memory", "Memory Limits"),
        ("procVirtMem", "Per-Process Virtual Memory Limit"),
        ("totalVirtMem", "Total Virtual Memory Limit"),
        ("totalProcesses", "Total Processes"),
        ("totalThreads", "Total Threads"),
        ("totalPTYs", "Total PTYs"),
        ("totalLargePages", "Total Large Pages"),
        ("pct_msgIDs", "Max Message Queue IDs"),
        ("pct_semIDs", "Max Semaphore IDs"),
        ("pct_shmIDs", "Max Shared Memory IDs"),
        ("pct_pinMem", "Max Pinned Memory"),
        ("ioRead", "Disk Read Limit"),
        ("ioWrite", "Disk Write Limit"),
        ("ioWeight", "Disk Weight"),
    ],
    objects: |row| {
        let resources = row.record.as_ref().map(|record| record.resources.clone());
        let resources = resources.unwrap_or_default();
        let state = row.state.letter().to_string();
        let values = KEYS.iter().map(|key| resources.value(key, Some(TASKS)));
        vec![std::iter::once(state).chain(values).collect()]
    },
};

/// `-S`.
pub(super) static SECURITY: View = View {
    title: "SECURITY SETTINGS",
    columns: &[
        ("name", "Name"),
        ("state", "State"),
        ("privs", "Privileges"),
    ],
    objects: |row| {
        let privileges = row.record.as_ref().map(|record| record.privileges.names());
        vec![vec![
            row.state.letter().to_string(),
            privileges.unwrap_or_default().join(","),
        ]]
    },
};

/// `-T`.
pub(super) static COPY_CONTROLS: View = View {
    title: "COPY CONTROLS",
    columns: &[
        ("name", "Name"),
        ("state", "State"),
        ("preserve_private", "Preserve Private"),
        ("preserve_wpars", "Preserve WPARs"),
    ],
    objects: |row| {
        let word = |value: bool| if value { "yes" } else { "no" }.to_owned();
        let controls = row.record.as_ref().map(|record| record.copy_controls);
        let controls = controls.unwrap_or_default();
        vec![vec![
            row.state.letter().to_string(),
            word(controls.preserve_private),
            word(controls.preserve_wpars),
        ]]
    },
};

/// These objects, if the record can be read.
fn of_record(row: &Row, objects: &[&[&str]]) -> Vec<Vec<String>> {
    let object = |cells: &&[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
    let known = objects.iter().filter(|_| row.record.is_some());
    known.map(object).collect()
}

impl View {
    /// Places of the columns that are called `names`, of all if there are none.
    ///
    /// # Errors
    /// A name that no column has.
    pub(super) fn places(&self, names: &[String]) -> CliResult<Vec<usize>> {
        if names.is_empty() {
            return Ok((0..self.columns.len()).collect());
        }
        let place = |wanted: &String| {
            let wanted = wanted.trim();
            let found = self.columns.iter().position(|(name, _)| *name == wanted);
            found.ok_or_else(|| {
                let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
                CliError::usage(format!("this view has no field '{wanted}'"))
                    .hint(format!("there are {}", names.join(", ")))
            })
        };
        names.iter().map(place).collect()
    }

    /// Names of these columns, as of `-c`.
    pub(super) fn names(&self, places: &[usize]) -> Vec<&'static str> {
        let columns = places.iter().filter_map(|&at| self.columns.get(at));
        columns.map(|(name, _)| *name).collect()
    }

    /// Headings of these columns.
    pub(super) fn headings(&self, places: &[usize]) -> Vec<&'static str> {
        let columns = places.iter().filter_map(|&at| self.columns.get(at));
        columns.map(|(_, heading)| *heading).collect()
    }

    /// The cells of these columns of all objects of all rows.
    pub(super) fn cells(&self, rows: &[Row], places: &[usize]) -> Vec<Vec<String>> {
        let pick = |whole: Vec<String>| -> Vec<String> {
            places
                .iter()
                .map(|&at| whole.get(at).cloned().unwrap_or_default())
                .collect()
        };
        let of = |row: &Row| -> Vec<Vec<String>> {
            let named = |object| [vec![row.name.to_string()], object].concat();
            (self.objects)(row)
                .into_iter()
                .map(|object| pick(named(object)))
                .collect()
        };
        rows.iter().flat_map(of).collect()
    }

    /// Headings and values of the only object of a WPAR, but for its name and state.
    pub(super) fn properties(&self, row: &Row) -> Vec<(&'static str, String)> {
        let mut objects = (self.objects)(row);
        let values = objects.pop().unwrap_or_default();
        let columns = self.columns.iter().skip(1).zip(values);
        columns
            .filter(|((name, _), _)| *name != "state")
            .map(|((_, heading), value)| (*heading, value))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_those_of_aix_in_its_order() {
        for (view, names) in [
            (&NETWORK, "name:interface:address:mask_prefix:broadcast"),
            (
                &DEVICE_EXPORTS,
                "name:devname:devtype:vdevname:devstatus:devid:rootvg:adapter",
            ),
            (&FILE_SYSTEMS, "name:mountpoint:device:vfs:nodename:options"),
            (
                &RESOURCES,
                "name:state:active:rset:shares_CPU:CPU:shares_memory:memory:procVirtMem:\
                 totalVirtMem:totalProcesses:totalThreads:totalPTYs:totalLargePages:pct_msgIDs:\
                 pct_semIDs:pct_shmIDs:pct_pinMem:ioRead:ioWrite:ioWeight",
            ),
            (&SECURITY, "name:state:privs"),
        ] {
            let all = view.places(&[]).unwrap();
            assert_eq!(view.names(&all).join(":"), names, "{}", view.title);
        }
    }
}
