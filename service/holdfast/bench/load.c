/* The load client of `holdfast bench`: one process, one epoll loop, any number of WebSocket connections to one server.
 *
 * It knows no server. Standard input brings the load (`load.py` says in which form): for each connection the bytes that open it,
 * the frames that greet, and the parts of the frames that send. It answers with lines on standard output, and writes what each
 * connection received, in order, into a file, which `judge.py` judges. Compiled when it is needed: cc -O2.
 *
 * in  "connect"  out "ready SECONDS"   all connections are open and greeted
 * in  "go"       out "end"             the time of the load is over, and all came; or nothing came for a while
 *                out "done {…}"        the file is written
 * A line that begins with "failed" says why it ended.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x48464c31u /* "HFL1" */
#define BUFFER (1 << 20)
#define CONNECT_SECONDS 60.0
#define MARK "~@" /* what begins the text of a message: ~@SENDER.NUMBER@ */

typedef struct { char *at; uint32_t size; } Text;
typedef struct { uint32_t *at; size_t count, room; } Numbers;
typedef enum { UNUSED, CONNECTING, OPENING, GREETING, READY, CLOSED } State;
typedef struct {
    int fd;
    State state;
    uint32_t step, sent;
    Text opening, *greetings, head, middle, tail;
    char *rest, *out;              /* the beginning of a frame; bytes that the kernel did not take */
    size_t rest_size, out_size, out_at;
    Numbers received, latencies;   /* SENDER << 24 | NUMBER, and microseconds */
    Numbers acks;                  /* microseconds */
} Connection;

static uint32_t port, count, at_once, steps, senders, window, rate, by_acks, copies;
static double duration, patience;
static Text log_path, ready_mark, ack_mark, *waits;
static Connection *connections;
static Numbers *sent_at;           /* of each sender: microseconds since the start of the load */
static uint32_t in_handshake, opened, closed, sent_total;
static uint64_t received_total, acked_total;
static double began, last_progress, load_ends;
static int poll_fd, timer_fd, is_loaded;
static char buffer[BUFFER];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void fail(const char *format, ...) {
    va_list list;
    va_start(list, format);
    fputs("failed ", stdout);
    vprintf(format, list);
    va_end(list);
    putchar('\n');
    fflush(stdout);
    exit(1);
}

static void *claim(void *old, size_t size) {
    void *got = realloc(old, size ? size : 1);
    if (!got) fail("no memory");
    return got;
}

static void push(Numbers *numbers, uint32_t value) {
    if (numbers->count == numbers->room) {
        numbers->room = numbers->room ? numbers->room * 2 : 64;
        numbers->at = claim(numbers->at, numbers->room * sizeof(uint32_t));
    }
    numbers->at[numbers->count++] = value;
}

static uint32_t read_number(void) {
    uint32_t value;
    if (fread(&value, sizeof value, 1, stdin) != 1) fail("the load ends early");
    return value;
}

static Text read_text(void) {
    Text text = {NULL, read_number()};
    text.at = claim(NULL, text.size);
    if (text.size && fread(text.at, text.size, 1, stdin) != 1) fail("the load ends early");
    return text;
}

static void read_load(void) {
    if (read_number() != MAGIC) fail("not a load");
    port = read_number(); count = read_number(); at_once = read_number(); steps = read_number();
    senders = read_number(); window = read_number(); rate = read_number(); by_acks = read_number(); copies = read_number();
    duration = read_number() / 1e3; patience = read_number() / 1e3;
    log_path = read_text(); log_path.at = claim(log_path.at, log_path.size + 1); log_path.at[log_path.size] = 0;
    ready_mark = read_text(); ack_mark = read_text();
    waits = claim(NULL, steps * sizeof(Text));
    for (uint32_t k = 0; k < steps; k++) waits[k] = read_text();
    connections = calloc(count ? count : 1, sizeof(Connection));
    sent_at = calloc(senders ? senders : 1, sizeof(Numbers));
    if (!connections || !sent_at) fail("no memory");
    for (uint32_t n = 0; n < count; n++) {
        Connection *c = &connections[n];
        c->opening = read_text();
        c->greetings = claim(NULL, steps * sizeof(Text));
        for (uint32_t k = 0; k < steps; k++) c->greetings[k] = read_text();
        if (n < senders) { c->head = read_text(); c->middle = read_text(); c->tail = read_text(); }
    }
}

