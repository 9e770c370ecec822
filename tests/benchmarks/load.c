/* A load generator in C: closed loop over keep-alive connections to 127.0.0.1.
 *
 *   load json   --port N [--conns C] [--seconds D] [--count N] [--gap-us U]
 *   load stream --port N [--conns C] [--seconds D] [--rate R] [--late-ms L]
 *   both: [--path P] [--key K] [--model M] [--ramp S] [--warm S]
 *
 * Connections open evenly over `ramp` seconds, then `warm` seconds pass uncounted, then the
 * line BEGIN is printed and the window of `seconds` starts; one line of JSON ends it.
 * json:   latency of each request; an error is a status other than 200 or a broken answer.
 * stream: text events are found by the stamps that the mock wrote into them (t<19 digits>),
 *         wherever the proxy cut its chunks and however it wrote its JSON. Time to first text
 *         counts from the send of the request. A stream that ends is opened again; one that
 *         ends without [DONE], or with an error event, is an error.
 *         `delivered` is the share of conns x rate x seconds text events that came.
 * An error closes the connection, which opens again 50 ms later; 10000 errors end the run.
 * Errors count from the first connection on, before the window too. */
#include "net.h"
#include "parse.h"

typedef struct conn {
    int fd;
    bool reused, done;       /* answered before on this socket; saw [DONE] or the whole answer */
    uint64_t sent_at, wake;  /* `wake`: when a waiting connection opens or sends; 0: it does not wait */
    size_t out_at;
    bool seen_text;
    struct reply reply;
    size_t line_len;
    char line[LINE_MAX_];
} conn;

static struct sockaddr_in peer;
static int ep, conns = 1;
static bool streaming, counting;
static double seconds = 3, ramp = 0.2, warm = 0.5, rate = 50, late_ms = 20;
static long limit = 10000000, requests, errors, reconnects, opened, ended, texts, events, late;
static uint64_t gap, delay_max;
static char out[4096], first_error[160];
static size_t out_len;
static struct histogram latency, delay;

static void wait_until(conn *c, uint64_t when) { c->wake = when; }

