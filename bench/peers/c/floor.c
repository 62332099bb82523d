/* The floor for streams: a minimal echo server over level-triggered epoll. It does not timestamp.
 *
 * One thread, one buffer, one read and one write per ready connection. It assumes that the peer reads, so
 * it has no backlog. Usage: floor tcp PORT [BUFFER], floor unix PATH [BUFFER]; BUFFER is 16 KiB by default.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define EVENTS 256

static char *buffer;
static size_t size = 16 * 1024;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int bound(const char *transport, const char *where) {
    int one = 1, listener;
    if (!strcmp(transport, "unix")) {
        struct sockaddr_un here = {.sun_family = AF_UNIX};
        strncpy(here.sun_path, where, sizeof here.sun_path - 1);
        listener = socket(AF_UNIX, SOCK_STREAM, 0);
        if (bind(listener, (struct sockaddr *)&here, sizeof here)) die("bind");
        return listener;
    }
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    here.sin_port = htons(atoi(where));
    listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&here, sizeof here)) die("bind");
    return listener;
}

static void echo(int fd) {
    ssize_t len = recv(fd, buffer, size, MSG_DONTWAIT);
    if (len == -1 && errno == EAGAIN) return;
    if (len <= 0 || send(fd, buffer, len, MSG_NOSIGNAL) != len) close(fd);
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    if (argc == 4) size = strtoul(argv[3], NULL, 10);
    buffer = malloc(size);
    int listener = bound(argv[1], argv[2]), epoll = epoll_create1(0);
    if (listen(listener, 4096)) die("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)) die("epoll_ctl");
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd != listener) {
                echo(events[i].data.fd);
                continue;
            }
            int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            event.events = EPOLLIN;
            event.data.fd = fd;
            if (fd != -1 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) close(fd);
        }
    }
}