static void expect(const char *word) {
    char line[64];
    if (!fgets(line, sizeof line, stdin)) exit(0); /* the bench is gone */
    line[strcspn(line, "\n")] = 0;
    if (strcmp(line, word)) fail("expected %s", word);
}

static void leave(Connection *c) {
    if (c->state == CLOSED) return;
    if (c->state != READY) in_handshake--;
    c->state = CLOSED;
    closed++;
    close(c->fd);
}

static void watch(Connection *c, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(poll_fd, operation, c->fd, &event)) fail("epoll_ctl: %s", strerror(errno));
}

static void put(Connection *c, const char *at, size_t size) {
    if (c->out_size == c->out_at) {
        ssize_t taken = send(c->fd, at, size, MSG_NOSIGNAL);
        if (taken < 0 && errno != EAGAIN) { leave(c); return; }
        if (taken > 0) { at += taken; size -= (size_t)taken; }
        if (!size) return;
        c->out_size = c->out_at = 0;
        watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    }
    c->out = claim(c->out, c->out_size + size);
    memcpy(c->out + c->out_size, at, size);
    c->out_size += size;
}

static void put_rest(Connection *c) {
    while (c->out_at < c->out_size) {
        ssize_t taken = send(c->fd, c->out + c->out_at, c->out_size - c->out_at, MSG_NOSIGNAL);
        if (taken < 0) { if (errno != EAGAIN) leave(c); return; }
        c->out_at += (size_t)taken;
    }
    watch(c, EPOLLIN, EPOLL_CTL_MOD);
}

/* One final frame, masked with zeros: the mask is for proxies, and there is none. */
static void put_frame(Connection *c, int opcode, const char *at, size_t size) {
    char frame[4096];
    size_t head = 2;
    if (size > sizeof frame - 8) fail("a frame of %zu bytes to send", size);
    frame[0] = (char)(0x80 | opcode);
    if (size < 126) frame[1] = (char)(0x80 | size);
    else { frame[1] = (char)(0x80 | 126); frame[2] = (char)(size >> 8); frame[3] = (char)size; head = 4; }
    memset(frame + head, 0, 4);
    memcpy(frame + head + 4, at, size);
    put(c, frame, head + 4 + size);
}

static void send_message(uint32_t sender, double at) {
    Connection *c = &connections[sender];
    char text[4096];
    if (c->state != READY) return;
    int size = snprintf(text, sizeof text, "%.*s%u-%u%.*s" MARK "%u.%u@%.*s", (int)c->head.size, c->head.at, sender, c->sent,
                        (int)c->middle.size, c->middle.at, sender, c->sent, (int)c->tail.size, c->tail.at);
    if (size < 0 || size >= (int)sizeof text) fail("a message of %d bytes", size);
    push(&sent_at[sender], (uint32_t)((at - began) * 1e6));
    c->sent++;
    sent_total++;
    put_frame(c, 1, text, (size_t)size);
}

static uint32_t since(uint32_t microseconds, double at) {
    double passed = (at - began) * 1e6 - microseconds;
    return passed > 0 ? (uint32_t)passed : 0;
}

static void take_message(Connection *c, const char *at, const char *end, double arrived) {
    char *next;
    uint32_t sender = (uint32_t)strtoul(at, &next, 10), number;
    if (next >= end || *next != '.') return;
    number = (uint32_t)strtoul(next + 1, NULL, 10);
    push(&c->received, sender << 24 | (number & 0xffffff));
    push(&c->latencies, sender < senders && number < sent_at[sender].count ? since(sent_at[sender].at[number], arrived) : 0);
    received_total++;
    last_progress = arrived;
}

static void take_ack(Connection *c, double arrived) {
    uint32_t sender = (uint32_t)(c - connections);
    if (sender >= senders || !c->sent) return;
    push(&c->acks, by_acks ? since(sent_at[sender].at[c->sent - 1], arrived) : 0);
    acked_total++;
    last_progress = arrived;
    if (by_acks && arrived < load_ends) send_message(sender, arrived);
}