static void hang_up(conn *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

static void fail(conn *c, const char *why, size_t n) {
    if (++errors == 1) {
        for (size_t i = 0; i < n && i < sizeof first_error - 1; i++)
            first_error[i] = strchr("\"\\", why[i]) || why[i] < ' ' || why[i] > '~' ? '.' : why[i];
    }
    hang_up(c);
    wait_until(c, now_ns() + 50 * MS);
}

static void push(conn *c) {
    ssize_t n = send(c->fd, out + c->out_at, out_len - c->out_at, MSG_NOSIGNAL);
    if (n > 0) c->out_at += (size_t)n;
    if (n < 0 && errno != EAGAIN && errno != ENOTCONN) return; /* the read will tell */
    if (c->out_at == out_len) watch(ep, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
}

static void begin(conn *c) {
    c->wake = 0;
    if (c->fd < 0) {
        c->fd = tcp_socket();
        c->reused = false;
        if (connect(c->fd, (struct sockaddr *)&peer, sizeof peer) < 0 && errno != EINPROGRESS) {
            fail(c, "connect", 7);
            return;
        }
        watch(ep, EPOLL_CTL_ADD, c->fd, EPOLLIN | EPOLLOUT, c);
    }
    reply_reset(&c->reply);
    c->done = c->seen_text = false;
    c->line_len = c->out_at = 0;
    c->sent_at = now_ns();
    if (c->reused) {
        ssize_t n = send(c->fd, out, out_len, MSG_NOSIGNAL);
        c->out_at = n > 0 ? (size_t)n : 0;
        if (c->out_at < out_len) watch(ep, EPOLL_CTL_MOD, c->fd, EPOLLIN | EPOLLOUT, c);
    }
    if (streaming && counting) opened++;
}

/* One line of an event stream, without its line end. */
static void on_line(conn *c, uint64_t now) {
    c->line[c->line_len] = 0;
    if (strncmp(c->line, "data:", 5)) return;
    if (strstr(c->line, "[DONE]")) {
        c->done = true;
        return;
    }
    if (strncmp(c->line + 5 + strspn(c->line + 5, " "), "{\"error\"", 8) == 0) c->reply.broken = true;
    if (counting) events++;
    uint64_t stamp;
    for (const char *p = c->line; (p = next_stamp(p, &stamp)) != NULL;) {
        if (!c->seen_text && counting) record(&latency, now - c->sent_at);
        c->seen_text = true;
        if (!counting) continue;
        texts++;
        uint64_t took = now > stamp ? now - stamp : 0;
        record(&delay, took);
        if (took > delay_max) delay_max = took;
        late += (double)took > late_ms * 1e6;
    }
}

static void on_body(void *tag, const char *data, size_t n) {
    conn *c = tag;
    if (!streaming || c->reply.status != 200) return;
    uint64_t now = now_ns();
    for (size_t i = 0; i < n; i++) {
        if (data[i] == '\n' || data[i] == '\r') {
            if (c->line_len) on_line(c, now);
            c->line_len = 0;
        } else if (c->line_len < LINE_MAX_ - 1) {
            c->line[c->line_len++] = data[i];
        }
    }
}

static void finish(conn *c) {
    uint64_t now = now_ns();
    if (!streaming && counting) {
        requests++;
        record(&latency, now - c->sent_at);
    }
    if (streaming && counting) ended++;
    c->reused = true;
    if (c->reply.close) hang_up(c);
    if (gap) wait_until(c, now + gap);
    else begin(c);
}

static void readable(conn *c) {
    static char buffer[65536];
    ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0 && c->wake) { /* idle between two requests */
        hang_up(c);
        return;
    }
    if (n <= 0 && c->reused && !c->reply.started) { /* the usual race of an idle connection */
        reconnects += counting;
        hang_up(c);
        begin(c);
        return;
    }
    bool whole = n > 0 ? reply_feed(&c->reply, buffer, (size_t)n, on_body, c) : reply_end(&c->reply);
    if (n <= 0 && !whole) fail(c, c->reply.started ? "cut short" : "no answer", 9);
    else if (c->reply.broken || (whole && c->reply.status != 200)) fail(c, n > 0 ? buffer : "broken", n > 0 ? (size_t)n : 6);
    else if (whole && streaming && !c->done) fail(c, "stream without [DONE]", 21);
    else if (whole) finish(c);
}

static void ready(conn *c, uint32_t what) {
    if (c->fd < 0) return;
    if (what & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
    else if (what & EPOLLOUT) push(c);
}

static void build(const char *path, int port, const char *key, const char *model) {
    char body[1600];
    int n = snprintf(body, sizeof body,
                     "{\"model\":\"%s\",\"messages\":[{\"role\":\"system\",\"content\":\"You are a careful assistant for the staff of a "
                     "public library. Answer in plain words and name the shelf where a book stands.\"},{\"role\":\"user\",\"content\":"
                     "\"Which books do you have on the history of bridges in Europe, and which of them would you give to a reader of "
                     "twelve who likes drawings more than dates? Please name two or three and say why.\"}],"
                     "\"temperature\":0.7,\"max_tokens\":4096,\"stream\":%s}", model, streaming ? "true" : "false");
    out_len = (size_t)snprintf(out, sizeof out,
                               "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
                               "Accept: */*\r\nUser-Agent: bench\r\nContent-Length: %d\r\n\r\n%s", path, port, key, n, body);
    if (out_len >= sizeof out || n >= (int)sizeof body) exit(2);
}

static void report(double took) {
    double wanted = conns * rate * took;
    printf("{\"requests\":%ld,\"errors\":%ld,\"reconnects\":%ld,\"seconds\":%.4f,\"first_error\":\"%s\","
           "\"p50_us\":%.1f,\"p99_us\":%.1f,\"samples\":%ld,\"opened\":%ld,\"ended\":%ld,\"events\":%ld,\"texts\":%ld,"
           "\"delay_p50_us\":%.1f,\"delay_p99_us\":%.1f,\"delay_max_us\":%.1f,\"late\":%.5f,\"delivered\":%.4f}\n",
           requests, errors, reconnects, took, first_error, quantile(&latency, 0.5), quantile(&latency, 0.99), latency.n, opened,
           ended, events, texts, quantile(&delay, 0.5), quantile(&delay, 0.99), (double)delay_max / 1000.0, texts ? (double)late / (double)texts : 0.0,
           streaming ? (double)texts / wanted : 0.0);
    fflush(stdout);
}

static void run(conn *all) {
    struct epoll_event got[512];
    uint64_t start = now_ns(), from = start + (uint64_t)((ramp + warm) * 1e9), to = from + (uint64_t)(seconds * 1e9), now = start;
    for (int i = 0; i < conns; i++) {
        all[i].fd = -1;
        wait_until(&all[i], start + (uint64_t)(ramp * 1e9 * i / conns) + 1);
    }
    while (now < to && requests < limit && errors < 10000) {
        if (!counting && now >= from) {
            puts("BEGIN");
            fflush(stdout);
            counting = true;
            from = now;
        }
        for (int i = 0; i < conns; i++)
            if (all[i].wake && all[i].wake <= now) begin(&all[i]);
        int n = epoll_wait(ep, got, 512, 1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) ready(got[i].data.ptr, got[i].events);
        now = now_ns();
    }
    report(now > from ? (double)(now - from) / 1e9 : 1e-9);
}

int main(int argc, char **argv) {
    const char *path = "/v1/chat/completions", *key = "none", *model = "bench";
    int port = 0;
    if (argc < 2) return 2;
    streaming = strcmp(argv[1], "stream") == 0;
    for (int i = 2; i + 1 < argc; i += 2) {
        const char *name = argv[i], *value = argv[i + 1];
        if (!strcmp(name, "--port")) port = atoi(value);
        else if (!strcmp(name, "--path")) path = value;
        else if (!strcmp(name, "--key")) key = value;
        else if (!strcmp(name, "--model")) model = value;
        else if (!strcmp(name, "--conns")) conns = atoi(value);
        else if (!strcmp(name, "--count")) limit = atol(value);
        else if (!strcmp(name, "--gap-us")) gap = strtoull(value, NULL, 10) * 1000;
        else if (!strcmp(name, "--seconds")) seconds = atof(value);
        else if (!strcmp(name, "--ramp")) ramp = atof(value);
        else if (!strcmp(name, "--warm")) warm = atof(value);
        else if (!strcmp(name, "--rate")) rate = atof(value);
        else if (!strcmp(name, "--late-ms")) late_ms = atof(value);
        else return 2;
    }
    if (port <= 0 || port > 65535 || conns < 1 || conns > 8000 || seconds <= 0 || seconds > 600 || ramp + warm > 120) return 2;
    bound_process((unsigned)(seconds + ramp + warm) + 15);
    peer = loopback(port);
    build(path, port, key, model);
    ep = epoll_create1(EPOLL_CLOEXEC);
    conn *all = calloc((size_t)conns, sizeof *all);
    if (!all || ep < 0) die("start");
    run(all);
    return 0;
}
