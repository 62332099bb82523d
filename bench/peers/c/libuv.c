/* A timestamped echo server over libuv. Usage: libuv tcp|udp PORT, libuv unix PATH
 *
 * libuv asks for a buffer before each read. A reply needs memory of its own only if uv_try_write does not
 * write all of it at once.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#define CHUNK 1024
#define STAMP 27
#define ROOM (64 * 1024)

static char input[ROOM], output[ROOM + (ROOM / CHUNK + 1) * STAMP];
static char stamp[STAMP + 1];
static time_t stamped;

static void die(int status, const char *what) {
    if (status >= 0) return;
    fprintf(stderr, "%s: %s\n", what, uv_strerror(status));
    exit(1);
}

/* Renders the reply to `len` bytes of input, with a timestamp before every `chunk` bytes. */
static size_t reply(size_t len, size_t chunk) {
    time_t now = time(NULL);
    if (now != stamped) {
        struct tm local;
        strftime(stamp, sizeof stamp, "[%a %b %e %H:%M:%S %Y] ", localtime_r(&now, &local));
        stamped = now;
    }
    char *end = output;
    for (size_t start = 0; start < len; start += chunk) {
        size_t size = len - start < chunk ? len - start : chunk;
        memcpy(end, stamp, STAMP);
        memcpy(end + STAMP, input + start, size);
        end += STAMP + size;
    }
    return end - output;
}

static void lend(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    (void)handle, (void)suggested;
    *buffer = uv_buf_init(input, sizeof input);
}

static void freed(uv_handle_t *handle) { free(handle); }

static void written(uv_write_t *request, int status) {
    if (status < 0 && !uv_is_closing((uv_handle_t *)request->handle)) uv_close((uv_handle_t *)request->handle, freed);
    free(request);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buffer) {
    (void)buffer;
    if (len < 0) {
        uv_close((uv_handle_t *)stream, freed);
        return;
    }
    uv_buf_t whole = uv_buf_init(output, reply(len, CHUNK));
    int sent = uv_try_write(stream, &whole, 1);
    if (sent < 0) sent = 0;
    if ((size_t)sent == whole.len) return;
    size_t rest = whole.len - sent;
    uv_write_t *request = malloc(sizeof *request + rest);
    uv_buf_t tail = uv_buf_init((char *)(request + 1), rest);
    memcpy(tail.base, output + sent, rest);
    die(uv_write(request, stream, &tail, 1, written), "write");
}

static void on_connection(uv_stream_t *listener, int status) {
    die(status, "listen");
    union { uv_tcp_t tcp; uv_pipe_t pipe; } *client = malloc(sizeof *client);
    if (listener->type == UV_TCP) {
        uv_tcp_init(listener->loop, &client->tcp);
    } else {
        uv_pipe_init(listener->loop, &client->pipe, 0);
    }
    die(uv_accept(listener, (uv_stream_t *)client), "accept");
    if (listener->type == UV_TCP) uv_tcp_nodelay(&client->tcp, 1);
    uv_read_start((uv_stream_t *)client, lend, on_read);
}

static void on_datagram(uv_udp_t *socket, ssize_t len, const uv_buf_t *buffer, const struct sockaddr *from, unsigned flags) {
    (void)buffer, (void)flags;
    if (len < 0 || !from) return;
    uv_buf_t whole = uv_buf_init(output, reply(len, ROOM));
    uv_udp_try_send(socket, &whole, 1, from);
}

int main(int argc, char **argv) {
    uv_loop_t *loop = uv_default_loop();
    struct sockaddr_in here;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
    uv_udp_t udp;
    if (argc == 2 && !strcmp(argv[1], "--version")) return puts(uv_version_string()) < 0;
    if (argc != 3) return 2;
    uv_ip4_addr("127.0.0.1", atoi(argv[2]), &here);
    if (!strcmp(argv[1], "tcp")) {
        uv_tcp_init(loop, &tcp);
        die(uv_tcp_bind(&tcp, (struct sockaddr *)&here, 0), "bind");
        die(uv_listen((uv_stream_t *)&tcp, 4096, on_connection), "listen");
    } else if (!strcmp(argv[1], "unix")) {
        uv_pipe_init(loop, &pipe, 0);
        die(uv_pipe_bind(&pipe, argv[2]), "bind");
        die(uv_listen((uv_stream_t *)&pipe, 4096, on_connection), "listen");
    } else {
        int room = 8 << 20;
        /* With UV_UDP_RECVMMSG libuv splits the buffer into slots of 64 KiB, so it would have to be large. */
        uv_udp_init(loop, &udp);
        die(uv_udp_bind(&udp, (struct sockaddr *)&here, 0), "bind");
        uv_recv_buffer_size((uv_handle_t *)&udp, &room);
        die(uv_udp_recv_start(&udp, lend, on_datagram), "receive");
    }
    return uv_run(loop, UV_RUN_DEFAULT);
}
