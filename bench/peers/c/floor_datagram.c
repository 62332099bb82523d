/* The floor for datagrams: one recvmmsg, one sendmmsg. It does not timestamp.
 *
 * It blocks in the receive, so it needs no other system call.
 * Usage: floor_datagram udp PORT, floor_datagram unix-dgram PATH
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BATCH 64
#define SIZE 2048

static char buffers[BATCH][SIZE];
static struct sockaddr_storage names[BATCH];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int bound(const char *transport, const char *where) {
    if (!strcmp(transport, "unix-dgram")) {
        struct sockaddr_un here = {.sun_family = AF_UNIX};
        strncpy(here.sun_path, where, sizeof here.sun_path - 1);
        int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
        if (bind(fd, (struct sockaddr *)&here, sizeof here)) die("bind");
        return fd;
    }
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    here.sin_port = htons(atoi(where));
    int fd = socket(AF_INET, SOCK_DGRAM, 0), room = 8 << 20;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (bind(fd, (struct sockaddr *)&here, sizeof here)) die("bind");
    return fd;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    int fd = bound(argv[1], argv[2]);
    for (int i = 0; i < BATCH; i++) {
        parts[i].iov_base = buffers[i];
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_name = &names[i];
    }
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            parts[i].iov_len = SIZE;
            messages[i].msg_hdr.msg_namelen = sizeof names[i];
        }
        int received = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        if (received < 0) continue;
        for (int i = 0; i < received; i++) parts[i].iov_len = messages[i].msg_len;
        /* A failed reply does not delay the others. */
        for (int sent = 0; sent < received;) {
            int now = sendmmsg(fd, messages + sent, received - sent, 0);
            sent += now > 0 ? now : 1;
        }
    }
}
