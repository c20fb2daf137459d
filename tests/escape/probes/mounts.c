/* Ways out by mounting, or by undoing what the launcher has mounted. */
#include "probe.h"

static int core_pattern(void)
{
    return opens("/proc/sys/kernel/core_pattern", O_WRONLY) ? ESCAPED : failed("core_pattern");
}

/* A /proc without what covers the first one: a program of ours, run by the host. */
static int new_proc(char **arguments)
{
    (void)arguments;
    if (mount("proc", SPOT, "proc", 0, NULL))
        return failed("mount proc");
    return opens(SPOT "/sys/kernel/core_pattern", O_WRONLY) ? ESCAPED : failed("core_pattern");
}

static int remount_proc_sys(char **arguments)
{
    (void)arguments;
    if (mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL))
        printf("remount /proc/sys: %s\n", strerror(errno));
    return core_pattern();
}

static int unmount_proc_sys(char **arguments)
{
    (void)arguments;
    if (umount2("/proc/sys", MNT_DETACH))
        printf("unmount /proc/sys: %s\n", strerror(errno));
    return core_pattern();
}

/* A file system that is the whole kernel's. */
static int mount_type(char **arguments)
{
    if (mount("probe", SPOT, arguments[0], 0, NULL))
        return failed(arguments[0]);
    printf("%s was mounted\n", arguments[0]);
    return ESCAPED;
}

static int clear_nodev(char **arguments)
{
    (void)arguments;
    if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL))
        return failed("clear nodev");
    return ESCAPED;
}

/* A copy of the mount, with the flag taken from the copy. */
static int clear_nodev_of_a_copy(char **arguments)
{
    (void)arguments;
    if (mount("/", SPOT, NULL, MS_BIND, NULL))
        return failed("bind /");
    if (mount(NULL, SPOT, NULL, MS_REMOUNT | MS_BIND, NULL))
        return failed("clear nodev of a copy");
    return opens(SPOT "/node", O_RDWR) ? ESCAPED : failed("/node");
}

static int writable_sysfs(char **arguments)
{
    (void)arguments;
    static const char *const settings[] = {"kernel/mm/transparent_hugepage/enabled",
                                           "kernel/mm/ksm/run", "kernel/uevent_helper",
                                           "kernel/profiling", "power/state"};
    char path[128];
    mount(NULL, "/sys", NULL, MS_REMOUNT | MS_BIND, NULL);
    if (mount("sysfs", SPOT, "sysfs", 0, NULL))
        printf("mount sysfs: %s\n", strerror(errno));
    int found = 0;
    for (unsigned i = 0; i < 2 * sizeof settings / sizeof *settings; i++) {
        snprintf(path, sizeof path, "%s/%s", i % 2 ? "/sys" : SPOT, settings[i / 2]);
        found |= !access(path, F_OK);
        if (opens(path, O_WRONLY))
            return ESCAPED;
    }
    return found ? HELD : NOTHING_THERE;
}

/* What lies below the covers. */
static int unmask(char **arguments)
{
    (void)arguments;
    static const struct { const char *path; int flags; } masked[] = {
        {"/proc/kcore", O_RDONLY}, {"/proc/kmsg", O_RDONLY | O_NONBLOCK},
        {"/proc/timer_list", O_RDONLY}, {"/proc/sysrq-trigger", O_WRONLY}};
    int status = HELD;
    for (unsigned i = 0; i < sizeof masked / sizeof *masked; i++) {
        if (umount2(masked[i].path, MNT_DETACH))
            printf("unmount %s: %s\n", masked[i].path, strerror(errno));
        /* The cover itself can be opened; it is not what is asked for. */
        else if (opens(masked[i].path, masked[i].flags))
            status = ESCAPED;
    }
    return status;
}

/* Read-only for everybody who has this file system, and for the next start. */
static int read_only_superblock(char **arguments)
{
    (void)arguments;
    return mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL) ? failed("remount,ro /") : ESCAPED;
}

const struct probe mount_probes[] = {
    {"new-proc", new_proc},
    {"remount-proc-sys", remount_proc_sys},
    {"unmount-proc-sys", unmount_proc_sys},
    {"mount", mount_type},
    {"clear-nodev", clear_nodev},
    {"clear-nodev-of-a-copy", clear_nodev_of_a_copy},
    {"writable-sysfs", writable_sysfs},
    {"unmask", unmask},
    {"read-only-superblock", read_only_superblock},
    {NULL, NULL},
};
