/* Ways around an address that sockets are held to. */
#include "probe.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

static struct sockaddr_in name_of(const char *address, int port)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, address, &name.sin_addr);
    return name;
}

/* foreign-source OWN FOREIGN: a datagram to OWN that says that it is from FOREIGN. */
static int foreign_source(char **arguments)
{
    struct sockaddr_in own = name_of(arguments[0], 0), from;
    socklen_t length = sizeof own, from_length = sizeof from;
    int receiver = socket(AF_INET, SOCK_DGRAM, 0), sender = socket(AF_INET, SOCK_DGRAM, 0);
    struct timeval patience = {3, 0};
    setsockopt(receiver, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (bind(receiver, (struct sockaddr *)&own, sizeof own) ||
        getsockname(receiver, (struct sockaddr *)&own, &length))
        return failed("bind");
    own = name_of(arguments[0], ntohs(own.sin_port));
    char control[CMSG_SPACE(sizeof(struct in_pktinfo))] = "", byte = 'x';
    struct iovec data = {&byte, 1};
    struct msghdr message = {&own, sizeof own, &data, 1, control, sizeof control, 0};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = IPPROTO_IP, head->cmsg_type = IP_PKTINFO;
    head->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    inet_pton(AF_INET, arguments[1], &((struct in_pktinfo *)CMSG_DATA(head))->ipi_spec_dst);
    if (sendmsg(sender, &message, 0) < 0)
        return failed("sendmsg");
    if (recvfrom(receiver, &byte, 1, 0, (struct sockaddr *)&from, &from_length) < 0)
        return failed("recvfrom");
    printf("it came from %s\n", inet_ntoa(from.sin_addr));
    return strcmp(inet_ntoa(from.sin_addr), arguments[1]) ? HELD : ESCAPED;
}

/* unbound-listener FOREIGN: who listens without bind(2) listens everywhere. */
static int unbound_listener(char **arguments)
{
    int listener = socket(AF_INET, SOCK_STREAM, 0), caller = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in name;
    socklen_t length = sizeof name;
    struct timeval patience = {3, 0};
    if (listen(listener, 1) || getsockname(listener, (struct sockaddr *)&name, &length))
        return failed("listen");
    setsockopt(caller, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    name = name_of(arguments[0], ntohs(name.sin_port));
    if (connect(caller, (struct sockaddr *)&name, sizeof name))
        return failed("connect"), HELD;
    return ESCAPED;
}

/* foreign-bind FOREIGN: in the form of IPv6, too. */
static int foreign_bind(char **arguments)
{
    struct sockaddr_in name = name_of(arguments[0], 0);
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6};
    char text[64];
    snprintf(text, sizeof text, "::ffff:%s", arguments[0]);
    inet_pton(AF_INET6, text, &mapped.sin6_addr);
    int v4 = socket(AF_INET, SOCK_STREAM, 0), v6 = socket(AF_INET6, SOCK_STREAM, 0);
    if (!bind(v4, (struct sockaddr *)&name, sizeof name) ||
        (v6 >= 0 && !bind(v6, (struct sockaddr *)&mapped, sizeof mapped)))
        return ESCAPED;
    return failed("bind"), HELD;
}

/* other-protocol: one that no program at sockets sees the addresses of. */
static int other_protocol(char **arguments)
{
    (void)arguments;
    const int protocols[] = {262 /* MPTCP */, 132 /* SCTP */, 136 /* UDP-Lite */};
    int status = NOTHING_THERE;
    for (int i = 0; i < 3; i++) {
        int fd = socket(AF_INET, i == 2 ? SOCK_DGRAM : SOCK_STREAM, protocols[i]);
        if (fd >= 0)
            return printf("protocol %d\n", protocols[i]), ESCAPED;
        printf("protocol %d: %s\n", protocols[i], strerror(errno));
        if (errno == EPROTONOSUPPORT)
            status = HELD;
    }
    return status;
}

const struct probe socket_probes[] = {
    {"foreign-source", foreign_source},
    {"unbound-listener", unbound_listener},
    {"foreign-bind", foreign_bind},
    {"other-protocol", other_protocol},
    {NULL, NULL},
};
