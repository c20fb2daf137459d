/* What all probes share. A probe tries one way out and says whether it got there. */
#ifndef PROBE_H
#define PROBE_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* Exit statuses. */
enum { ESCAPED = 0, HELD = 1, NOTHING_THERE = 2 };

/* An empty directory of a mount namespace of its own, to mount on. */
#define SPOT "/mnt"

struct probe {
    const char *name;
    int (*run)(char **arguments);
};

/* Ends of each list of probes: a name of NULL. */
extern const struct probe mount_probes[], file_probes[], process_probes[], call_probes[],
    socket_probes[];

/* Says why, with errno, and what that means: "there is none of it" is not "it was refused". */
int failed(const char *what);
/* Whether `path` can be opened with `flags`; it is closed again. errno is that of open. */
int opens(const char *path, int flags);

/* Runs `probe` in a profile without the protection: see weak.c. */
int run_weakened(const struct probe *probe, const char *place, char **arguments);

#endif
