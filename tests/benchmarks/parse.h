/* The sans-io half of the load generator: an incremental HTTP/1.1 answer parser (length,
 * chunked, until close), the search for stamps, and a histogram with 1.6 % wide buckets. */
#ifndef BENCH_PARSE_H
#define BENCH_PARSE_H
#include "net.h"

#define HEAD_MAX 16384
#define LINE_MAX_ 8192

enum stage { HEAD, LENGTH, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, UNTIL_CLOSE, WHOLE };

struct reply {
    enum stage stage;
    int status;
    bool started, broken, close;
    size_t left;    /* bytes of the body or of the chunk still to come */
    size_t used;    /* bytes in `text` */
    char text[HEAD_MAX]; /* the head, then each chunk-size or trailer line */
};

static inline void reply_reset(struct reply *r) { memset(r, 0, offsetof(struct reply, text)); }

static inline void reply_head(struct reply *r) {
    const char *length = header(r->text, "content-length"), *coding = header(r->text, "transfer-encoding");
    const char *connection = header(r->text, "connection");
    r->used = 0;
    if (sscanf(r->text, "HTTP/1.%*d %d", &r->status) != 1) r->broken = true;
    r->close = (connection && strncasecmp(connection, "close", 5) == 0) || strncmp(r->text, "HTTP/1.0", 8) == 0;
    if (r->status >= 100 && r->status < 200) {
        r->stage = HEAD; /* an interim answer: the real one follows */
    } else if (coding && strncasecmp(coding, "chunked", 7) == 0) {
        r->stage = CHUNK_SIZE;
    } else if (length) {
        r->left = strtoul(length, NULL, 10);
        r->stage = r->left ? LENGTH : WHOLE;
    } else {
        r->stage = UNTIL_CLOSE;
    }
}

/* Called with a whole line in `text`, line end included. */
static inline void reply_line(struct reply *r) {
    char *end;
    size_t n = r->used;
    r->used = 0;
    if (r->stage == TRAILER) {
        if (n <= 2) r->stage = WHOLE;
    } else if (r->stage == CHUNK_END) {
        r->broken |= n > 2;
        r->stage = CHUNK_SIZE;
    } else {
        r->left = strtoul(r->text, &end, 16);
        r->broken |= end == r->text || r->left > (1u << 30);
        r->stage = r->left ? CHUNK_DATA : TRAILER;
    }
}

/* True when the answer is whole; bytes after it make it broken. */
static inline bool reply_feed(struct reply *r, const char *p, size_t n, void (*body)(void *, const char *, size_t), void *tag) {
    r->started = true;
    while (n && !r->broken && r->stage != WHOLE) {
        if (r->stage == LENGTH || r->stage == CHUNK_DATA || r->stage == UNTIL_CLOSE) {
            size_t take = r->stage != UNTIL_CLOSE && r->left < n ? r->left : n;
            body(tag, p, take);
            p += take;
            n -= take;
            if (r->stage == UNTIL_CLOSE || (r->left -= take)) continue;
            r->stage = r->stage == LENGTH ? WHOLE : CHUNK_END;
            continue;
        }
        if (r->used + 2 > HEAD_MAX) r->broken = true;
        else r->text[r->used++] = *p;
        n--;
        if (*p++ != '\n') continue;
        r->text[r->used] = 0;
        if (r->stage != HEAD) reply_line(r);
        else if (r->used >= 4 && memcmp(r->text + r->used - 4, "\r\n\r\n", 4) == 0) reply_head(r);
    }
    if (n && r->stage == WHOLE) r->broken = true;
    return r->stage == WHOLE;
}

/* The peer closed: is that the end of the answer? */
static inline bool reply_end(struct reply *r) {
    bool whole = r->stage == UNTIL_CLOSE;
    r->close = true;
    r->stage = WHOLE;
    return whole;
}

/* The next t<19 digits> after p, and its number; NULL when there is none. */
static inline const char *next_stamp(const char *p, uint64_t *stamp) {
    while ((p = strchr(p, 't')) != NULL) {
        size_t n = 0;
        for (*stamp = 0, p++; n < STAMP_DIGITS && *p >= '0' && *p <= '9'; n++, p++) *stamp = *stamp * 10 + (uint64_t)(*p - '0');
        if (n == STAMP_DIGITS) return p;
    }
    return NULL;
}

struct histogram {
    long n;
    long bucket[64 * 64];
};

static inline void record(struct histogram *h, uint64_t ns) {
    int shift = ns < 64 ? 0 : 57 - __builtin_clzll(ns);
    h->bucket[(shift + (ns >= 64)) * 64 + (int)((ns >> shift) & 63)]++;
    h->n++;
}

/* In microseconds; 0 when nothing was recorded. */
static inline double quantile(const struct histogram *h, double q) {
    long rank = (long)(q * (double)(h->n - 1)) + 1, seen = 0;
    if (!h->n) return 0;
    for (int i = 0; i < 64 * 64; i++) {
        if ((seen += h->bucket[i]) < rank) continue;
        return i < 64 ? i / 1e3 : (double)((uint64_t)(64 + i % 64) << (i / 64 - 1)) / 1e3;
    }
    return 0;
}
#endif
