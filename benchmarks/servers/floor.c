/* The least any server can do that sends to each client separately: one thread, epoll for
 * accepting and handshakes, and one send() for each client a second. It answers any request
 * that has a key and drops a client whose socket does not accept a frame at once: the floor, not a
 * server to use. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FDS = 65536, EVENTS = 1024, REQUEST = 4096 };

static int clients[MAX_FDS];    /* descriptors after their handshake, without gaps */
static int place[MAX_FDS];      /* where in clients a descriptor is, plus one; 0 if it is not */
static int count;

static uint32_t rotate(uint32_t value, int by) { return value << by | value >> (32 - by); }

static void sha1_block(uint32_t state[5], const unsigned char *block) {
    uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 80; i++) {
        if (i < 16)
            w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
                   (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
        else
            w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        uint32_t f, k;
        if (i < 20) { f = (b & c) | (~b & d); k = 0x5a827999; }
        else if (i < 40) { f = b ^ c ^ d; k = 0x6ed9eba1; }
        else if (i < 60) { f = (b & c) | (b & d) | (c & d); k = 0x8f1bbcdc; }
        else { f = b ^ c ^ d; k = 0xca62c1d6; }
        uint32_t next = rotate(a, 5) + f + e + k + w[i];
        e = d; d = c; c = rotate(b, 30); b = a; a = next;
    }
    state[0] += a; state[1] += b; state[2] += c; state[3] += d; state[4] += e;
}

/* SHA-1 of the 60 bytes of a key and its suffix: padding makes that two blocks. */
static void sha1_60(const char *text, unsigned char digest[20]) {
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    unsigned char padded[128] = {0};
    memcpy(padded, text, 60);
    padded[60] = 0x80;
    padded[126] = 60 * 8 >> 8;
    padded[127] = (60 * 8) & 255;
    sha1_block(state, padded);
    sha1_block(state, padded + 64);
    for (int i = 0; i < 20; i++) digest[i] = (unsigned char)(state[i / 4] >> (24 - i % 4 * 8));
}

/* Base64 of 20 bytes: 28 characters, the last one padding. */
static void base64_20(const unsigned char digest[20], char text[28]) {
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 7; i++) {
        uint32_t three = (uint32_t)digest[3 * i] << 16 | (uint32_t)digest[3 * i + 1] << 8 |
                         (i < 6 ? digest[3 * i + 2] : 0);
        for (int j = 0; j < 4; j++) text[4 * i + j] = letters[three >> (18 - 6 * j) & 63];
    }
    text[27] = '=';
}

static void disconnect(int fd) {
    if (place[fd]) {
        int last = clients[--count];
        clients[place[fd] - 1] = last;
        place[last] = place[fd];
        place[fd] = 0;
    }
    close(fd);
}

static void handshake(int fd, const char *request) {
    static const char field[] = "sec-websocket-key:", suffix[] =
        "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    const char *key = strcasestr(request, field);
    if (!key) return;
    key += sizeof field - 1;
    while (*key == ' ') key++;
    if (strcspn(key, "\r") != 24) return;
    char text[61], reply[160];
    unsigned char digest[20];
    char accept[29] = {0};
    memcpy(text, key, 24);
    memcpy(text + 24, suffix, 36);
    sha1_60(text, digest);
    base64_20(digest, accept);
    int size = snprintf(reply, sizeof reply,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept);
    if (send(fd, reply, (size_t)size, MSG_NOSIGNAL) != size) { disconnect(fd); return; }
    clients[count++] = fd;
    place[fd] = count;
}

static void read_from(int fd) {
    char request[REQUEST + 1];
    ssize_t size = recv(fd, request, REQUEST, 0);
    if (size == 0 || (size < 0 && errno != EAGAIN)) { disconnect(fd); return; }
    if (size < 0 || place[fd]) return;
    request[size] = 0;
    handshake(fd, request);
}

static void accept_all(int listener, int poll) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (fd >= MAX_FDS) { close(fd); continue; }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
    }
}

static void broadcast(unsigned tick) {
    char frame[128], second[32];
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(second, sizeof second, "%Y-%m-%dT%H:%M:%S", &parts);
    int size = snprintf(frame + 2, sizeof frame - 2,
        "{\"cpu\":%.1f,\"memory\":60.2,\"disk\":45.3,\"timestamp\":\"%s.%06ld+00:00\"}",
        10 + tick % 800 / 10.0, second, now.tv_nsec / 1000);
    frame[0] = (char)0x81;
    frame[1] = (char)size;
    for (int i = 0; i < count;) {
        int fd = clients[i];
        if (send(fd, frame, (size_t)size + 2, MSG_NOSIGNAL) == size + 2) i++;
        else disconnect(fd);         /* the last client takes its place */
    }
}

static int64_t milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), poll = epoll_create1(0);
    struct epoll_event events[EVENTS], listening = {.events = EPOLLIN, .data.fd = listener};
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 2048) ||
        getsockname(listener, (struct sockaddr *)&address, &size) ||
        epoll_ctl(poll, EPOLL_CTL_ADD, listener, &listening)) {
        perror("floor");
        return 1;
    }
    fprintf(stderr, "running on http://127.0.0.1:%d\n", ntohs(address.sin_port));
    int64_t due = milliseconds();
    for (unsigned tick = 0;; tick++) {
        int64_t left;
        due += 1000;
        while ((left = due - milliseconds()) > 0) {
            int ready = epoll_wait(poll, events, EVENTS, (int)left);
            for (int i = 0; i < ready; i++) {
                if (events[i].data.fd == listener) accept_all(listener, poll);
                else read_from(events[i].data.fd);
            }
        }
        broadcast(tick);
    }
}
