//! What the manual and `--help` say of `mkwpar`.

use crate::cli::verbs::Words;

pub(super) const WORDS: Words = Words {
    name: "mkwpar",
    about: "Make a workload partition from a backup image or from the running system",
    description: "With -t, makes a system copy WPAR: one that starts as everything that the source \
        contains, users, software and settings, with a host name and a machine-id of its own. \
        Nothing is copied: the source is shown underneath, read-only, and what the WPAR changes \
        goes to a store of its own. The source is never written.\n\n\
        The source is what -B names, or the running system. What -B names is told by its \
        contents: a tar archive of a system (plain or compressed), which is indexed when it is used for \
        the first time; a file system in a file (squashfs, EROFS, ext2 to ext4, XFS, btrfs) or a \
        disk image with a partition table, which the kernel shows read-only, without replaying \
        its journal; or a directory with etc and usr. Other kinds of backups are refused, with \
        the command that makes them usable. The source must stay where it is, unchanged, as long as \
        WPARs of it exist.\n\n\
        Of the running system the root volume group is taken: the file system of /, those mounted at \
        or below /usr, /var, /opt, /etc and /root, and those on the same volume group, pool or disks \
        as /. Not taken are file systems on other disks, on servers and of other processes, what is \
        mounted below /boot, /media, /mnt and /run, temporary files, swap files and other partitions. \
        -T include=/data takes the file system that is mounted there along, -T exclude=/srv/cache \
        leaves something out; both can be repeated, with several paths divided by commas. -v lists \
        what is taken, what is not, and why. It is decided once: a file system that was part of the \
        copy must be mounted when it is started, one that is mounted later is no part of it.\n\n\
        How such a copy stands to what the system does later is told by one word (lswpar -L, and \
        'wpar hydrate --status'). It is exact, the system at one moment, if snapshots of all that is in \
        it can be taken: where each file system is a subvolume of btrfs, ZFS, or on a thin volume of LVM. \
        They are called wpar-NAME-TIME and go with the WPAR; until then they keep what the system \
        removes. Otherwise it is live: a file shows the host's present version until the WPAR writes it. \
        -T snapshot=require makes no other copy than an exact one, snapshot=no none of snapshots, and \
        -T source=DIR takes a snapshot of / that is mounted there, with what is mounted in it. With \
        -T hydrate=yes a live copy is copied whole in the background while it runs, and then is \
        file-consistent; see 'wpar hydrate'. That is not done unasked, because it takes the space and \
        the reading of a full copy. Of a live copy, processes that write to data bases are named.\n\n\
        Filesets (packages) that act on kernel, boot or hardware by themselves are private: they \
        are not visible in the WPAR, neither their files nor their records, and its package \
        manager does not install them again. One that a visible fileset needs stays. \
        'lswpar --filesets' tells which and why. /etc/wpars/private.d/*.list, on the host and \
        in the source, add to the private list: one shell pattern to a line, !PATTERN for what \
        is never private, # for comments. -T preserve_private=yes keeps everything.\n\n\
        With -M the WPAR can take only so much of the host's disk: size limits the space of what \
        it writes, inodes the number of files. What the source has counts nothing until it is \
        changed. Inside, df shows the limits, and beyond them there is no space left on the \
        device. A size is a number with K, M, G or T (powers of 1024), or one of 512-byte \
        blocks; 'unlimited' takes a limit away that a kept store had.\n\n\
        A copy of a backup starts if it is at the level of this host (oslevel). With -C it is a \
        versioned WPAR, type L, which may run at a level of its own: an old release, unchanged, on \
        this kernel, or a newer one. What the kernel or the processor cannot run is refused at the \
        start in any case.\n\n\
        Without -t it is a standard WPAR: a fresh system of the packages that the running one has. It shares \
        /usr and /opt, read-only: what is upgraded on the host is upgraded in it. The rest is its own, and is \
        made of what the packages have outside of /usr and /opt: directories, configuration files as \
        they are on the host (a note names those that were changed there), services as they are enabled, \
        accounts of the system without passwords. Of people, of the administrator and of programs there is \
        nothing: /home, /root, /srv, /tmp and /var/log begin empty. When packages of the host have changed, \
        'syncwpar' brings that part to their level. With -l it has a /usr and /opt of its own, \
        which it can change; nothing is copied for it. --usr-from names a directory with a system, \
        whose /usr and /opt are taken in place of those of the running one.\n\n\
        A copy of a backup shares /usr and /opt too if the backup has none (made with 'mksysb -x'), or with \
        --shared. It must have the same packages there, private ones apart: else one \
        without /usr is refused, and one with it has its own, as without --shared.\n\n\
        Without an address a WPAR has the loopback interface alone. With -N address= or address6= it has \
        a network stack of its own, and the host answers for the address at the interface that is named \
        or whose subnet the address is in (mode=alias): on the network it is one more machine, with all \
        ports its own. -N mode=nat gives it a private address behind the host's instead; \
        publish=8080:80/tcp leads port 8080 of the host to its port 80 (this needs nft; from the host \
        itself the port is reached by any address but 127.0.0.1). -N mode=shared gives it the host's own \
        stack, which it cannot change; with address= it is held to that, which is added to the host's interface unless \
        it is there: programs that listen everywhere listen there, other addresses are refused, what it connects to \
        sees that address, all its ports can be used, and 127.0.0.1 is an address of its own, at which \
        what listens everywhere inside is not, and what listens everywhere on the host is: programs of the host that \
        trust 127.0.0.0/8 trust the WPAR. Programs that insist on all IPv6 addresses need one. A host that cannot hold \
        it to its address does not start it (Linux 6.1 or later can). Without address= nothing \
        confines it to some of the host's addresses, and ports below 1024 are the host's. Abstract sockets are common \
        to both. Each -N is one address. The host passes on between the WPAR \
        and that interface alone, by its own routes; with -i only into the subnets of the addresses and by the \
        routes of -I. A WPAR with a network gets the host's name servers, but for those on the \
        host itself; what its administrator writes into /etc/resolv.conf stays. A host name of -h that \
        /etc/hosts gives an address of one of the host's subnets has that address. The firewall of the \
        host may forbid what is passed on.\n\n\
        With -R it gets only so much of the host: memory=MIN%-SOFT%,HARD% of its memory or a size, \
        totalVirtMem (with swap space) and procVirtMem (of each process), CPU=MIN%-SOFT%,HARD% of all \
        its processors (of which the last is enforced), shares_CPU against others (100 is usual), rset for \
        the processors themselves (0-3,6), totalProcesses and totalThreads (the kernel counts threads, and the \
        smaller holds; 4096 if neither is said) and totalPTYs; ioRead=50MB/s and ioWrite= from and to each disk of the \
        host, and ioWeight (100 is usual) where the scheduler of the disks has weights. active=no lifts all but the 4096. A limit that the host \
        has no control group controller for keeps the WPAR from starting.\n\n\
        Settings can be kept in a specification file: stanzas with lines 'key = \"value\"', as in \
        AIX. -o writes one, with -w without making the WPAR; -f reads one, and -e takes the \
        settings of an existing WPAR as a template. The command line wins over the file, the file over the template, \
        that over the defaults. A key that is not known, or that asks for what there is not, is refused with \
        its line. The stanza options with systemcopy, backup, usrfrom and versioned (yes, no), and inodes in mount, are additions.\n\n\
        What is about the source's own machine is not in the copy: disks in fstab and crypttab, \
        arrays, volume groups, addresses and names of network interfaces, swap space. Services \
        that act on hardware, the clock or the boot are masked, and a note says what would now \
        run twice. An image keeps its SSH host keys; a copy of the running system makes new ones. \
        Programs in /usr/lib/wpars/wparconvert.d/usr and root, of the host (for an image) and of \
        the copy, run inside, in the order of their names, before it starts for the first time.\n\n\
        With -D the WPAR gets a device of the host, if the file /etc/wpars/devexports names it: in \
        it, a line 'name:' begins an entry with value = \"/dev/PATTERN\" and auto = \"yes\" or \
        \"no\", yes for devices that every new WPAR gets.\n\n\
        The script of -u is run on the host, as root: 'SCRIPT start NAME' when the WPAR's init \
        runs, 'SCRIPT stop NAME' before it is stopped, except by 'rmwpar -F'; not at a restart of \
        what runs, nor for maintenance. WPAR_NAME, WPAR_HOSTNAME, WPAR_DIRECTORY, WPAR_UUID and \
        WPAR_PID (init's number on the host) are in its environment. If it fails at the start, the \
        start fails and is undone; at a stop that is a warning. Only root may be able to change it.\n\n\
        -S chooses the privileges of its programs, root's included: privs=LIST exactly these, privs+=LIST \
        and privs-=LIST these more or less than the default. They hold inside of the WPAR only; none \
        gives anything on the host. Those of the default are PV_AU_WRITE (capability AUDIT_WRITE), \
        PV_DAC_GID (SETGID), PV_DAC_O (DAC_OVERRIDE), PV_DAC_R (DAC_READ_SEARCH), PV_DAC_UID (FOWNER, \
        FSETID), PV_FS_CHOWN (CHOWN), PV_FS_CHROOT (SYS_CHROOT), PV_FS_CNTL (LINUX_IMMUTABLE, LEASE), \
        PV_FS_MKNOD (MKNOD), PV_FS_MOUNT (mount and unmount; systemd needs it), PV_KER_IPC (IPC_OWNER), \
        PV_KER_LOCK (IPC_LOCK), PV_KER_REBOOT (SYS_BOOT), PV_NET_CNTL (NET_ADMIN, NET_BROADCAST), \
        PV_NET_PORT (NET_BIND_SERVICE: ports below 1024), PV_NET_RAWSOCK (NET_RAW), PV_PROC_CKPT \
        (CHECKPOINT_RESTORE), PV_PROC_DEBUG (SYS_PTRACE), PV_PROC_PRIO (SYS_NICE), PV_PROC_PRIV \
        (SETPCAP, SETFCAP), PV_PROC_SIG (KILL) and PV_SU_UID (SETUID). Off by default, because they \
        show programs much of the kernel, are PV_KER_AIO (io_uring) and PV_KER_KEY (keyrings). \
        PV_AU_ADMIN, PV_AU_READ, PV_DEV_CONFIG, PV_DEV_LOAD, PV_KER_ACCT, PV_KER_EXTCONF, PV_KER_RAS, \
        PV_KER_TIME, PV_KER_VARS, PV_KER_WLM and PV_ROOT would be privileges over the host, and no WPAR \
        can have them.",
    examples: &[
        (
            "Make a WPAR from a backup and start it",
            "mkwpar -t -B /backup/web.tar.zst -n web1 -s",
        ),
        ("Make a copy of the running system", "mkwpar -t -n clone1"),
        (
            "Make a fresh system that shares /usr with the host, and one that has its own",
            "mkwpar -n web1; mkwpar -l -n web2",
        ),
        (
            "Make a fresh system with the packages of another one, unpacked in a directory",
            "mkwpar -n web3 --usr-from /srv/golden",
        ),
        (
            "Make a WPAR from a tree that rsync or debootstrap made",
            "mkwpar -t -B /srv/trees/web1 -n web1",
        ),
        (
            "Use another host name and base directory",
            "mkwpar -t -n db1 -h db1.example.org -d /srv/db1",
        ),
        (
            "Let it write no more than 10 GiB, in 200,000 files",
            "mkwpar -t -n test1 -M size=10G inodes=200000",
        ),
        (
            "Give it an address on the network of the host",
            "mkwpar -t -n web1 -N address=192.0.2.10 -N address6=2001:db8::10",
        ),
        (
            "Give it an address of the host's own network stack, as AIX does",
            "mkwpar -t -n web1 -N mode=shared address=192.0.2.10",
        ),
        (
            "Behind the host's address, with one port of it",
            "mkwpar -t -n web1 -N mode=nat publish=8080:80/tcp",
        ),
        (
            "Routes of its own",
            "mkwpar -t -n web1 -N address=192.0.2.10 -I rtdest=default rtgateway=192.0.2.1",
        ),
        (
            "Half of the processors and of the memory at the most, and 400 processes",
            "mkwpar -t -n test1 -R CPU=50% memory=50% totalProcesses=400",
        ),
        (
            "Take kernel, boot loader and other private filesets along",
            "mkwpar -t -n clone2 -T preserve_private=yes",
        ),
        (
            "Give it a device, which /etc/wpars/devexports must name",
            "mkwpar -t -n vpn1 -D devname=/dev/net/tun",
        ),
        (
            "Do not let its programs open ports below 1024 or change its network",
            "mkwpar -t -B /backup/web.tar.zst -n web2 -S privs-=PV_NET_PORT,PV_NET_CNTL",
        ),
        (
            "Take container stores along",
            "mkwpar -t -n clone2 -T preserve_wpars=yes",
        ),
        (
            "Take the file system at /data along, but not what is in /srv/cache",
            "mkwpar -t -n clone3 -T include=/data exclude=/srv/cache",
        ),
        (
            "Make a copy that is of one moment, or none",
            "mkwpar -t -n clone4 -T snapshot=require",
        ),
        (
            "Start a copy now, and make it independent of this system",
            "mkwpar -t -s -n clone5 -T hydrate=yes",
        ),
        (
            "Start a backup of another release",
            "mkwpar -t -C -B /backup/debian9.tar.zst -n old1 -s",
        ),
        (
            "Write the settings of a WPAR to a file, and make two of it",
            "mkwpar -t -B /backup/web.tar.zst -M size=10G -n web1 -w -o web.spec; mkwpar -f web.spec; mkwpar -f web.spec -n web2",
        ),
        (
            "Let a script of the host announce it",
            "mkwpar -t -n web2 -u /usr/local/sbin/announce",
        ),
        (
            "Use a store again that 'rmwpar -p' kept",
            "mkwpar -p -n web1",
        ),
    ],
    compatibility: "A standard WPAR is made of what the data base of the packages says, not of installation \
        images. --shared and --usr-from are additions: in AIX a system copy without -l shares /usr, here it has its \
        own unless the backup has none. -B takes a tar archive, the image of a file \
        system or a directory where AIX takes a mksysb. The WPAR is in state D until startwpar or -s starts it. Which \
        filesets are private is told by a list, not by the filesets themselves. \
        -C is for a copy of any level that is not the host's. -e and -f go together, and the file wins. -A keeps the \
        mark; 'startwpar --auto' starts those that have it. A \
        WPAR has one file system: of -M there are size, in AIX's units, and directory=/ \
        (other directories and attributes are refused); inodes, K and T are additions, as are \
        include, exclude, snapshot, hydrate and source of -T. An address is not added to the host's interface, whose stack is \
        the host's alone; mode=shared with address= is AIX's way (a program that listens at all addresses gets the \
        first of each family). mode and publish are additions, as is a single \
        HARD% or a size in -R. rtdest and rtgateway are addresses, not names. shares_memory, \
        totalLargePages and pct_* can only be what they are anyway. -a leaves addresses out that clash, and nothing else. \
        ioRead, ioWrite and ioWeight are additions. \
        Of -S there is no secfile; the names of privileges are AIX's \
        where Linux has something like them, but what each covers is what Linux has.",
};
