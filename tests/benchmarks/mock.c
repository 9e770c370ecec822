/* A mock inference server in C, so that the upstream costs next to nothing.
 *
 *   mock --model NAME [--rate R] [--tokens N] [--life SECONDS]
 *
 * Prints `PORT n` once it listens on 127.0.0.1:n. It speaks just enough HTTP/1.1:
 *   POST .../chat/completions   one JSON answer of about 1 kB, or, when the body says
 *                               "stream": true, one event per HTTP chunk per send(),
 *                               R text events a second after the first, N in all
 *   POST /control/R/N           sets the rate and the length of streams opened later
 *   GET  /stats                 {"open":..,"streams":..,"requests":..}
 *   GET  /health                200
 * Each text event carries the moment it was sent: t<19 digits of CLOCK_MONOTONIC ns>.
 * A role event and the first text event leave at once; the second text event comes at a
 * random phase of the period, so that streams opened together do not stay in step.
 * Timers tick at 1 ms. When a socket is full the stream waits: no event is dropped. */
#include "net.h"

#define SLOTS 8192 /* timer wheel: one slot a millisecond, so a rate of 0.2/s or more */
#define IN_MAX 65536
#define LARGEST (64 << 20)
#define OUT_MAX 1024
#define IDLE -1   /* no stream */
#define ENDING -2 /* the end of the stream is in `out`, not all of it sent */

typedef struct conn {
    int fd;
    size_t in_len, out_len, need;
    long left; /* text events still to send; 0: the end is due; see IDLE and ENDING */
    uint64_t due, period;
    struct conn *next, **link; /* the slot of the wheel this stream waits in */
    char out[OUT_MAX];         /* the rest of an event that did not fit the socket */
    char in[IN_MAX + 1];
} conn;

static conn *wheel[SLOTS];
static uint64_t tick; /* the millisecond whose slot was emptied last */
static int ep;
static double rate = 50;
static long tokens = 400, open_streams, streams, requests;
static char answer[2048], first[512], text[512], last[768];
static size_t answer_len, first_len, text_len, text_at, last_len;

static void unlink_timer(conn *c) {
    if (!c->link) return;
    *c->link = c->next;
    if (c->next) c->next->link = c->link;
    c->link = NULL;
}

static void set_timer(conn *c, uint64_t due) {
    conn **slot = &wheel[(due / MS > tick ? due / MS : tick + 1) % SLOTS];
    unlink_timer(c);
    c->due = due;
    c->next = *slot;
    if (c->next) c->next->link = &c->next;
    *slot = c;
    c->link = slot;
}

static void drop(conn *c) {
    unlink_timer(c);
    if (c->left != IDLE) open_streams--;
    close(c->fd);
    free(c);
}