static int begins(const char *at, size_t size, Text mark) {
    return mark.size && size >= mark.size && !memcmp(at, mark.at, mark.size);
}

static void greet(Connection *c, const char *at, size_t size) {
    while (c->step < steps && (!waits[c->step].size || begins(at, size, waits[c->step]))) {
        Text greeting = c->greetings[c->step];
        int waited = waits[c->step].size != 0;
        c->step++;
        put_frame(c, 1, greeting.at, greeting.size);
        if (c->state == CLOSED) return;
        if (waited) return; /* one frame answers one step */
    }
    if (c->step == steps && begins(at, size, ready_mark)) {
        c->state = READY;
        in_handshake--;
        opened++;
    }
}

static void take_text(Connection *c, const char *at, size_t size, double arrived) {
    const char *end = at + size, *found = at;
    if (c->state == GREETING) { greet(c, at, size); return; }
    if (begins(at, size, ack_mark)) { take_ack(c, arrived); return; }
    while ((found = memmem(found, (size_t)(end - found), MARK, 2))) {
        found += 2;
        take_message(c, found, end, arrived);
    }
}

/* Frames from `at` on; how many bytes were whole frames. */
static size_t take_frames(Connection *c, const char *at, size_t size, double arrived) {
    size_t done = 0;
    while (size - done >= 2 && c->state != CLOSED) {
        const unsigned char *p = (const unsigned char *)at + done;
        size_t length = p[1] & 0x7f, head = 2;
        if (length == 126) {
            if (size - done < 4) break;
            length = (size_t)p[2] << 8 | p[3];
            head = 4;
        } else if (length == 127) {
            if (size - done < 10) break;
            length = 0;
            for (int k = 2; k < 10; k++) length = length << 8 | p[k];
            head = 10;
        }
        if (size - done < head + length) break;
        const char *text = at + done + head;
        switch (p[0] & 0x0f) {
            case 1: case 2: take_text(c, text, length, arrived); break;
            case 8: leave(c); break;
            case 9: put_frame(c, 10, text, length); break;
            default: break;
        }
        done += head + length;
    }
    return done;
}

static size_t take_opening(Connection *c, const char *at, size_t size) {
    const char *end = memmem(at, size, "\r\n\r\n", 4);
    if (!end) return 0;
    if (size < 12 || memcmp(at, "HTTP/1.1 101", 12)) fail("no WebSocket: %.*s", (int)(strcspn(at, "\r")), at);
    c->state = GREETING;
    greet(c, "", 0);
    return (size_t)(end + 4 - at);
}

static void take(Connection *c) {
    size_t size = c->rest_size, done = 0;
    if (size >= BUFFER - 1) fail("a frame of more than %d bytes", BUFFER);
    if (size) memcpy(buffer, c->rest, size);
    ssize_t got = recv(c->fd, buffer + size, BUFFER - 1 - size, 0);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) leave(c);
        return;
    }
    double arrived = now();
    size += (size_t)got;
    buffer[size] = 0;
    if (c->state == OPENING) done = take_opening(c, buffer, size);
    if (c->state == GREETING || c->state == READY) done += take_frames(c, buffer + done, size - done, arrived);
    c->rest_size = size - done;
    if (c->rest_size) {
        c->rest = claim(c->rest, c->rest_size);
        memcpy(c->rest, buffer + done, c->rest_size);
    }
}

static void begin(Connection *c) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) fail("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    in_handshake++;
    c->state = CONNECTING;
    watch(c, EPOLLOUT, EPOLL_CTL_ADD);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS) fail("connect: %s", strerror(errno));
}

