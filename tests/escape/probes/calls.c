/* System calls that no program of a WPAR has any business with. Each is asked in such a way that it
 * does nothing if it is allowed: the right is looked at before the nonsense in its arguments. */
#include "probe.h"
#include <linux/audit.h>
#include <linux/netlink.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* Held by EPERM alone: any other answer means that the call was let through. */
static int asked(const char *what, long result)
{
    if (result < 0 && errno == ENOSYS)
        return failed(what);
    if (result < 0 && errno == EPERM)
        return printf("%s: refused\n", what), HELD;
    printf("%s: %s\n", what, result < 0 ? strerror(errno) : "done");
    return ESCAPED;
}

static int system_call(char **arguments)
{
    const char *name = arguments[0];
    const char *nowhere = "/nonexistent/wpar-escape-probe";
    long map[16] = {2 /* BPF_MAP_TYPE_ARRAY, key_size */};
    unsigned attributes[32] = {1 /* PERF_TYPE_SOFTWARE */, 112};
    int *words = (int *)map;
    words[0] = 2, words[1] = 4, words[2] = 4, words[3] = 1;
#define IS(word) (!strcmp(name, word))
    if (IS("init_module"))
        return asked(name, syscall(SYS_init_module, NULL, 0, ""));
    if (IS("finit_module"))
        return asked(name, syscall(SYS_finit_module, -1, "", 0));
    if (IS("delete_module"))
        return asked(name, syscall(SYS_delete_module, "wpar_escape_probe", O_NONBLOCK));
    if (IS("kexec_load"))
        return asked(name, syscall(SYS_kexec_load, 0, 0, NULL, ~0UL));
    if (IS("swapon"))
        return asked(name, syscall(SYS_swapon, nowhere, 0));
    if (IS("acct"))
        return asked(name, syscall(SYS_acct, nowhere));
    if (IS("settimeofday"))
        return asked(name, syscall(SYS_settimeofday, NULL, NULL));
    if (IS("bpf"))
        return asked(name, syscall(SYS_bpf, 0, map, 72));
    if (IS("perf_event_open"))
        return asked(name, syscall(SYS_perf_event_open, attributes, 0, -1, -1, 0));
    if (IS("add_key"))
        return asked(name, syscall(SYS_add_key, "user", "wpar-escape-probe", "x", 1, -2));
    if (IS("request_key"))
        return asked(name, syscall(SYS_request_key, "user", "wpar-escape-probe", NULL, 0));
    if (IS("keyctl"))
        return asked(name, syscall(SYS_keyctl, 0, -4, 0));
    if (IS("syslog"))
        return asked(name, syscall(SYS_syslog, 10, NULL, 0));
#if defined(SYS_iopl)
    if (IS("iopl"))
        return asked(name, syscall(SYS_iopl, 3));
    if (IS("ioperm"))
        return asked(name, syscall(SYS_ioperm, 0x80, 1, 1));
#endif
    printf("%s is not asked on this architecture\n", name);
    return NOTHING_THERE;
}

static int audit_socket(char **arguments)
{
    (void)arguments;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);
    return fd < 0 ? (failed("audit socket"), HELD) : ESCAPED;
}

static int io_uring(char **arguments)
{
    (void)arguments;
    char parameters[120] = {0};
    long fd = syscall(425, 1, parameters);
    return fd < 0 ? (failed("io_uring_setup"), HELD) : ESCAPED;
}

/* The other side: what has to go on working. ESCAPED is then what is wanted. */
static int unknown_call(char **arguments)
{
    (void)arguments;
    return syscall(9999) < 0 && errno == ENOSYS ? ESCAPED : HELD;
}

static int may_gain_privileges(char **arguments)
{
    (void)arguments;
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 ? ESCAPED : HELD;
}

const struct probe call_probes[] = {
    {"system-call", system_call},
    {"audit-socket", audit_socket},
    {"io-uring", io_uring},
    {"unknown-call", unknown_call},
    {"may-gain-privileges", may_gain_privileges},
    {NULL, NULL},
};
