/* Ways out by processes and terminals of the host. */
#include "probe.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>

static int signal_process(char **arguments)
{
    return kill(atoi(arguments[0]), 0) ? failed("kill") : ESCAPED;
}

static int trace_process(char **arguments)
{
    int process = atoi(arguments[0]);
    if (ptrace(PTRACE_SEIZE, process, NULL, NULL))
        return failed("ptrace");
    ptrace(PTRACE_DETACH, process, NULL, NULL);
    return ESCAPED;
}

/* A port of the host's own loopback. */
static int loopback(char **arguments)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[0])),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (struct sockaddr *)&name, sizeof name) ? (failed("connect"), HELD) : ESCAPED;
}

/* A port of its own: a privilege within the WPAR, not a way out. */
static int bind_port(char **arguments)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[0]))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return bind(fd, (struct sockaddr *)&name, sizeof name) ? (failed("bind"), HELD) : ESCAPED;
}

/* Types a character into the terminal on standard input. */
static int type_ahead(char **arguments)
{
    (void)arguments;
    if (!isatty(0)) {
        printf("standard input is no terminal\n");
        return 65;
    }
    if (!ioctl(0, TIOCSTI, "x"))
        return ESCAPED;
    printf("TIOCSTI: %s\n", strerror(errno));
    /* As its controlling terminal it would be allowed to. */
    if (ioctl(0, TIOCSCTTY, 0))
        return failed("TIOCSCTTY");
    return ioctl(0, TIOCSTI, "x") ? failed("TIOCSTI") : ESCAPED;
}

static int more_files(char **arguments)
{
    (void)arguments;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_max += 1;
    return setrlimit(RLIMIT_NOFILE, &limit) ? failed("setrlimit") : ESCAPED;
}

static int higher_priority(char **arguments)
{
    (void)arguments;
    return setpriority(PRIO_PROCESS, 0, -5) ? (failed("setpriority"), HELD) : ESCAPED;
}

/* CVE-2019-5736: a program of the host that runs in here, opened for writing when it has ended.
 * overwrite-entering [NAME]: until a file /stop is there; only programs called NAME if it is given. */
static int overwrite_entering(char **arguments)
{
    char path[320], target[512];
    int held[64], count = 0, seen = 0;
    struct stat root, file;
    stat("/probe", &root);
    printf("watching\n");
    while (access("/stop", F_OK)) {
        DIR *proc = opendir("/proc");
        struct dirent *process;
        while (proc && (process = readdir(proc))) {
            if (process->d_name[0] < '0' || process->d_name[0] > '9')
                continue;
            snprintf(path, sizeof path, "/proc/%s/exe", process->d_name);
            if (arguments[0]) {
                ssize_t length = readlink(path, target, sizeof target - 1);
                if (length < 0)
                    continue;
                target[length] = 0;
                char *name = strrchr(target, '/');
                if (!name || strcmp(name + 1, arguments[0]))
                    continue;
            }
            int fd = open(path, O_PATH | O_CLOEXEC);
            if (fd < 0)
                continue;
            if ((!arguments[0] && (fstat(fd, &file) || file.st_dev == root.st_dev)) || count == 64)
                close(fd);
            else
                held[count++] = fd, seen++;
        }
        if (proc)
            closedir(proc);
        for (int i = 0; i < count; i++) {
            snprintf(path, sizeof path, "/proc/self/fd/%d", held[i]);
            if (opens(path, O_WRONLY))
                return ESCAPED;
            if (errno != ETXTBSY)
                close(held[i]), held[i--] = held[--count];
        }
    }
    printf("%d programs of the host were seen\n", seen);
    return HELD;
}

/* Waits until standard input is closed: what the probe above is to catch. */
static int wait_for_end(char **arguments)
{
    (void)arguments;
    char byte;
    return read(0, &byte, 1) < 0;
}

const struct probe process_probes[] = {
    {"signal-process", signal_process},
    {"trace-process", trace_process},
    {"loopback", loopback},
    {"bind", bind_port},
    {"type-ahead", type_ahead},
    {"more-files", more_files},
    {"higher-priority", higher_priority},
    {"overwrite-entering", overwrite_entering},
    {"wait-for-end", wait_for_end},
    {NULL, NULL},
};
