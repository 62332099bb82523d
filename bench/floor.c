/* The floor: the least that a C program can do which echoes over level-triggered epoll. It does not stamp.
 *
 * One thread, one buffer of 16 KiB, one read and one write for each connection that is ready. It assumes a peer
 * that reads, so it keeps nothing. Usage: floor PORT
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256

static char buffer[16 * 1024];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void echo(int fd) {
    ssize_t len = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (len == -1 && errno == EAGAIN) return;
    if (len <= 0 || send(fd, buffer, len, MSG_NOSIGNAL) != len) close(fd);
}

int main(int argc, char **argv) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof here;
    if (argc != 2) return 2;
    here.sin_port = htons(atoi(argv[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&here, sizeof here)) die("bind");
    if (listen(listener, 4096)) die("listen");
    if (getsockname(listener, (struct sockaddr *)&here, &len)) die("getsockname");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)) die("epoll_ctl");
    fprintf(stderr, "Waiting for connection on tcp://127.0.0.1:%d\n", ntohs(here.sin_port));
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