static void step(int wait_ms) {
    struct epoll_event events[512];
    int many = epoll_wait(poll_fd, events, 512, wait_ms);
    for (int n = 0; n < many; n++) {
        Connection *c = events[n].data.ptr;
        if (!c) { uint64_t ticks; if (read(timer_fd, &ticks, sizeof ticks) < 0) continue; continue; }
        if (c->state == CLOSED) continue;
        if (c->state == CONNECTING) {
            int problem = 0;
            socklen_t size = sizeof problem;
            getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &problem, &size);
            if (problem) fail("connect: %s", strerror(problem));
            c->state = OPENING;
            watch(c, EPOLLIN, EPOLL_CTL_MOD);
            put(c, c->opening.at, c->opening.size);
            continue;
        }
        if (events[n].events & EPOLLOUT) put_rest(c);
        if (c->state != CLOSED && events[n].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) take(c);
    }
}

static void connect_all(void) {
    double start = now();
    uint32_t next = 0;
    while (opened < count) {
        while (next < count && in_handshake < at_once) begin(&connections[next++]);
        step(100);
        if (closed) fail("the server closed %u connections before they were ready", closed);
        if (now() - start > CONNECT_SECONDS) fail("%u of %u connections are ready after %.0f s", opened, count, CONNECT_SECONDS);
    }
    printf("ready %.6f\n", now() - start);
    fflush(stdout);
}

static void wake_at(double at) {
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)at, .tv_nsec = (long)((at - (double)(time_t)at) * 1e9)}};
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void send_due(double at) {
    if (by_acks) {
        if (!is_loaded) for (uint32_t n = 0; n < senders; n++) send_message(n, at);
        is_loaded = 1;
    } else if (rate) {
        double due;
        while ((due = began + (double)sent_total / rate) <= at && closed == 0) send_message(sent_total % senders, due);
        wake_at(due < load_ends ? due : load_ends);
    } else {
        while ((uint64_t)sent_total * copies < received_total + (uint64_t)window * copies && closed == 0)
            send_message(sent_total % senders, at);
    }
}

static int is_complete(void) {
    return received_total >= (uint64_t)sent_total * copies && (!ack_mark.size || acked_total >= sent_total);
}

static void write_log(void) {
    FILE *file = fopen(log_path.at, "wb");
    if (!file) fail("%s: %s", log_path.at, strerror(errno));
    for (uint32_t n = 0; n < count; n++) {
        Connection *c = &connections[n];
        uint32_t sizes[3] = {c->sent, (uint32_t)c->received.count, (uint32_t)c->acks.count};
        fwrite(sizes, sizeof sizes, 1, file);
        fwrite(c->received.at, sizeof(uint32_t), c->received.count, file);
        fwrite(c->latencies.at, sizeof(uint32_t), c->received.count, file);
        fwrite(c->acks.at, sizeof(uint32_t), c->acks.count, file);
    }
    if (fclose(file)) fail("%s: %s", log_path.at, strerror(errno));
}

static void play(void) {
    double used = cpu(), at = now(), elapsed, until;
    uint64_t received, acked;
    began = last_progress = at;
    load_ends = began + duration;
    while (at < load_ends) {
        send_due(at);
        double left = (load_ends - at) * 1e3;
        step(left > 50 ? 50 : (int)left + 1);
        at = now();
    }
    while (!is_complete() && (until = last_progress + patience) > now()) step(20);
    received = received_total; acked = acked_total; used = cpu() - used;
    elapsed = last_progress - began; /* a slow server has much in flight at the end of the time: that counts, too */
    puts("end");
    fflush(stdout);
    for (double settled = now() + 0.05; now() < settled;) step(10); /* what comes twice comes after the first */
    write_log();
    printf("done {\"elapsed\": %.6f, \"received\": %llu, \"acked\": %llu, \"cpu\": %.6f, \"closed\": %u}\n", elapsed,
           (unsigned long long)received, (unsigned long long)acked, used, closed);
    fflush(stdout);
}

int main(void) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    read_load();
    poll_fd = epoll_create1(0);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (poll_fd < 0 || timer_fd < 0 || epoll_ctl(poll_fd, EPOLL_CTL_ADD, timer_fd, &event)) fail("epoll: %s", strerror(errno));
    expect("connect");
    double used = cpu(), start = now();
    connect_all();
    printf("used %.6f\n", (cpu() - used) / (now() - start));
    fflush(stdout);
    expect("go");
    play();
    return 0;
}
