/* probe NAME [ARGUMENT...]            tries to get out
 * probe --weakened PLACE NAME [...]   the same, in a profile without the protection, whose root is
 *                                     made in the directory PLACE */
#include "probe.h"
#include <sched.h>

int failed(const char *what)
{
    int error = errno;
    fprintf(stdout, "%s: %s\n", what, strerror(error));
    switch (error) {
    case ENOENT: case ENODEV: case ENOSYS: case ENXIO: case EOPNOTSUPP: case ENOPKG:
        return NOTHING_THERE;
    default:
        return HELD;
    }
}

int opens(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return 0;
    printf("%s was opened\n", path);
    close(fd);
    return 1;
}

static const struct probe *find(const char *name)
{
    const struct probe *lists[] = {mount_probes, file_probes, process_probes, call_probes,
                                   socket_probes};
    for (unsigned list = 0; list < sizeof lists / sizeof *lists; list++)
        for (const struct probe *probe = lists[list]; probe->name; probe++)
            if (!strcmp(probe->name, name))
                return probe;
    return NULL;
}

int main(int count, char **arguments)
{
    const char *place = NULL;
    if (count > 3 && !strcmp(arguments[1], "--weakened")) {
        place = arguments[2];
        arguments += 2;
        count -= 2;
    }
    const struct probe *probe = count > 1 ? find(arguments[1]) : NULL;
    if (!probe) {
        fprintf(stderr, "probe: there is no such probe\n");
        return 64;
    }
    setvbuf(stdout, NULL, _IONBF, 0);
    if (place)
        return run_weakened(probe, place, arguments + 2);
    /* What is mounted by a probe is not for the next one. */
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        printf("no mount namespace: %s\n", strerror(errno));
    return probe->run(arguments + 2);
}