/* 1: all sent, 0: the rest is kept for later, -1: the peer is gone. */
static int put(conn *c, const char *data, size_t n) {
    ssize_t sent = send(c->fd, data, n, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return -1;
    if (sent < 0) sent = 0;
    c->out_len = n - (size_t)sent;
    if (c->out_len > OUT_MAX) return -1;
    memmove(c->out, data + sent, c->out_len);
    return c->out_len == 0;
}

static int put_text(conn *c) {
    uint64_t stamp = now_ns();
    for (int i = STAMP_DIGITS; i > 0; i--, stamp /= 10) text[text_at + (size_t)i - 1] = (char)('0' + stamp % 10);
    c->left--;
    return put(c, text, text_len);
}

/* Send what is due on a stream; false when the connection has to go. */
static bool step(conn *c, uint64_t now) {
    int ok = c->out_len ? put(c, c->out, c->out_len) : 1;
    if (ok < 0) return false;
    if (ok == 0) {
        set_timer(c, now + 2 * MS);
    } else if (c->left > 0) {
        if (put_text(c) < 0) return false;
        if (c->due + SEC < now) c->due = now; /* starved for a second: do not catch up */
        set_timer(c, c->due + c->period);
    } else if (c->left == 0) {
        c->left = ENDING;
        if (put(c, last, last_len) < 0) return false;
        set_timer(c, now); /* the next turn sees whether all of it went */
    } else {
        c->left = IDLE;
        open_streams--;
    }
    return true;
}

static bool wants_stream(const char *body) {
    const char *p = strstr(body, "\"stream\"");
    if (!p) return false;
    p += 8 + strspn(p + 8, " \t\r\n");
    if (*p++ != ':') return false;
    return strncmp(p + strspn(p, " \t\r\n"), "true", 4) == 0;
}

static int plain(conn *c, const char *status, const char *body) {
    char page[512];
    int n = snprintf(page, sizeof page, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     status, strlen(body), body);
    return put(c, page, (size_t)n);
}

static int respond(conn *c, const char *body) {
    double r;
    long n;
    char page[160];
    if (strncmp(c->in, "GET /health", 11) == 0) return plain(c, "200 OK", "{}");
    if (strncmp(c->in, "GET /stats", 10) == 0) {
        snprintf(page, sizeof page, "{\"open\":%ld,\"streams\":%ld,\"requests\":%ld}", open_streams, streams, requests);
        return plain(c, "200 OK", page);
    }
    if (sscanf(c->in, "POST /control/%lf/%ld", &r, &n) == 2 && r >= 0.2 && r <= 1e5 && n > 0) {
        rate = r;
        tokens = n;
        return plain(c, "200 OK", "{}");
    }
    if (strncmp(c->in, "POST ", 5) || !memmem(c->in, strcspn(c->in, "\r"), "/chat/completions", 17))
        return plain(c, "404 Not Found", "{\"error\":{\"message\":\"no such route\"}}");
    requests++;
    if (!wants_stream(body)) return put(c, answer, answer_len);
    streams++;
    open_streams++;
    c->left = tokens;
    c->period = (uint64_t)(1e9 / rate);
    int ok = put(c, first, first_len);
    if (ok == 1) ok = put_text(c);
    set_timer(c, now_ns() + c->period * (uint64_t)(rand() % 1000) / 1000 + MS);
    return ok;
}

/* Read and answer; a request in the middle of a stream is an error of the proxy. */
static bool readable(conn *c) {
    /* Of a body that does not fit, what follows the first half is counted and written over. */
    size_t at = c->need > IN_MAX && c->in_len > IN_MAX / 2 ? IN_MAX / 2 : c->in_len;
    ssize_t got = recv(c->fd, c->in + at, IN_MAX - at, 0);
    if (got < 0) return errno == EAGAIN;
    if (got > 0 && c->left == ENDING && !c->out_len) { /* the end was read: the next request is early */
        unlink_timer(c);
        c->left = IDLE;
        open_streams--;
    }
    if (got == 0 || c->left != IDLE) return false;
    c->in_len += (size_t)got;
    c->in[at + (size_t)got] = 0;
    char *body = strstr(c->in, "\r\n\r\n");
    if (!body) return c->in_len < IN_MAX;
    body += 4;
    if (!c->need) {
        char keep = *body;
        *body = 0;
        const char *length = header(c->in, "content-length");
        if (header(c->in, "transfer-encoding")) return false; /* requests have a length here */
        c->need = (size_t)(body - c->in) + (length ? strtoul(length, NULL, 10) : 0);
        *body = keep;
        if (c->need > LARGEST) return false;
    }
    if (c->in_len < c->need) return true;
    bool ok = c->in_len == c->need && respond(c, body) >= (c->left == IDLE); /* no pipelining */
    c->in_len = c->need = 0;
    return ok;
}

static size_t chunk(char *out, const char *event) {
    return (size_t)sprintf(out, "%zx\r\n%s\r\n", strlen(event), event);
}

static void templates(const char *model) {
    char body[1400], event[512], words[700] = "";
    while (strlen(words) < 660) strcat(words, "the answer of the mock model goes on for a while, ");
    snprintf(body, sizeof body,
             "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"%s\",\"choices\":[{\"index\":0,"
             "\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},\"finish_reason\":\"stop\"}],"
             "\"usage\":{\"prompt_tokens\":90,\"completion_tokens\":140,\"total_tokens\":230}}", model, words);
    answer_len = (size_t)snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                                  strlen(body), body);
#define EVENT "data: {\"id\":\"c-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"%s\",\"choices\":[{\"index\":0,\"delta\":%s,\"finish_reason\":%s}]}\n\n"
    size_t n = (size_t)sprintf(first, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n");
    snprintf(event, sizeof event, EVENT, model, "{\"role\":\"assistant\",\"content\":\"\"}", "null");
    first_len = n + chunk(first + n, event);
    snprintf(event, sizeof event, EVENT, model, "{\"content\":\"t0000000000000000000 \"}", "null");
    text_len = chunk(text, event);
    text_at = (size_t)(strstr(text, "\"t0000") - text) + 2;
    snprintf(event, sizeof event, EVENT, model, "{}", "\"stop\"");
    n = chunk(last, event);
    last_len = n + chunk(last + n, "data: [DONE]\n\n");
    last_len += (size_t)sprintf(last + last_len, "0\r\n\r\n");
}

static int listen_on_loopback(void) {
    int fd = tcp_socket();
    struct sockaddr_in a = loopback(0);
    socklen_t n = sizeof a;
    if (bind(fd, (struct sockaddr *)&a, n) < 0 || listen(fd, 8192) < 0) die("listen");
    getsockname(fd, (struct sockaddr *)&a, &n);
    printf("PORT %d\n", ntohs(a.sin_port));
    fflush(stdout);
    return fd;
}

static void accept_all(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        int one = 1;
        conn *c = malloc(sizeof *c);
        if (!c) die("malloc");
        memset(c, 0, offsetof(conn, out));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        c->fd = fd;
        c->left = -1;
        watch(ep, EPOLL_CTL_ADD, fd, EPOLLIN, c);
    }
}

static void run_timers(void) {
    uint64_t now = now_ns();
    while (tick < now / MS) {
        tick++;
        for (conn *c = wheel[tick % SLOTS], *next; c; c = next) {
            next = c->next;
            if (c->due / MS > tick) continue; /* a later turn of the wheel */
            unlink_timer(c);
            if (!step(c, now)) drop(c);
        }
    }
}

int main(int argc, char **argv) {
    const char *model = "bench";
    unsigned life = 3600;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--model")) model = argv[i + 1];
        else if (!strcmp(argv[i], "--rate")) rate = atof(argv[i + 1]);
        else if (!strcmp(argv[i], "--tokens")) tokens = atol(argv[i + 1]);
        else if (!strcmp(argv[i], "--life")) life = (unsigned)atoi(argv[i + 1]);
        else return 2;
    }
    if (rate < 0.2 || strlen(model) > 64) return 2;
    bound_process(life);
    templates(model);
    ep = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on_loopback();
    watch(ep, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    struct epoll_event ready[512];
    for (;;) {
        if (!open_streams) tick = now_ns() / MS;
        int n = epoll_wait(ep, ready, 512, open_streams ? 1 : -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            conn *c = ready[i].data.ptr;
            if (!c) accept_all(listener);
            else if (!readable(c)) drop(c);
        }
        run_timers();
    }
}
