/* The weakened profile: what a launcher does that has a root directory, masks and read-only mounts,
 * but neither a user namespace nor any other than that for mounts, and no filter. A probe that
 * cannot get out of this proves nothing. It is as harmless as that can be: the root is a tmpfs. */
#include "probe.h"
#include <sched.h>
#include <sys/sysmacros.h>

static void must(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "weakened profile: %s: %s\n", what, strerror(errno));
        exit(70);
    }
}

/* Covers `path` with an empty file, if it is there. */
static void mask(const char *path)
{
    if (!access(path, F_OK))
        must(mount("null", path, NULL, MS_BIND, NULL), path);
}

static void read_only(const char *path)
{
    if (access(path, F_OK))
        return;
    must(mount(path, path, NULL, MS_BIND | MS_REC, NULL), path);
    must(mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), path);
}

int run_weakened(const struct probe *probe, const char *place, char **arguments)
{
    /* A directory of the host's that was left open, as once by runc. */
    must(open("/", O_RDONLY | O_DIRECTORY), "open /");
    must(unshare(CLONE_NEWNS), "unshare");
    must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private mounts");
    int no_devices = !strcmp(probe->name, "clear-nodev");
    must(mount("weak", place, "tmpfs", no_devices ? MS_NODEV : 0, NULL), "tmpfs");
    must(chdir(place), "chdir");
    const char *directories[] = {"proc", "sys", "mnt", "dev"};
    for (int i = 0; i < 4; i++)
        must(mkdir(directories[i], 0755), directories[i]);
    must(mknod("node", S_IFCHR | 0666, makedev(1, 3)), "node");
    must(mknod("null", S_IFREG | 0644, 0), "null");
    must(mount("proc", "proc", "proc", 0, NULL), "proc");
    must(mount("sysfs", "sys", "sysfs", MS_RDONLY, NULL), "sysfs");
    read_only("proc/sys");
    mask("proc/kmsg");
    mask("proc/kcore");
    mask("proc/timer_list");
    mask("proc/sysrq-trigger");
    must(chroot("."), "chroot");
    must(chdir("/"), "chdir /");
    return probe->run(arguments);
}
